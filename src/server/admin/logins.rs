//! `/api/auth/attempts`: logins by protocol and by address.

use super::api_error::ApiError;
use super::caller::{Administrator, Caller};
use super::context::Admin;
use super::extract::Path;
use super::listing::Listing;
use super::nodes::check_node;
use super::reply::no_content;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

pub(super) async fn by_protocol(
    State(admin): State<Admin>,
    caller: Caller,
    Path(node): Path<String>,
    listing: Listing,
) -> Result<Response, ApiError> {
    caller.check_monitoring()?;
    check_node(&node)?;
    let logins = &admin.inner.logins;
    let (accepted, refused) = admin.amqp_logins();
    let (accepted_before, refused_before) = logins.amqp_before.load();
    let amqp = (accepted.saturating_sub(accepted_before), refused.saturating_sub(refused_before));
    let shown = [("http", logins.http.load()), ("amqp091", amqp)];
    let attempts = shown.map(|(protocol, (accepted, refused))| {
        json!({
            "auth_attempts": accepted + refused,
            "auth_attempts_failed": refused,
            "auth_attempts_succeeded": accepted,
            "protocol": protocol,
        })
    });
    listing.reply(attempts.to_vec(), Value::clone).await
}

pub(super) async fn by_source(
    State(admin): State<Admin>,
    caller: Caller,
    Path(node): Path<String>,
    listing: Listing,
) -> Result<Response, ApiError> {
    caller.check_monitoring()?;
    check_node(&node)?;
    let attempts = admin.authenticator().attempts().into_iter().map(|counts| {
        json!({
            "auth_attempts": counts.accepted + counts.refused,
            "auth_attempts_failed": counts.refused,
            "auth_attempts_succeeded": counts.accepted,
            "remote_address": counts.address.to_string(),
        })
    });
    listing.reply(attempts.collect(), Value::clone).await
}

/// Counts anew; who has to wait after wrong passwords goes on waiting.
pub(super) async fn reset_by_protocol(
    State(admin): State<Admin>,
    _: Administrator,
    Path(node): Path<String>,
) -> Result<Response, ApiError> {
    check_node(&node)?;
    admin.inner.logins.http.store((0, 0));
    admin.inner.logins.amqp_before.store(admin.amqp_logins());
    Ok(no_content())
}

pub(super) async fn reset_by_source(
    State(admin): State<Admin>,
    _: Administrator,
    Path(node): Path<String>,
) -> Result<Response, ApiError> {
    check_node(&node)?;
    admin.authenticator().reset_attempts();
    Ok(no_content())
}

impl Admin {
    /// Logins over AMQP that were right, and that were not.
    fn amqp_logins(&self) -> (u64, u64) {
        let totals = self.inner.totals.load();
        (totals.logins_accepted, totals.logins_refused)
    }
}
