//! `/api/policies` and `/api/operator-policies`.

use super::api_error::ApiError;
use super::caller::{Caller, Visit};
use super::listing::Listing;
use super::request_body::RequestBody;
use super::{Admin, json_reply, no_content, put_reply, short, table_json};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use forebay_engine::administration::Administration;
use forebay_engine::topology::{Policy, PolicyOwner, PolicyRequest};
use forebay_wire::ShortStr;
use serde_json::{Value, json};

type Named = (String, String);

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(policies(&admin, &caller, PolicyOwner::User, None).await?)
}

pub(super) async fn list_operators(
    State(admin): State<Admin>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(policies(&admin, &caller, PolicyOwner::Operator, None).await?)
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    Visit { caller, vhost }: Visit,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(policies(&admin, &caller, PolicyOwner::User, Some(vhost)).await?)
}

pub(super) async fn list_operators_of_vhost(
    State(admin): State<Admin>,
    Visit { caller, vhost }: Visit,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(policies(&admin, &caller, PolicyOwner::Operator, Some(vhost)).await?)
}

pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    one(&admin, &caller, PolicyOwner::User, named).await
}

pub(super) async fn show_operators(
    State(admin): State<Admin>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    one(&admin, &caller, PolicyOwner::Operator, named).await
}

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Path(named): Path<Named>,
    body: Bytes,
) -> Result<Response, ApiError> {
    set(&admin, &caller, PolicyOwner::User, named, &body).await
}

pub(super) async fn put_operators(
    State(admin): State<Admin>,
    caller: Caller,
    Path(named): Path<Named>,
    body: Bytes,
) -> Result<Response, ApiError> {
    set(&admin, &caller, PolicyOwner::Operator, named, &body).await
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

async fn policies(
    admin: &Admin,
    caller: &Caller,
    owner: PolicyOwner,
    wanted: Option<ShortStr>,
) -> Result<Vec<Value>, ApiError> {
    let found = admin.link().look(move |shard| {
        let topology = shard.topology();
        let vhosts = topology.vhosts().filter(|vhost| wanted.as_ref().is_none_or(|w| w == *vhost));
        let of_vhost = |vhost: &ShortStr| {
            let owned = topology.policies(vhost).filter(|policy| policy.owner() == owner);
            owned.map(|policy| (vhost.clone(), describe(vhost, policy))).collect::<Vec<_>>()
        };
        vhosts.flat_map(of_vhost).collect::<Vec<_>>()
    });
    let seen = found.await?.into_iter().filter(|(vhost, _)| caller.sees(admin, vhost));
    Ok(seen.map(|(_, policy)| policy).collect())
}

async fn one(
    admin: &Admin,
    caller: &Caller,
    owner: PolicyOwner,
    (vhost, name): Named,
) -> Result<Response, ApiError> {
    let vhost = short("vhost", &vhost)?;
    caller.check_sees(admin, &vhost)?;
    let policies = policies(admin, caller, owner, Some(vhost.clone())).await?;
    let found = policies.iter().find(|policy| policy.get("name") == Some(&json!(name)));
    let missing = || ApiError::not_found(format!("no policy '{name}' in vhost '{vhost}'"));
    Ok(json_reply(found.ok_or_else(missing)?))
}

async fn set(
    admin: &Admin,
    caller: &Caller,
    owner: PolicyOwner,
    (vhost, name): Named,
    body: &[u8],
) -> Result<Response, ApiError> {
    let (vhost, name) = (short("vhost", &vhost)?, short("policy", &name)?);
    check(admin, caller, owner, &vhost)?;
    let body = RequestBody::parse(body)?;
    let request = PolicyRequest {
        name: &name,
        pattern: body.required("pattern")?,
        apply_to: body.text("apply-to")?.unwrap_or_default(),
        definition: &body.table("definition")?,
        priority: body.integer("priority")?.unwrap_or(0),
    };
    let policy = Policy::new(owner, request).map_err(|error| ApiError::bad(error.to_string()))?;
    let there = policies(admin, caller, owner, Some(vhost.clone())).await?;
    let name = json!(name.to_string());
    let is_new = there.iter().all(|policy| policy.get("name") != Some(&name));
    let request = Administration::SetPolicy { vhost, policy: Box::new(policy) };
    admin.administer(caller, request).await?;
    Ok(put_reply(is_new))
}

async fn clear(
    admin: &Admin,
    caller: &Caller,
    owner: PolicyOwner,
    (vhost, name): Named,
) -> Result<Response, ApiError> {
    let (vhost, name) = (short("vhost", &vhost)?, short("policy", &name)?);
    check(admin, caller, owner, &vhost)?;
    admin.administer(caller, Administration::ClearPolicy { vhost, owner, name }).await?;
    Ok(no_content())
}

fn check(
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

pub(crate) fn describe(vhost: &ShortStr, policy: &Policy) -> Value {
    json!({
        "apply-to": policy.applies_to().name(),
        "definition": table_json::to_json(policy.definition()),
        "name": policy.name().to_string(),
        "pattern": policy.pattern().as_str(),
        "priority": policy.priority(),
        "vhost": vhost.to_string(),
    })
}
