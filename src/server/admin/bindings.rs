//! `/api/bindings`.

use super::api_error::ApiError;
use super::caller::{Caller, Visit};
use super::listing::Listing;
use super::messages::exchange_name;
use super::request_body::RequestBody;
use super::{Admin, json_reply, no_content, object_name, short, table_json};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay_engine::command::{Binding, Destination, TopologyRequest};
use forebay_engine::object_name::ObjectName;
use forebay_wire::{FieldTable, ShortStr};
use serde_json::{Value, json};

/// What stands in paths for an empty routing key without arguments.
const EMPTY_KEY: &str = "~";

type Ends = (String, String, String);
type One = (String, String, String, String);

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    let vhosts = admin.link().look(|shard| shard.topology().vhosts().cloned().collect::<Vec<_>>());
    let mut bindings = Vec::new();
    for vhost in vhosts.await?.into_iter().filter(|vhost| caller.sees(&admin, vhost)) {
        bindings.extend(admin.bindings(vhost, |_| true).await?);
    }
    listing.reply(bindings)
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    Visit { vhost, .. }: Visit,
    Query(listing): Query<Listing>,
) -> Result<Response, ApiError> {
    listing.reply(admin.bindings(vhost, |_| true).await?)
}

pub(super) async fn of_queue(
    State(admin): State<Admin>,
    Visit { vhost, .. }: Visit,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    admin.check_queue(&vhost, &name).await?;
    let to = Destination::Queue(name);
    let bindings = admin.bindings(vhost, move |binding| binding.destination == to).await?;
    Ok(json_reply(&bindings.into()))
}

pub(super) async fn from_exchange(
    State(admin): State<Admin>,
    Visit { vhost, .. }: Visit,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name = exchange_name("exchange", &name)?;
    let bindings = admin.bindings(vhost, move |binding| binding.source == name).await?;
    Ok(json_reply(&bindings.into()))
}

pub(super) async fn to_exchange(
    State(admin): State<Admin>,
    Visit { vhost, .. }: Visit,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name = object_name("exchange", &name)?;
    let to = Destination::Exchange(name);
    let bindings = admin.bindings(vhost, move |binding| binding.destination == to).await?;
    Ok(json_reply(&bindings.into()))
}

pub(super) async fn between_queue(
    State(admin): State<Admin>,
    caller: Caller,
    Path(ends): Path<Ends>,
) -> Result<Response, ApiError> {
    between(&admin, &caller, ends, Destination::Queue).await
}

pub(super) async fn between_exchanges(
    State(admin): State<Admin>,
    caller: Caller,
    Path(ends): Path<Ends>,
) -> Result<Response, ApiError> {
    between(&admin, &caller, ends, Destination::Exchange).await
}

pub(super) async fn bind_queue(
    State(admin): State<Admin>,
    caller: Caller,
    Path(ends): Path<Ends>,
    body: Bytes,
) -> Result<Response, ApiError> {
    bind(&admin, &caller, ends, Destination::Queue, &body).await
}

pub(super) async fn bind_exchange(
    State(admin): State<Admin>,
    caller: Caller,
    Path(ends): Path<Ends>,
    body: Bytes,
) -> Result<Response, ApiError> {
    bind(&admin, &caller, ends, Destination::Exchange, &body).await
}

pub(super) async fn one_of_queue(
    State(admin): State<Admin>,
    caller: Caller,
    Path(one): Path<One>,
) -> Result<Response, ApiError> {
    let (vhost, binding) = find(&admin, &caller, one, Destination::Queue).await?;
    Ok(json_reply(&describe(&vhost, &binding)))
}

pub(super) async fn one_of_exchange(
    State(admin): State<Admin>,
    caller: Caller,
    Path(one): Path<One>,
) -> Result<Response, ApiError> {
    let (vhost, binding) = find(&admin, &caller, one, Destination::Exchange).await?;
    Ok(json_reply(&describe(&vhost, &binding)))
}

pub(super) async fn unbind_queue(
    State(admin): State<Admin>,
    caller: Caller,
    Path(one): Path<One>,
) -> Result<Response, ApiError> {
    unbind(&admin, &caller, one, Destination::Queue).await
}

pub(super) async fn unbind_exchange(
    State(admin): State<Admin>,
    caller: Caller,
    Path(one): Path<One>,
) -> Result<Response, ApiError> {
    unbind(&admin, &caller, one, Destination::Exchange).await
}

impl Admin {
    async fn bindings(
        &self,
        vhost: ShortStr,
        is_wanted: impl Fn(&Binding) -> bool + Send + 'static,
    ) -> Result<Vec<Value>, ApiError> {
        let bindings = self.link().look(move |shard| {
            let topology = shard.topology();
            let queues = topology.queues().filter(|queue| queue.vhost == vhost);
            let implied = queues.map(|queue| bound_by_name(&queue.name));
            let bindings = implied.chain(topology.bindings(&vhost));
            let wanted = bindings.filter(|binding| is_wanted(binding));
            wanted.map(|binding| describe(&vhost, &binding)).collect()
        });
        Ok(bindings.await?)
    }
}

async fn between(
    admin: &Admin,
    caller: &Caller,
    (vhost, source, name): Ends,
    to: fn(ObjectName) -> Destination,
) -> Result<Response, ApiError> {
    let (vhost, source) = (short("vhost", &vhost)?, exchange_name("source", &source)?);
    caller.check_sees(admin, &vhost)?;
    let to = to(object_name("destination", &name)?);
    let is_wanted = move |there: &Binding| there.source == source && there.destination == to;
    Ok(json_reply(&admin.bindings(vhost, is_wanted).await?.into()))
}

async fn bind(
    admin: &Admin,
    caller: &Caller,
    (vhost, source, name): Ends,
    to: fn(ObjectName) -> Destination,
    body: &[u8],
) -> Result<Response, ApiError> {
    let vhost = short("vhost", &vhost)?;
    let body = RequestBody::parse(body)?;
    let binding = Binding {
        source: exchange_name("source", &source)?,
        destination: to(object_name("destination", &name)?),
        routing_key: short("routing_key", body.text("routing_key")?.unwrap_or_default())?,
        arguments: body.table("arguments")?,
    };
    let key = properties_key(&binding);
    let request = TopologyRequest::Bind(binding);
    caller.check_request(admin, &vhost, &request)?;
    admin.request(caller, vhost, request).await?;
    let location = HeaderValue::from_str(&key.replace('%', "%25"));
    let location = location.unwrap_or_else(|_| HeaderValue::from_static(EMPTY_KEY));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

async fn unbind(
    admin: &Admin,
    caller: &Caller,
    one: One,
    to: fn(ObjectName) -> Destination,
) -> Result<Response, ApiError> {
    let (vhost, binding) = find(admin, caller, one, to).await?;
    let request = TopologyRequest::Unbind(binding);
    caller.check_request(admin, &vhost, &request)?;
    admin.request(caller, vhost, request).await?;
    Ok(no_content())
}

/// The binding that a path names.
async fn find(
    admin: &Admin,
    caller: &Caller,
    (vhost, source, name, key): One,
    to: fn(ObjectName) -> Destination,
) -> Result<(ShortStr, Binding), ApiError> {
    let (vhost, source) = (short("vhost", &vhost)?, exchange_name("source", &source)?);
    caller.check_sees(admin, &vhost)?;
    let to = to(object_name("destination", &name)?);
    let missing = || ApiError::not_found(format!("no binding '{key}' in vhost '{vhost}'"));
    let (there, wanted) = (vhost.clone(), key.clone());
    let found = admin.link().look(move |shard| {
        shard.topology().bindings(&there).find(|binding| {
            binding.source == source
                && binding.destination == to
                && properties_key(binding) == wanted
        })
    });
    let binding = found.await?.ok_or_else(missing)?;
    Ok((vhost, binding))
}

/// As every queue is to the default exchange.
fn bound_by_name(queue: &ShortStr) -> Binding {
    Binding {
        source: ObjectName::EMPTY,
        destination: Destination::Queue(queue.into()),
        routing_key: queue.clone(),
        arguments: FieldTable::new(),
    }
}

fn describe(vhost: &ShortStr, binding: &Binding) -> Value {
    let (kind, name) = match &binding.destination {
        Destination::Queue(name) => ("queue", name),
        Destination::Exchange(name) => ("exchange", name),
    };
    json!({
        "arguments": table_json::to_json(&binding.arguments),
        "destination": name.to_string(),
        "destination_type": kind,
        "properties_key": properties_key(binding),
        "routing_key": binding.routing_key.to_string(),
        "source": binding.source.to_string(),
        "vhost": vhost.to_string(),
    })
}

/// What tells bindings with the same ends apart in paths: the routing key, escaped as RabbitMQ
/// does it, and a digest of the arguments when there are any.
fn properties_key(binding: &Binding) -> String {
    let key = escaped(binding.routing_key.as_bytes());
    match arguments_digest(&binding.arguments) {
        None if key.is_empty() => EMPTY_KEY.to_owned(),
        None => key,
        Some(digest) => format!("{key}{EMPTY_KEY}{digest:016x}"),
    }
}

/// As in the query of an address.
fn escaped(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for octet in octets {
        match *octet {
            b' ' => text.push('+'),
            plain if plain.is_ascii_alphanumeric() || b"-._".contains(&plain) => {
                text.push(char::from(plain));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// FNV-1a of the arguments as they are encoded.
fn arguments_digest(arguments: &FieldTable) -> Option<u64> {
    if arguments.is_empty() {
        return None;
    }
    let mut octets = bytes::BytesMut::new();
    arguments.encode(&mut octets);
    let step = |digest: u64, octet: &u8| (digest ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3);
    Some(octets.iter().fold(0xcbf2_9ce4_8422_2325, step))
}
