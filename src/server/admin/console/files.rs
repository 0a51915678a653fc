//! The page's files.

use super::super::api_error::ApiError;
use super::super::context::Admin;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use forebay_console::files::{CONTENT_SECURITY_POLICY, find};

pub(super) async fn serve(
    State(admin): State<Admin>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    admin.inner.console.check_host(&headers)?;
    let missing = || ApiError::not_found("Not Found");
    let file = find(uri.path()).ok_or_else(missing)?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| known.split(',').any(|it| it.trim() == file.etag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.bytes.into_response()
    };
    let own = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, file.content_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Looked up each time: another version of the broker has another page.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        own.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(etag) = HeaderValue::from_str(&file.etag) {
        own.insert(header::ETAG, etag);
    }
    Ok(response)
}
