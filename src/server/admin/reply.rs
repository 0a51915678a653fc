//! The forms that replies have.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// 200 with a JSON text.
pub(super) fn json_reply(value: &Value) -> Response {
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([json], value.to_string()).into_response()
}

/// 201 for what is new, 204 for what was there.
pub(super) fn put_reply(is_new: bool) -> Response {
    if is_new { StatusCode::CREATED.into_response() } else { no_content() }
}

/// 204: it is done.
pub(super) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
