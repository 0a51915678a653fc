//! Why an admin request is refused, in the form of RabbitMQ's management API.

use crate::shard::shard_link::SessionError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay_engine::model::Fault;
use forebay_wire::ReplyCode;
use serde_json::json;

/// A request that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// 400: the request makes no sense, or does not fit what is there.
    #[error("{0}")]
    BadRequest(String),
    /// 401: nobody we know, or somebody who may not.
    #[error("{0}")]
    NotAuthorised(String),
    /// 403: a request that a browser was talked into.
    #[error("{0}")]
    Forbidden(String),
    /// 404: the object is not there.
    #[error("{0}")]
    NotFound(String),
    /// 405: the path is known, the method is not its.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// 413: the body is larger than such a request may have.
    #[error("{0}")]
    TooLarge(String),
    /// 503: not now.
    #[error("{0}")]
    Unavailable(String),
}

impl ApiError {
    /// 404 for an object.
    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound(what.into())
    }

    /// 400 with a reason.
    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self::BadRequest(reason.into())
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault.code {
            ReplyCode::NotFound => Self::NotFound(fault.text),
            ReplyCode::AccessRefused => Self::NotAuthorised(fault.to_string()),
            _ => Self::BadRequest(fault.to_string()),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Refused(fault) => fault.into(),
            SessionError::Stopping => Self::Unavailable(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::NotAuthorised(_) => (StatusCode::UNAUTHORIZED, "not_authorised"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "Object Not Found"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        let body = json!({ "error": error, "reason": self.to_string() }).to_string();
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut response = (status, [json], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            // Stored credentials of HTTP clients are set up for this realm.
            let realm = HeaderValue::from_static("Basic realm=\"RabbitMQ Management\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
            // Who is not let in holds none of the few places.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}
