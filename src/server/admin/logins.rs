//! `/api/auth/attempts`: logins by address.

use super::api_error::ApiError;
use super::caller::Caller;
use super::listing::Listing;
use super::{Admin, NODE};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde_json::json;

pub(super) async fn by_source(
    State(admin): State<Admin>,
    caller: Caller,
    Path(node): Path<String>,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    caller.check_monitoring()?;
    if node != NODE {
        return Err(ApiError::not_found(format!("no node '{node}', there is '{NODE}' only")));
    }
    let attempts = admin.authenticator().attempts().into_iter().map(|counts| {
        json!({
            "auth_attempts": counts.accepted + counts.refused,
            "auth_attempts_failed": counts.refused,
            "auth_attempts_succeeded": counts.accepted,
            "remote_address": counts.address.to_string(),
        })
    });
    listing.reply(attempts.collect())
}
