//! What handlers take from a request, with refusals in JSON like every other answer.
//!
//! A body is handed over unread: a handler finds out who asks and what it may do before it takes the
//! first byte of it.

use super::api_error::ApiError;
use super::context::Admin;
use super::request_body::RequestBody;
use crate::limits::ADMIN_BODY_BYTES_MAX;
use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

/// The variable segments of a path.
#[derive(Clone, Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Admin> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, admin).await;
        path.map(|path| Self(path.0)).map_err(|rejection| ApiError::bad(rejection.body_text()))
    }
}

/// The query of a path.
#[derive(Clone, Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Admin> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, admin).await;
        query.map(|query| Self(query.0)).map_err(|rejection| ApiError::bad(rejection.body_text()))
    }
}

/// A condition of a query, `?if-unused=true`; not there: false.
///
/// # Errors
/// 400 when it is neither true nor false.
pub(super) fn condition(name: &str, value: Option<&str>) -> Result<bool, ApiError> {
    match value {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(ApiError::bad(format!("{name}: '{other}', expected true or false"))),
    }
}

/// A body of which nothing has been read.
#[derive(Debug)]
pub(super) struct UnreadBody(Body);

impl FromRequest<Admin> for UnreadBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _admin: &Admin) -> Result<Self, ApiError> {
        Ok(Self(request.into_body()))
    }
}

impl UnreadBody {
    /// Reads it as a JSON object of the usual size.
    ///
    /// # Errors
    /// 400 when it is none, 413 when it is larger.
    pub(super) async fn read(self) -> Result<RequestBody, ApiError> {
        RequestBody::parse(&self.bytes(ADMIN_BODY_BYTES_MAX).await?)
    }

    /// Looks at the size that the client announced, and reads nothing.
    ///
    /// # Errors
    /// 413 when it is larger.
    pub(super) fn check_size(&self, most: usize) -> Result<(), ApiError> {
        if self.0.size_hint().lower() > most as u64 { Err(too_large(most)) } else { Ok(()) }
    }

    /// Reads at most so many bytes.
    ///
    /// # Errors
    /// 413 when there are more, 400 when the client breaks off.
    pub(super) async fn bytes(self, most: usize) -> Result<Bytes, ApiError> {
        self.check_size(most)?;
        let too_large = || too_large(most);
        let told = self.0.size_hint().lower();
        let mut bytes = BytesMut::with_capacity(told as usize);
        let mut chunks = self.0.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let broken = |error| ApiError::bad(format!("the body can't be read: {error}"));
            let chunk = chunk.map_err(broken)?;
            if bytes.len() + chunk.len() > most {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}

fn too_large(most: usize) -> ApiError {
    ApiError::TooLarge(format!("the body is larger than {most} bytes"))
}
