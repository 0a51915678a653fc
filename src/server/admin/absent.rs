//! What RabbitMQ keeps and nothing here reads: global parameters and topic permissions. Lists are empty;
//! to set one is refused, since it would have no effect.

use super::api_error::ApiError;
use super::caller::Caller;
use super::extract::Path;
use axum::response::Response;

pub(super) async fn global_parameter(
    _caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    Err(ApiError::not_found(format!("no global parameter '{name}'")))
}

pub(super) async fn put_global_parameter(
    _caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    Err(ApiError::bad(format!("global parameter '{name}': nothing here reads global parameters")))
}

pub(super) async fn put_topic_permission(_caller: Caller) -> Result<Response, ApiError> {
    let reason = "there are no topic permissions here: without this one the user could do more than \
                  it may; use an exchange for each kind of topic and permissions on those";
    Err(ApiError::bad(reason))
}

pub(super) async fn delete_topic_permission(
    _caller: Caller,
    Path((vhost, user)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    Err(ApiError::not_found(format!("no topic permission of '{user}' in vhost '{vhost}'")))
}
