//! `/api/parameters`: operators' policies and limits of virtual hosts, as RabbitMQ keeps them among
//! the settings of its plugins. They are changed by calls of their own.

use super::api_error::ApiError;
use super::caller::Caller;
use super::listing::Listing;
use super::{Admin, json_reply, short};
use crate::definitions::parameters;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use forebay_wire::ShortStr;
use serde_json::{Value, json};

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(seen(&admin, &caller, |_| true).await?)
}

pub(super) async fn of_component(
    State(admin): State<Admin>,
    caller: Caller,
    Path(component): Path<String>,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    let is_of = |value: &Value| value["component"] == json!(component);
    listing.reply(seen(&admin, &caller, is_of).await?)
}

pub(super) async fn of_vhost(
    State(admin): State<Admin>,
    caller: Caller,
    Path((component, vhost)): Path<(String, String)>,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    caller.check_sees(&admin, &short("vhost", &vhost)?)?;
    let is_of =
        |value: &Value| value["component"] == json!(component) && value["vhost"] == json!(vhost);
    listing.reply(seen(&admin, &caller, is_of).await?)
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
    Ok(json_reply(seen(&admin, &caller, is_it).await?.first().ok_or_else(missing)?))
}

async fn seen(
    admin: &Admin,
    caller: &Caller,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Vec<Value>, ApiError> {
    let routes = admin.routes();
    let all = admin.link().look(move |shard| {
        let vhosts: Vec<ShortStr> = shard.topology().vhosts().cloned().collect();
        let of = |vhost: ShortStr| {
            let parameters = parameters(shard.topology(), routes.limits(), &vhost);
            (vhost, parameters)
        };
        vhosts.into_iter().map(of).collect::<Vec<_>>()
    });
    let seen = all.await?.into_iter().filter(|(vhost, _)| caller.sees(admin, vhost));
    let with_vhost = seen.flat_map(|(vhost, parameters)| {
        parameters.into_iter().map(move |mut parameter| {
            if let Some(object) = parameter.as_object_mut() {
                object.insert("vhost".to_owned(), json!(vhost.to_string()));
            }
            parameter
        })
    });
    Ok(with_vhost.filter(is_wanted).collect())
}
