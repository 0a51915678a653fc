//! What goes around every request: a line in the log for each change that the page made, and headers
//! that browsers heed.

use super::super::context::Admin;
use super::page_sessions::{CSRF_HEADER, only_looks};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use std::net::SocketAddr;

/// What is asked with a body and changes nothing.
const ONLY_LOOKS: [&str; 1] = ["/peek"];
const ASKS: [&str; 2] = ["/api/forebay/route/", "/api/forebay/past"];

pub(super) async fn follow(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let is_page = request.headers().contains_key(CSRF_HEADER);
    let path = request.uri().path();
    let changes = !only_looks(request.method())
        && !ASKS.iter().any(|begin| path.starts_with(begin))
        && !ONLY_LOOKS.iter().any(|end| path.ends_with(end));
    let session = (is_page && changes).then(|| admin.inner.console.session(request.headers()));
    let told = session.flatten().map(|session| {
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        (session.user.name.to_string(), address, request.method().clone(), path.to_owned())
    });
    let mut response = next.run(request).await;
    if let Some((user, address, method, path)) = told {
        let status = response.status().as_u16();
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        tracing::info!(user = &*user, address, %method, path, status, "page: change");
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_page {
        // A browser would ask for name and password by itself.
        headers.remove(header::WWW_AUTHENTICATE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
