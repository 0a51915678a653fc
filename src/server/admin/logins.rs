//! `/api/auth/attempts`: logins by protocol and by address.

use super::Admin;
use super::api_error::ApiError;
use super::caller::Caller;
use super::extract::Path;
use super::listing::Listing;
use super::no_content;
use super::nodes::check_node;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// Logins here, and the counters of AMQP when somebody asked to count anew.
#[derive(Debug, Default)]
pub(super) struct Logins {
    http: Counts,
    amqp_before: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl Counts {
    fn load(&self) -> (u64, u64) {
        (self.accepted.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    fn store(&self, (accepted, refused): (u64, u64)) {
        self.accepted.store(accepted, Ordering::Relaxed);
        self.refused.store(refused, Ordering::Relaxed);
    }
}

impl Logins {
    /// Somebody logged in here, or was refused.
    pub(super) fn count(&self, is_accepted: bool) {
        let counter = if is_accepted { &self.http.accepted } else { &self.http.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

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
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    check_node(&node)?;
    admin.inner.logins.http.store((0, 0));
    admin.inner.logins.amqp_before.store(admin.amqp_logins());
    Ok(no_content())
}

pub(super) async fn reset_by_source(
    State(admin): State<Admin>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
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
