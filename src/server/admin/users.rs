//! `/api/users`.

use super::api_error::ApiError;
use super::caller::Caller;
use super::extract::{Path, UnreadBody};
use super::listing::Listing;
use super::request_body::RequestBody;
use super::{Admin, json_reply, limits_of, no_content, put_reply, short};
use crate::auth::password;
use crate::auth::user::{ADMINISTRATOR, hash_password};
use crate::limits::ADMIN_TEXT_BYTES_MAX;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::{Limit, PasswordHash, User};
use forebay_engine::administration::Administration;
use forebay_engine::model::Fault;
use forebay_wire::{ReplyCode, ShortStr};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    listing.reply(users(&admin), |(_, user)| user.clone()).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    let name = short("user", &name)?;
    let found = users(&admin).into_iter().find(|(there, _)| *there == name);
    let (_, user) = found.ok_or_else(|| ApiError::not_found(format!("no user '{name}'")))?;
    Ok(json_reply(&user))
}

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    let name = short("user", &name)?;
    check_stored(&admin, &name)?;
    let body = body.read().await?;
    let tags = tags_of(&body)?;
    let password = password_of(&body).await?;
    let is_new = admin.authenticator().tags(&name).is_none();
    let user = User { password, tags };
    admin.administer(&caller, Administration::PutUser { name, user }).await?;
    Ok(put_reply(is_new))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    let name = short("user", &name)?;
    check_stored(&admin, &name)?;
    remove(&admin, &caller, name).await?;
    Ok(no_content())
}

/// All that are named, or none when one of them can't be.
pub(super) async fn bulk_delete(
    State(admin): State<Admin>,
    caller: Caller,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
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
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    let routes = admin.routes();
    let permitted: BTreeSet<&ShortStr> =
        routes.permissions().iter().map(|(user, ..)| user).collect();
    let configured = admin.authenticator().configured();
    let is_configured = |name: &ShortStr| configured.iter().any(|(there, _)| there == name);
    let mut found = users(&admin);
    found.retain(|(name, _)| !permitted.contains(name) && !is_configured(name));
    listing.reply(found, |(_, user)| user.clone()).await
}

/// Deletes a user and closes its connections.
async fn remove(admin: &Admin, caller: &Caller, name: ShortStr) -> Result<(), ApiError> {
    admin.administer(caller, Administration::DeleteUser { name: name.clone() }).await?;
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
    let routes = admin.routes();
    let hidden = |name: &ShortStr| configured.iter().any(|(there, _)| there == name);
    let stored = routes.users().iter().filter(|(name, _)| !hidden(name));
    let mut users: Vec<_> = stored
        .map(|(name, user)| {
            let (algorithm, hash) = password::exported(&user.password);
            let limits = limits_of(routes.limits(), Limit::OF_USER, name);
            (name.clone(), describe(name, &user.tags, algorithm, hash, limits))
        })
        .collect();
    users.extend(configured.iter().map(|(name, tags)| {
        // What the configuration keeps secret stays there.
        let limits = limits_of(routes.limits(), Limit::OF_USER, name);
        (name.clone(), describe(name, tags, password::ARGON2ID, "", limits))
    }));
    users.sort_by(|left, right| left.0.cmp(&right.0));
    users
}

fn describe(
    name: &ShortStr,
    tags: &[String],
    algorithm: &str,
    hash: &str,
    limits: Map<String, Value>,
) -> Value {
    json!({
        "hashing_algorithm": algorithm,
        "limits": limits,
        "name": name.to_string(),
        "password_hash": hash,
        "tags": tags,
    })
}

/// The tags that a request must name. `administrator` is how RabbitMQ's first versions said it.
fn tags_of(body: &RequestBody) -> Result<Vec<String>, ApiError> {
    match (body.get("tags"), body.get("administrator")) {
        (Some(value), _) => tags(Some(value)),
        (None, Some(Value::Bool(true))) => Ok(vec![ADMINISTRATOR.to_owned()]),
        (None, Some(Value::String(text))) if text == "true" => Ok(vec![ADMINISTRATOR.to_owned()]),
        (None, Some(_)) => Ok(Vec::new()),
        (None, None) => Err(ApiError::bad("tags_not_present")),
    }
}

/// Tags as a list, or separated by commas.
pub(crate) fn tags(value: Option<&Value>) -> Result<Vec<String>, ApiError> {
    let wrong = || ApiError::bad("tags: expected a list of names, or names separated by commas");
    let tags: Vec<String> = match value {
        None => Vec::new(),
        Some(Value::String(text)) => text.split(',').map(|tag| tag.trim().to_owned()).collect(),
        Some(Value::Array(tags)) => {
            let names = tags.iter().map(|tag| tag.as_str().map(str::to_owned));
            names.collect::<Option<_>>().ok_or_else(wrong)?
        }
        Some(_) => return Err(wrong()),
    };
    let bytes: usize = tags.iter().map(|tag| tag.len() + 1).sum();
    if bytes > ADMIN_TEXT_BYTES_MAX || tags.iter().any(|tag| tag.contains(',')) {
        let text = format!("tags: without commas, at most {ADMIN_TEXT_BYTES_MAX} bytes together");
        return Err(ApiError::bad(text));
    }
    Ok(tags.into_iter().filter(|tag| !tag.is_empty()).collect())
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
