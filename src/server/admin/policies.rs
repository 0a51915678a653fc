//! `/api/policies` and `/api/operator-policies`.

use super::api_error::ApiError;
use super::caller::{Caller, VhostAccess};
use super::context::Admin;
use super::extract::{Path, UnreadBody};
use super::listing::Listing;
use super::names::short;
use super::reply::{json_reply, no_content, put_reply};
use super::request_body::RequestBody;
use crate::definitions::object_json;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::administration::Administration;
use forebay_engine::topology::{Policy, PolicyOwner, PolicyRequest};
use forebay_wire::ShortStr;
use serde_json::{Value, json};

type Named = (String, String);

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    listing.reply(policies(&admin, &caller, PolicyOwner::User, None), Value::clone).await
}

pub(super) async fn list_operators(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    listing.reply(policies(&admin, &caller, PolicyOwner::Operator, None), Value::clone).await
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost }: VhostAccess,
    listing: Listing,
) -> Result<Response, ApiError> {
    listing.reply(policies(&admin, &caller, PolicyOwner::User, Some(vhost)), Value::clone).await
}

pub(super) async fn list_operators_of_vhost(
    State(admin): State<Admin>,
    VhostAccess { caller, vhost }: VhostAccess,
    listing: Listing,
) -> Result<Response, ApiError> {
    let found = policies(&admin, &caller, PolicyOwner::Operator, Some(vhost));
    listing.reply(found, Value::clone).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    one(&admin, &caller, PolicyOwner::User, named)
}

pub(super) async fn show_operators(
    State(admin): State<Admin>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    one(&admin, &caller, PolicyOwner::Operator, named)
}

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Path(named): Path<Named>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    set(&admin, &caller, PolicyOwner::User, named, body).await
}

pub(super) async fn put_operators(
    State(admin): State<Admin>,
    caller: Caller,
    Path(named): Path<Named>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    set(&admin, &caller, PolicyOwner::Operator, named, body).await
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    clear(&admin, &caller, PolicyOwner::User, named).await
}

pub(super) async fn delete_operators(
    State(admin): State<Admin>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    clear(&admin, &caller, PolicyOwner::Operator, named).await
}

fn policies(
    admin: &Admin,
    caller: &Caller,
    owner: PolicyOwner,
    wanted: Option<ShortStr>,
) -> Vec<Value> {
    let catalogue = admin.catalogue();
    let vhosts = catalogue.vhosts().filter(|vhost| wanted.as_ref().is_none_or(|w| w == *vhost));
    let seen = vhosts.filter(|vhost| caller.sees(admin, vhost));
    let of_vhost = |vhost| {
        let owned = catalogue.policies(vhost).filter(|policy| policy.owner() == owner);
        owned.map(move |policy| object_json::policy(vhost, policy))
    };
    seen.flat_map(of_vhost).collect()
}

fn one(
    admin: &Admin,
    caller: &Caller,
    owner: PolicyOwner,
    (vhost, name): Named,
) -> Result<Response, ApiError> {
    let vhost = short("vhost", &vhost)?;
    caller.check_sees(admin, &vhost)?;
    let policies = policies(admin, caller, owner, Some(vhost.clone()));
    let found = policies.iter().find(|policy| policy.get("name") == Some(&json!(name)));
    let missing = || ApiError::not_found(format!("no policy '{name}' in vhost '{vhost}'"));
    Ok(json_reply(found.ok_or_else(missing)?))
}

async fn set(
    admin: &Admin,
    caller: &Caller,
    owner: PolicyOwner,
    (vhost, name): Named,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let (vhost, name) = (short("vhost", &vhost)?, short("policy", &name)?);
    check(admin, caller, owner, &vhost)?;
    let body = body.read().await?;
    set_policy(admin, caller, owner, (vhost, name), &body).await
}

/// Sets a policy for a caller who was found to be allowed to.
pub(super) async fn set_policy(
    admin: &Admin,
    caller: &Caller,
    owner: PolicyOwner,
    (vhost, name): (ShortStr, ShortStr),
    body: &RequestBody,
) -> Result<Response, ApiError> {
    let request = PolicyRequest {
        name: &name,
        pattern: body.required("pattern")?,
        apply_to: body.text("apply-to")?.unwrap_or_default(),
        definition: &body.table("definition")?,
        priority: body.integer("priority")?.unwrap_or(0),
    };
    let policy = Policy::new(owner, request).map_err(|error| ApiError::bad(error.to_string()))?;
    let there = policies(admin, caller, owner, Some(vhost.clone()));
    let name = json!(name.to_string());
    let is_new = there.iter().all(|policy| policy.get("name") != Some(&name));
    let request = Administration::SetPolicy { vhost, policy: Box::new(policy) };
    caller.administer(admin, request).await?;
    Ok(put_reply(is_new))
}

pub(super) async fn clear(
    admin: &Admin,
    caller: &Caller,
    owner: PolicyOwner,
    (vhost, name): Named,
) -> Result<Response, ApiError> {
    let (vhost, name) = (short("vhost", &vhost)?, short("policy", &name)?);
    check(admin, caller, owner, &vhost)?;
    caller.administer(admin, Administration::ClearPolicy { vhost, owner, name }).await?;
    Ok(no_content())
}

pub(super) fn check(
    admin: &Admin,
    caller: &Caller,
    owner: PolicyOwner,
    vhost: &ShortStr,
) -> Result<(), ApiError> {
    match owner {
        PolicyOwner::User => caller.check_policymaker(admin, vhost),
        PolicyOwner::Operator => {
            caller.check_administrator()?;
            caller.check_vhost(admin, vhost)
        }
    }
}
