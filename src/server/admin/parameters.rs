//! `/api/parameters`: operators' policies and limits of virtual hosts, as RabbitMQ keeps them among
//! the settings of its plugins.

use super::api_error::ApiError;
use super::caller::Caller;
use super::context::Admin;
use super::extract::{Path, UnreadBody};
use super::limits::{limit_of_vhost, set_limit};
use super::listing::Listing;
use super::names::short;
use super::policies::{clear, set_policy};
use super::reply::{json_reply, no_content};
use crate::definitions::parameters;
use axum::extract::State;
use axum::response::Response;
use forebay_engine::access::Limit;
use forebay_engine::topology::PolicyOwner;
use forebay_wire::ShortStr;
use serde_json::{Value, json};

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    listing.reply(seen(&admin, &caller, |_| true), Value::clone).await
}

pub(super) async fn of_component(
    State(admin): State<Admin>,
    caller: Caller,
    Path(component): Path<String>,
    listing: Listing,
) -> Result<Response, ApiError> {
    let is_of = |value: &Value| value["component"] == json!(component);
    listing.reply(seen(&admin, &caller, is_of), Value::clone).await
}

pub(super) async fn of_vhost(
    State(admin): State<Admin>,
    caller: Caller,
    Path((component, vhost)): Path<(String, String)>,
    listing: Listing,
) -> Result<Response, ApiError> {
    caller.check_sees(&admin, &short("vhost", &vhost)?)?;
    let is_of =
        |value: &Value| value["component"] == json!(component) && value["vhost"] == json!(vhost);
    listing.reply(seen(&admin, &caller, is_of), Value::clone).await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    Path((component, vhost, name)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    caller.check_sees(&admin, &short("vhost", &vhost)?)?;
    let is_it = |value: &Value| {
        let fields = [("component", &component), ("vhost", &vhost), ("name", &name)];
        fields.into_iter().all(|(field, wanted)| value[field] == json!(wanted))
    };
    let missing = || {
        ApiError::not_found(format!("no parameter '{name}' of '{component}' in vhost '{vhost}'"))
    };
    Ok(json_reply(seen(&admin, &caller, is_it).first().ok_or_else(missing)?))
}

type Named = (String, String, String);

const OPERATOR_POLICY: &str = "operator_policy";
const VHOST_LIMITS: &str = "vhost-limits";
/// The one name that the limits of a virtual host have.
const LIMITS: &str = "limits";

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Path((component, vhost, name)): Path<Named>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let (vhost, name) = (short("vhost", &vhost)?, short("name", &name)?);
    check(&admin, &caller, &component, &vhost, &name)?;
    let value = body.read().await?.object("value")?;
    if component == OPERATOR_POLICY {
        return set_policy(&admin, &caller, PolicyOwner::Operator, (vhost, name), &value).await;
    }
    let mut limits = Vec::new();
    for key in value.keys() {
        limits.push((limit_of_vhost(key)?, value.integer(key)?));
    }
    for limit in Limit::OF_VHOST {
        let most = limits.iter().find(|(there, _)| *there == limit).and_then(|(_, most)| *most);
        let most = most.and_then(|most| u64::try_from(most).ok());
        set_limit(&admin, &caller, limit, vhost.clone(), most).await?;
    }
    Ok(no_content())
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Path((component, vhost, name)): Path<Named>,
) -> Result<Response, ApiError> {
    let (vhost, name) = (short("vhost", &vhost)?, short("name", &name)?);
    check(&admin, &caller, &component, &vhost, &name)?;
    if component == OPERATOR_POLICY {
        let named = (vhost.to_string(), name.to_string());
        return clear(&admin, &caller, PolicyOwner::Operator, named).await;
    }
    for limit in Limit::OF_VHOST {
        set_limit(&admin, &caller, limit, vhost.clone(), None).await?;
    }
    Ok(no_content())
}

/// Those that mean something here, by callers who may set them.
fn check(
    admin: &Admin,
    caller: &Caller,
    component: &str,
    vhost: &ShortStr,
    name: &ShortStr,
) -> Result<(), ApiError> {
    caller.check_administrator()?;
    caller.check_vhost(admin, vhost)?;
    match component {
        OPERATOR_POLICY => Ok(()),
        VHOST_LIMITS if name == LIMITS => Ok(()),
        VHOST_LIMITS => Err(ApiError::bad(format!("name: '{name}', expected '{LIMITS}'"))),
        _ => Err(ApiError::bad(format!(
            "component {component} not found, expected '{OPERATOR_POLICY}' or '{VHOST_LIMITS}'"
        ))),
    }
}

fn seen(admin: &Admin, caller: &Caller, is_wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let (catalogue, snapshot) = (admin.catalogue(), admin.snapshot());
    let vhosts = catalogue.vhosts().filter(|vhost| caller.sees(admin, vhost));
    let of_vhost = |vhost: &ShortStr| {
        let mut parameters = parameters(&catalogue, snapshot.access.limits(), vhost);
        for object in parameters.iter_mut().filter_map(Value::as_object_mut) {
            object.insert("vhost".to_owned(), json!(vhost.to_string()));
        }
        parameters
    };
    vhosts.flat_map(of_vhost).filter(is_wanted).collect()
}
