//! `/api/forebay/session`: logging in on the page, who is logged in, logging out.

use super::super::api_error::ApiError;
use super::super::caller::Caller;
use super::super::context::Admin;
use super::super::extract::UnreadBody;
use super::super::names::short;
use super::super::reply::{json_reply, no_content};
use super::page_sessions::{CSRF_HEADER, PageUser};
use crate::system::node_name::node_name;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use forebay_console::limits::SESSION_DURATION_MAX;
use forebay_engine::connection::{Credentials, Peer, Proof};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Instant;

pub(super) async fn show(
    State(admin): State<Admin>,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Response, ApiError> {
    let session = admin.inner.console.session(&headers);
    let csrf = session.map(|session| session.csrf);
    Ok(json_reply(&described(&admin, &caller, csrf.as_deref())))
}

pub(super) async fn open(
    State(admin): State<Admin>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let console = &admin.inner.console;
    console.check_host(&headers)?;
    if !headers.contains_key(CSRF_HEADER) {
        // A form of another page can't send it.
        return Err(ApiError::Forbidden(format!("{CSRF_HEADER}: missing")));
    }
    let body = body.read().await?;
    let name = short("name", body.required("name")?)?;
    let proof = Proof::Password(Bytes::copy_from_slice(body.required("password")?.as_bytes()));
    let credentials = Credentials { user: name.clone(), proof };
    // The account as it was before its password was checked: a password that is changed meanwhile
    // ends the session.
    let account = admin.authenticator().account(&name);
    let caller = Caller::authenticate(&admin, credentials, &Peer::at(address)).await?;
    let password = account.map(|account| account.password.clone()).unwrap_or_default();
    let user = PageUser { name: name.clone(), password };
    let opened = console.sessions().open(user, Instant::now(), |there| there.name == name);
    let opened =
        opened.map_err(|error| ApiError::Unavailable(format!("no randomness: {error}")))?;
    tracing::info!(user = &*name.to_string(), %address, "page: login");
    let mut response = json_reply(&described(&admin, &caller, Some(&opened.csrf)));
    let age = SESSION_DURATION_MAX.as_secs();
    set_cookie(&admin, &headers, &mut response, &format!("{}; Max-Age={age}", opened.token));
    Ok(response)
}

pub(super) async fn end(
    State(admin): State<Admin>,
    headers: HeaderMap,
    _caller: Caller,
) -> Result<Response, ApiError> {
    let console = &admin.inner.console;
    if let Some(token) = console.token(&headers) {
        console.sessions().end(token);
    }
    let mut response = no_content();
    set_cookie(&admin, &headers, &mut response, "; Max-Age=0");
    Ok(response)
}

fn set_cookie(admin: &Admin, headers: &HeaderMap, response: &mut Response, value: &str) {
    let console = &admin.inner.console;
    let name = console.cookie_name(headers);
    let secure = if console.is_tls { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// Who the page shows things to, and which broker's.
fn described(admin: &Admin, caller: &Caller, csrf: Option<&str>) -> Value {
    let product = admin.product();
    let vhosts: Vec<String> = admin
        .catalogue()
        .vhosts()
        .filter(|vhost| caller.sees(admin, vhost))
        .map(ToString::to_string)
        .collect();
    json!({
        "csrf": csrf,
        "name": caller.name.to_string(),
        "node": node_name(),
        "product_name": product.name,
        "product_version": product.version,
        "tags": caller.tags,
        "vhosts": vhosts,
    })
}
