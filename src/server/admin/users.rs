//! `/api/users`.

use super::api_error::ApiError;
use super::caller::{Administrator, Caller};
use super::context::Admin;
use super::extract::{Path, UnreadBody};
use super::listing::Listing;
use super::names::short;
use super::reply::{json_reply, no_content, put_reply};
use super::request_body::RequestBody;
use crate::auth::password;
use crate::auth::user::{ADMINISTRATOR, hash_password};
use crate::definitions::object_json;
use crate::limits::ADMIN_TEXT_BYTES_MAX;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::{PasswordHash, User};
use forebay_engine::administration::Administration;
use forebay_engine::model::Fault;
use forebay_wire::{ReplyCode, ShortStr};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) async fn list(
    State(admin): State<Admin>,
    _: Administrator,
    listing: Listing,
) -> Result<Response, ApiError> {
    listing.reply(users(&admin), |(_, user)| user.clone()).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    _: Administrator,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let name = short("user", &name)?;
    let found = users(&admin).into_iter().find(|(there, _)| *there == name);
    let (_, user) = found.ok_or_else(|| ApiError::not_found(format!("no user '{name}'")))?;
    Ok(json_reply(&user))
}

pub(super) async fn put(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    Path(name): Path<String>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let name = short("user", &name)?;
    check_stored(&admin, &name)?;
    let body = body.read().await?;
    let tags = tags_of(&body)?;
    let password = password_of(&body).await?;
    let is_new = admin.authenticator().tags(&name).is_none();
    let user = User { password, tags };
    caller.administer(&admin, Administration::PutUser { name, user }).await?;
    Ok(put_reply(is_new))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let name = short("user", &name)?;
    check_stored(&admin, &name)?;
    remove(&admin, &caller, name).await?;
    Ok(no_content())
}

/// All that are named, or none when one of them can't be.
pub(super) async fn bulk_delete(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let body = body.read().await?;
    let wrong = || ApiError::bad("users: expected a list of names");
    let named = body.get("users").and_then(Value::as_array).ok_or_else(wrong)?;
    let mut names = Vec::with_capacity(named.len());
    for name in named {
        let name = short("user", name.as_str().ok_or_else(wrong)?)?;
        if admin.authenticator().tags(&name).is_none() {
            return Err(ApiError::bad(format!("users: no user '{name}'")));
        }
        check_stored(&admin, &name)?;
        names.push(name);
    }
    names.sort();
    names.dedup();
    for name in names {
        match remove(&admin, &caller, name).await {
            // Somebody else was faster.
            Err(ApiError::NotFound(_)) => {}
            removed => removed?,
        }
    }
    Ok(no_content())
}

/// Users that may enter no virtual host.
pub(super) async fn without_permissions(
    State(admin): State<Admin>,
    _: Administrator,
    listing: Listing,
) -> Result<Response, ApiError> {
    let snapshot = admin.snapshot();
    let permitted: BTreeSet<&ShortStr> =
        snapshot.access.permissions().iter().map(|(user, ..)| user).collect();
    let configured = admin.authenticator().configured();
    let is_configured = |name: &ShortStr| configured.iter().any(|(there, _)| there == name);
    let mut found = users(&admin);
    found.retain(|(name, _)| !permitted.contains(name) && !is_configured(name));
    listing.reply(found, |(_, user)| user.clone()).await
}

/// Deletes a user and closes its connections.
async fn remove(admin: &Admin, caller: &Caller, name: ShortStr) -> Result<(), ApiError> {
    caller.administer(admin, Administration::DeleteUser { name: name.clone() }).await?;
    let text = format!("user '{name}' was deleted");
    let fault = Fault::connection(ReplyCode::ConnectionForced, text);
    admin.link().connections.close_some(&fault, |_, about| about.user == name);
    Ok(())
}

/// A user of the configuration goes before a stored one, so that a change here would have no effect.
///
/// # Errors
/// 400 when it comes from the configuration.
pub(super) fn check_stored(admin: &Admin, name: &ShortStr) -> Result<(), ApiError> {
    if !admin.authenticator().is_configured(name) {
        return Ok(());
    }
    Err(ApiError::bad(format!(
        "user '{name}' comes from the configuration file: change it there and send SIGHUP to the \
         broker"
    )))
}

/// Those of the configuration and those that operators made, by name.
fn users(admin: &Admin) -> Vec<(ShortStr, Value)> {
    let configured = admin.authenticator().configured();
    let snapshot = admin.snapshot();
    let hidden = |name: &ShortStr| configured.iter().any(|(there, _)| there == name);
    let stored = snapshot.access.users().iter().filter(|(name, _)| !hidden(name));
    let mut users: Vec<_> = stored
        .map(|(name, user)| {
            let hash = password::exported(&user.password);
            (name.clone(), object_json::user(name, &user.tags, hash, snapshot.access.limits()))
        })
        .collect();
    users.extend(configured.iter().map(|(name, tags)| {
        // What the configuration keeps secret stays there.
        let hash = (password::ARGON2ID, "");
        (name.clone(), object_json::user(name, tags, hash, snapshot.access.limits()))
    }));
    users.sort_by(|left, right| left.0.cmp(&right.0));
    users
}

/// The tags that a request must name. `administrator` is how RabbitMQ's first versions said it.
fn tags_of(body: &RequestBody) -> Result<Vec<String>, ApiError> {
    match (body.tags()?, body.get("administrator")) {
        (Some(tags), _) => Ok(tags),
        (None, Some(Value::Bool(true))) => Ok(vec![ADMINISTRATOR.to_owned()]),
        (None, Some(Value::String(text))) if text == "true" => Ok(vec![ADMINISTRATOR.to_owned()]),
        (None, Some(_)) => Ok(Vec::new()),
        (None, None) => Err(ApiError::bad("tags_not_present")),
    }
}

async fn password_of(body: &RequestBody) -> Result<PasswordHash, ApiError> {
    match (body.text("password")?, body.text("password_hash")?) {
        (Some(_), Some(_)) => Err(ApiError::bad("both_password_and_password_hash_are_provided")),
        (Some(password), _) if password.len() > ADMIN_TEXT_BYTES_MAX => {
            let text = format!("password: longer than {ADMIN_TEXT_BYTES_MAX} bytes");
            Err(ApiError::bad(text))
        }
        (Some(""), _) | (None, None) => Ok(PasswordHash::Disabled),
        (Some(password), _) => {
            let password = password.to_owned();
            let hashed = tokio::task::spawn_blocking(move || hash_password(password.as_bytes()));
            let unavailable = |error: String| ApiError::Unavailable(error);
            let hash = hashed.await.map_err(|error| unavailable(error.to_string()))?;
            let hash = hash.map_err(|error| unavailable(error.to_string()))?;
            Ok(PasswordHash::Argon2id(hash))
        }
        (None, Some(hash)) => {
            let algorithm = body.text("hashing_algorithm")?.unwrap_or(password::RABBITMQ_SHA256);
            password::imported(algorithm, hash)
                .map_err(|reason| ApiError::bad(format!("password_hash: {reason}")))
        }
    }
}
