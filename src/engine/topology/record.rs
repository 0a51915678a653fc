//! Durable objects as records of the store: keys that begin with their kind, values that begin
//! with their version.
//!
//! ```text
//! key                          value (version:u8 first)
//! 'v' name                     nothing, or version 2: metadata:table
//! 'x' vhost:short name:short   flags:u8 kind:short arguments:table
//! 'q' id:u64                   flags:u8 vhost:short name:short arguments:table, or version 2 while it
//!                              is paused: flags:u8 vhost:short name:short since:u64 by:short
//!                              arguments:table
//! 'b' number:u64               vhost:short source:short destination:u8 name:short
//!                              routing_key:short arguments:table
//! 'n'                          ceiling:u64, above every queue id ever given
//! 'p' vhost:short owner:u8     priority:i64 pattern:long apply-to:short definition:table
//!     name:short
//! 's' vhost:short name:short   a schedule, as in `schedules/schedule_record.rs`
//! 'r' vhost:short [end:u8      -
//!     name:short]
//!
//! short: length:u8 bytes; long: length:u16 bytes; table: as on the wire; flags: 1 auto-delete,
//! 2 internal; destination, end: 0 queue, 1 exchange; 'r' tells of what is being removed, a virtual
//! host when it names no end; owner: 0 user, 1 operator; integers big endian
//! ```

use super::exchange_record::ExchangeRecord;
use super::policy::{Policy, PolicyOwner};
use super::queue_record::QueueRecord;
use super::vhost::VhostMetadata;
use crate::model::{Binding, Destination, QueueId};
use crate::operation::Operation;
use bytes::{BufMut, Bytes, BytesMut};
use forebay_wire::{FieldTable, ShortStr};

/// The number by which the store knows a binding.
pub(super) type BindingNumber = u64;

/// The version of every value here.
pub(super) const VERSION: u8 = 1;

/// The version of a virtual host of which something is said.
pub(super) const VERSION_WITH_METADATA: u8 = 2;

/// The version of a queue that is paused.
pub(super) const VERSION_PAUSED: u8 = 2;

pub(super) const KIND_VHOST: u8 = b'v';
pub(super) const KIND_EXCHANGE: u8 = b'x';
pub(super) const KIND_QUEUE: u8 = b'q';
pub(super) const KIND_BINDING: u8 = b'b';
pub(super) const KIND_NEXT_QUEUE: u8 = b'n';
pub(super) const KIND_POLICY: u8 = b'p';
pub(super) const KIND_REMOVAL: u8 = b'r';
pub(super) const KIND_SCHEDULE: u8 = crate::schedules::KIND_SCHEDULE;

pub(super) const FLAG_AUTO_DELETE: u8 = 1;
pub(super) const FLAG_INTERNAL: u8 = 2;

pub(super) const TO_QUEUE: u8 = 0;
pub(super) const TO_EXCHANGE: u8 = 1;

pub(super) const OWNER_USER: u8 = 0;
pub(super) const OWNER_OPERATOR: u8 = 1;

pub(super) fn put_vhost(name: &ShortStr, metadata: &VhostMetadata) -> Operation {
    let table = metadata.to_table();
    if table.is_empty() {
        return put(vhost_key(name), value());
    }
    let mut value = BytesMut::from_iter([VERSION_WITH_METADATA]);
    put_table(&mut value, &table);
    put(vhost_key(name), value)
}

pub(super) fn remove_vhost(name: &ShortStr) -> Operation {
    Operation::RemoveRecord { key: vhost_key(name) }
}

pub(super) fn put_exchange(exchange: &ExchangeRecord) -> Operation {
    let mut value = value();
    let internal = if exchange.internal { FLAG_INTERNAL } else { 0 };
    value.put_u8(auto_delete_flag(exchange.auto_delete) | internal);
    put_short(&mut value, exchange.kind.name().as_bytes());
    put_table(&mut value, &exchange.arguments);
    put(exchange_key(exchange), value)
}

pub(super) fn remove_exchange(exchange: &ExchangeRecord) -> Operation {
    Operation::RemoveRecord { key: exchange_key(exchange) }
}

pub(super) fn put_queue(queue: &QueueRecord) -> Operation {
    let version = if queue.pause.is_some() { VERSION_PAUSED } else { VERSION };
    let mut value = BytesMut::from_iter([version]);
    value.put_u8(auto_delete_flag(queue.auto_delete));
    put_short(&mut value, queue.vhost.as_bytes());
    put_short(&mut value, queue.name.as_bytes());
    if let Some(pause) = &queue.pause {
        value.put_u64(pause.since.0);
        put_short(&mut value, pause.by.as_bytes());
    }
    put_table(&mut value, &queue.arguments);
    put(numbered_key(KIND_QUEUE, queue.id.0), value)
}

pub(super) fn remove_queue(queue: QueueId) -> Operation {
    Operation::RemoveRecord { key: numbered_key(KIND_QUEUE, queue.0) }
}

pub(super) fn put_binding(number: BindingNumber, vhost: &ShortStr, binding: &Binding) -> Operation {
    let mut value = value();
    put_short(&mut value, vhost.as_bytes());
    put_short(&mut value, binding.source.as_bytes());
    let (destination, name) = match &binding.destination {
        Destination::Queue(name) => (TO_QUEUE, name),
        Destination::Exchange(name) => (TO_EXCHANGE, name),
    };
    value.put_u8(destination);
    put_short(&mut value, name.as_bytes());
    put_short(&mut value, binding.routing_key.as_bytes());
    put_table(&mut value, &binding.arguments);
    put(numbered_key(KIND_BINDING, number), value)
}

pub(super) fn remove_binding(number: BindingNumber) -> Operation {
    Operation::RemoveRecord { key: numbered_key(KIND_BINDING, number) }
}

/// No queue has an id of `ceiling` or above, nor had one ever.
pub(super) fn put_next_queue(ceiling: QueueId) -> Operation {
    let mut value = value();
    value.put_u64(ceiling.0);
    put(BytesMut::from_iter([KIND_NEXT_QUEUE]).freeze(), value)
}

pub(super) fn put_policy(vhost: &ShortStr, policy: &Policy) -> Operation {
    let mut value = value();
    value.put_i64(policy.priority());
    let pattern = policy.pattern().as_str().as_bytes();
    // A pattern's length is bounded far below.
    value.put_u16(pattern.len() as u16);
    value.put_slice(pattern);
    put_short(&mut value, policy.applies_to().name().as_bytes());
    put_table(&mut value, policy.definition());
    put(policy_key(vhost, policy), value)
}

pub(super) fn remove_policy(vhost: &ShortStr, policy: &Policy) -> Operation {
    Operation::RemoveRecord { key: policy_key(vhost, policy) }
}

/// The object is gone, and what belongs to it is being removed.
pub(super) fn put_removal(vhost: &ShortStr, end: Option<&Destination>) -> Operation {
    put(removal_key(vhost, end), value())
}

/// Nothing is left of it.
pub(super) fn remove_removal(vhost: &ShortStr, end: Option<&Destination>) -> Operation {
    Operation::RemoveRecord { key: removal_key(vhost, end) }
}

fn removal_key(vhost: &ShortStr, end: Option<&Destination>) -> Bytes {
    let mut key = BytesMut::from_iter([KIND_REMOVAL]);
    put_short(&mut key, vhost.as_bytes());
    let end = end.map(|end| match end {
        Destination::Queue(name) => (TO_QUEUE, name),
        Destination::Exchange(name) => (TO_EXCHANGE, name),
    });
    if let Some((kind, name)) = end {
        key.put_u8(kind);
        put_short(&mut key, name.as_bytes());
    }
    key.freeze()
}

fn put(key: Bytes, value: BytesMut) -> Operation {
    Operation::PutRecord { key, value: value.freeze() }
}

fn value() -> BytesMut {
    BytesMut::from_iter([VERSION])
}

fn vhost_key(name: &ShortStr) -> Bytes {
    let mut key = BytesMut::from_iter([KIND_VHOST]);
    key.put_slice(name.as_bytes());
    key.freeze()
}

fn exchange_key(exchange: &ExchangeRecord) -> Bytes {
    let mut key = BytesMut::from_iter([KIND_EXCHANGE]);
    put_short(&mut key, exchange.vhost.as_bytes());
    put_short(&mut key, exchange.name.as_bytes());
    key.freeze()
}

fn policy_key(vhost: &ShortStr, policy: &Policy) -> Bytes {
    let mut key = BytesMut::from_iter([KIND_POLICY]);
    put_short(&mut key, vhost.as_bytes());
    key.put_u8(match policy.owner() {
        PolicyOwner::User => OWNER_USER,
        PolicyOwner::Operator => OWNER_OPERATOR,
    });
    put_short(&mut key, policy.name().as_bytes());
    key.freeze()
}

pub(super) fn numbered_key(kind: u8, number: u64) -> Bytes {
    let mut key = BytesMut::from_iter([kind]);
    key.put_u64(number);
    key.freeze()
}

fn auto_delete_flag(auto_delete: bool) -> u8 {
    if auto_delete { FLAG_AUTO_DELETE } else { 0 }
}

/// Names are short strings already: their length fits one byte.
fn put_short(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u8(bytes.len() as u8);
    out.put_slice(bytes);
}

fn put_table(out: &mut BytesMut, table: &FieldTable) {
    table.encode(out);
}
