//! `/api/permissions`.

use super::api_error::ApiError;
use super::caller::{Administrator, Vhost, VhostAccess};
use super::context::Admin;
use super::extract::{Path, UnreadBody};
use super::listing::Listing;
use super::names::short;
use super::reply::{json_reply, no_content, put_reply};
use crate::definitions::object_json;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::Permission;
use forebay_engine::administration::Administration;
use forebay_wire::ShortStr;
use serde_json::Value;

pub(super) async fn list(
    State(admin): State<Admin>,
    _: Administrator,
    listing: Listing,
) -> Result<Response, ApiError> {
    listing.reply(permissions(&admin, |_, _| true), Value::clone).await
}

pub(super) async fn of_vhost(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost: wanted }: VhostAccess,
) -> Result<Response, ApiError> {
    caller.check_administrator()?;
    let permissions = permissions(&admin, |_, vhost| *vhost == wanted);
    Ok(json_reply(&permissions.into()))
}

pub(super) async fn of_user(
    State(admin): State<Admin>,
    _: Administrator,
    Path(user): Path<String>,
) -> Result<Response, ApiError> {
    let wanted = short("user", &user)?;
    if admin.authenticator().tags(&wanted).is_none() {
        return Err(ApiError::not_found(format!("no user '{wanted}'")));
    }
    let permissions = permissions(&admin, |user, _| *user == wanted);
    Ok(json_reply(&permissions.into()))
}

pub(super) async fn show(
    State(admin): State<Admin>,
    _: Administrator,
    Vhost(vhost): Vhost,
    Path((_, user)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let user = short("user", &user)?;
    let snapshot = admin.snapshot();
    let permission = snapshot.access.permissions().get(&user, &vhost);
    let missing = || ApiError::not_found(format!("no permission of '{user}' in vhost '{vhost}'"));
    Ok(json_reply(&object_json::permission(&user, &vhost, permission.ok_or_else(missing)?)))
}

pub(super) async fn put(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    Vhost(vhost): Vhost,
    Path((_, user)): Path<(String, String)>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let user = short("user", &user)?;
    let body = body.read().await?;
    if admin.authenticator().tags(&user).is_none() {
        return Err(ApiError::bad(format!("user: no user '{user}'")));
    }
    let (configure, write) = (body.required("configure")?, body.required("write")?);
    let permission = Permission::new(configure, write, body.required("read")?)
        .map_err(|error| ApiError::bad(error.to_string()))?;
    let is_new = admin.snapshot().access.permissions().get(&user, &vhost).is_none();
    caller.administer(&admin, Administration::Grant { user, vhost, permission }).await?;
    Ok(put_reply(is_new))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    Vhost(vhost): Vhost,
    Path((_, user)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let user = short("user", &user)?;
    caller.administer(&admin, Administration::Revoke { user, vhost }).await?;
    Ok(no_content())
}

/// What operators granted and what the configuration grants.
fn permissions(admin: &Admin, is_wanted: impl Fn(&ShortStr, &ShortStr) -> bool) -> Vec<Value> {
    let catalogue = admin.catalogue();
    let snapshot = admin.snapshot();
    let stored = snapshot.access.permissions().iter();
    let mut keys: Vec<_> = stored.map(|(user, vhost, _)| (user.clone(), vhost.clone())).collect();
    for (user, _) in admin.authenticator().configured() {
        keys.extend(catalogue.vhosts().map(|vhost| (user.clone(), vhost.clone())));
    }
    keys.sort();
    keys.dedup();
    keys.retain(|(user, vhost)| is_wanted(user, vhost));
    let describe = |(user, vhost): &(ShortStr, ShortStr)| {
        Some(object_json::permission(user, vhost, snapshot.access.permissions().get(user, vhost)?))
    };
    keys.iter().filter_map(describe).collect()
}
