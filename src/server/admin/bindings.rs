//! `/api/bindings`.

use super::api_error::ApiError;
use super::caller::{Caller, VhostAccess};
use super::context::Admin;
use super::extract::{Path, UnreadBody};
use super::listing::Listing;
use super::names::exchange_name;
use super::names::{object_name, short};
use super::reply::{json_reply, no_content};
use crate::definitions::table_json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay_engine::model::{Binding, Destination, ObjectName, TopologyRequest};
use forebay_engine::topology::Topology;
use forebay_wire::{FieldTable, ShortStr};
use serde_json::{Value, json};

/// What stands in paths for an empty routing key without arguments.
const EMPTY_KEY: &str = "~";

type Ends = (String, String, String);
type One = (String, String, String, String);

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, ApiError> {
    let catalogue = admin.catalogue();
    let seen = catalogue.vhosts().filter(|vhost| caller.sees(&admin, vhost));
    let bindings = seen.flat_map(|vhost| all(&catalogue, vhost)).collect();
    reply(listing, bindings).await
}

pub(super) async fn list_of_vhost(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    listing: Listing,
) -> Result<Response, ApiError> {
    reply(listing, all(&admin.catalogue(), &vhost)).await
}

pub(super) async fn of_queue(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    admin.check_queue(&vhost, &name)?;
    let own = describe(&vhost, &bound_by_name(&name));
    let others = admin.catalogue().bindings_to(&vhost, &Destination::Queue(name));
    let others = others.iter().map(|binding| describe(&vhost, binding));
    Ok(json_reply(&std::iter::once(own).chain(others).collect()))
}

pub(super) async fn from_exchange(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    Path((_, name)): Path<(String, String)>,
    listing: Listing,
) -> Result<Response, ApiError> {
    let name = exchange_name("exchange", &name)?;
    admin.check_exchange(&vhost, &name)?;
    let catalogue = admin.catalogue();
    let bindings: Vec<_> = match name.is_empty() {
        true => queue_names(&catalogue, &vhost).map(|queue| bound_by_name(&queue)).collect(),
        false => catalogue.bindings_from(&vhost, &name),
    };
    let bindings = bindings.into_iter().map(|binding| (vhost.clone(), binding));
    reply(listing, bindings.collect()).await
}

pub(super) async fn to_exchange(
    State(admin): State<Admin>,
    VhostAccess { vhost, .. }: VhostAccess,
    Path((_, name)): Path<(String, String)>,
    listing: Listing,
) -> Result<Response, ApiError> {
    let name = exchange_name("exchange", &name)?;
    admin.check_exchange(&vhost, &name)?;
    let bindings = admin.catalogue().bindings_to(&vhost, &Destination::Exchange(name));
    let bindings = bindings.into_iter().map(|binding| (vhost.clone(), binding));
    reply(listing, bindings.collect()).await
}

pub(super) async fn between_queue(
    State(admin): State<Admin>,
    caller: Caller,
    Path(ends): Path<Ends>,
) -> Result<Response, ApiError> {
    between(&admin, &caller, ends, Destination::Queue)
}

pub(super) async fn between_exchanges(
    State(admin): State<Admin>,
    caller: Caller,
    Path(ends): Path<Ends>,
) -> Result<Response, ApiError> {
    between(&admin, &caller, ends, Destination::Exchange)
}

pub(super) async fn bind_queue(
    State(admin): State<Admin>,
    caller: Caller,
    Path(ends): Path<Ends>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    bind(&admin, &caller, ends, Destination::Queue, body).await
}

pub(super) async fn bind_exchange(
    State(admin): State<Admin>,
    caller: Caller,
    Path(ends): Path<Ends>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    bind(&admin, &caller, ends, Destination::Exchange, body).await
}

pub(super) async fn one_of_queue(
    State(admin): State<Admin>,
    caller: Caller,
    Path(one): Path<One>,
) -> Result<Response, ApiError> {
    let (vhost, binding) = find(&admin, &caller, one, Destination::Queue)?;
    Ok(json_reply(&describe(&vhost, &binding)))
}

pub(super) async fn one_of_exchange(
    State(admin): State<Admin>,
    caller: Caller,
    Path(one): Path<One>,
) -> Result<Response, ApiError> {
    let (vhost, binding) = find(&admin, &caller, one, Destination::Exchange)?;
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

/// Bindings with their virtual hosts.
type Found = Vec<(ShortStr, Binding)>;

async fn reply(listing: Listing, bindings: Found) -> Result<Response, ApiError> {
    listing.reply(bindings, |(vhost, binding)| describe(vhost, binding)).await
}

/// All bindings of a virtual host, those to the default exchange first.
fn all(catalogue: &Topology, vhost: &ShortStr) -> Found {
    let implied = queue_names(catalogue, vhost).map(|queue| bound_by_name(&queue));
    let bindings = implied.chain(catalogue.bindings(vhost));
    bindings.map(|binding| (vhost.clone(), binding)).collect()
}

fn queue_names(catalogue: &Topology, vhost: &ShortStr) -> impl Iterator<Item = ShortStr> {
    catalogue.queues_of(vhost).map(|queue| queue.name.clone())
}

fn between(
    admin: &Admin,
    caller: &Caller,
    (vhost, source, name): Ends,
    to: fn(ObjectName) -> Destination,
) -> Result<Response, ApiError> {
    let (vhost, source) = (short("vhost", &vhost)?, exchange_name("source", &source)?);
    caller.check_sees(admin, &vhost)?;
    let found = bindings_between(admin, &vhost, &source, to(object_name("destination", &name)?))?;
    Ok(json_reply(&found.iter().map(|binding| describe(&vhost, binding)).collect()))
}

/// The bindings between two ends that are there.
fn bindings_between(
    admin: &Admin,
    vhost: &ShortStr,
    source: &ObjectName,
    to: Destination,
) -> Result<Vec<Binding>, ApiError> {
    admin.check_exchange(vhost, source)?;
    match &to {
        Destination::Queue(name) => admin.check_queue(vhost, name)?,
        Destination::Exchange(name) => admin.check_exchange(vhost, name)?,
    }
    if let (Destination::Queue(name), true) = (&to, source.is_empty()) {
        return Ok(vec![bound_by_name(name)]);
    }
    let mut found = admin.catalogue().bindings_to(vhost, &to);
    found.retain(|binding| binding.source == *source);
    Ok(found)
}

async fn bind(
    admin: &Admin,
    caller: &Caller,
    (vhost, source, name): Ends,
    to: fn(ObjectName) -> Destination,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let vhost = short("vhost", &vhost)?;
    let ends = Binding {
        source: exchange_name("source", &source)?,
        destination: to(object_name("destination", &name)?),
        routing_key: ShortStr::default(),
        arguments: FieldTable::new(),
    };
    // Which permissions a binding needs depends on its ends alone.
    caller.check_request(admin, &vhost, &TopologyRequest::Bind(ends.clone()))?;
    let body = body.read().await?;
    let binding = Binding {
        routing_key: short("routing_key", body.text("routing_key")?.unwrap_or_default())?,
        arguments: body.table("arguments")?,
        ..ends
    };
    let key = properties_key(&binding);
    admin.request(caller, vhost, TopologyRequest::Bind(binding)).await?;
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
    let (vhost, binding) = find(admin, caller, one, to)?;
    let request = TopologyRequest::Unbind(binding);
    caller.check_request(admin, &vhost, &request)?;
    admin.request(caller, vhost, request).await?;
    Ok(no_content())
}

/// The binding that a path names.
fn find(
    admin: &Admin,
    caller: &Caller,
    (vhost, source, name, key): One,
    to: fn(ObjectName) -> Destination,
) -> Result<(ShortStr, Binding), ApiError> {
    let (vhost, source) = (short("vhost", &vhost)?, exchange_name("source", &source)?);
    caller.check_sees(admin, &vhost)?;
    let found = bindings_between(admin, &vhost, &source, to(object_name("destination", &name)?))?;
    let missing = || ApiError::not_found(format!("no binding '{key}' in vhost '{vhost}'"));
    // A properties key stands in a path escaped once more, as whole paths are, or as it is listed.
    let is_escaped = |binding: &&Binding| properties_key(binding) == key;
    let is_listed = |binding: &&Binding| unescaped(&properties_key(binding)) == key;
    let named = found.iter().find(is_escaped).or_else(|| found.iter().find(is_listed));
    let binding = named.ok_or_else(missing)?.clone();
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
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match *byte {
            b' ' => text.push('+'),
            plain if plain.is_ascii_alphanumeric() || b"-._".contains(&plain) => {
                text.push(char::from(plain));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// What a key says once the server has taken its escapes off, as it does with every path.
fn unescaped(key: &str) -> String {
    percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned()
}

/// FNV-1a of the arguments as they are encoded.
fn arguments_digest(arguments: &FieldTable) -> Option<u64> {
    if arguments.is_empty() {
        return None;
    }
    let mut bytes = bytes::BytesMut::new();
    arguments.encode(&mut bytes);
    let step = |digest: u64, byte: &u8| (digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    Some(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}
