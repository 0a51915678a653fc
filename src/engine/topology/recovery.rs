//! The topology from the store's records. Nothing is guessed: a record that can't be read whole,
//! or that names what is not there, stops the recovery and is named.

use super::arguments::BadArgument;
use super::exchange_kind::ExchangeKind;
use super::exchange_record::{ExchangeRecord, declared_alternate};
use super::names::Resource;
use super::once_unchecked;
use super::pause::Pause;
use super::policy::{Policy, PolicyOwner, PolicyRequest};
use super::queue_record::QueueRecord;
use super::record;
use super::record_fields::{Fields, Read, RecordFlaw};
use super::settings::QueueSettings;
use super::vhost::{VhostMetadata, VhostUpdate};
use super::{QueueIds, Topology};
use crate::access;
use crate::clock_record;
use crate::deduplication;
use crate::delivered_record;
use crate::model::{Binding, QueueId, WallClock};
use crate::schedules::{is_progress_record, read_schedule};
use bytes::Bytes;
use forebay_wire::{FieldTable, ShortStr};
use std::convert::Infallible;

/// A record of the store that can't be taken: damaged, or written by a newer version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("topology record {key}: {flaw}")]
pub struct TopologyRecordError {
    /// The record's key, escaped for people.
    pub key: String,
    /// What is wrong with it.
    pub flaw: RecordFlaw,
}

impl Topology {
    /// The topology as its records tell, from all that are in the store, in any order. Permissions
    /// are passed over.
    ///
    /// # Errors
    /// Names the first record that is damaged, or newer than this program.
    pub fn recover(records: &[(Bytes, Bytes)]) -> Result<Self, TopologyRecordError> {
        let mut topology = Self::new();
        topology.take_all(records, |key, flaw| {
            Err(TopologyRecordError { key: key.escape_ascii().to_string(), flaw })
        })?;
        // What a removal had left over goes now.
        topology.operations = std::mem::take(&mut topology.removals.interrupted).operations();
        Ok(topology)
    }

    /// The records among these, by key, that [`Topology::recover`] refuses because others are lost
    /// that they need. It takes the rest.
    #[must_use]
    pub fn rejected_records(records: &[(Bytes, Bytes)]) -> Vec<(Bytes, RecordFlaw)> {
        let mut rejected_records = Vec::new();
        let taken = Self::new().take_all(records, |key, flaw| {
            if matches!(flaw, RecordFlaw::Damaged { .. } | RecordFlaw::Refused { .. }) {
                rejected_records.push((key.clone(), flaw));
            }
            Ok::<_, Infallible>(())
        });
        match taken {
            Ok(()) => rejected_records,
        }
    }

    fn take_all<E>(
        &mut self,
        records: &[(Bytes, Bytes)],
        mut refuse: impl FnMut(&Bytes, RecordFlaw) -> Result<(), E>,
    ) -> Result<(), E> {
        // Every kind needs those before it.
        const ORDER: [u8; 8] = [
            record::KIND_REMOVAL,
            record::KIND_NEXT_QUEUE,
            record::KIND_VHOST,
            record::KIND_POLICY,
            record::KIND_SCHEDULE,
            record::KIND_EXCHANGE,
            record::KIND_QUEUE,
            record::KIND_BINDING,
        ];
        let unknown = |key: &Bytes| key.first().is_none_or(|kind| !ORDER.contains(kind));
        let is_elsewhere = |key: &Bytes| {
            access::is_ours(key)
                || clock_record::is_ours(key)
                || delivered_record::is_ours(key)
                || deduplication::is_ours(key)
                || is_progress_record(key)
        };
        let foreign = |key: &Bytes| unknown(key) && !is_elsewhere(key);
        for (key, _) in records.iter().filter(|(key, _)| foreign(key)) {
            refuse(key, RecordFlaw::Kind)?;
        }
        for kind in ORDER {
            for (key, value) in records.iter().filter(|(key, _)| key.first() == Some(&kind)) {
                if let Err(flaw) = self.take_record(kind, key, value) {
                    refuse(key, flaw)?;
                }
            }
        }
        Ok(())
    }

    fn take_record(&mut self, kind: u8, whole: &Bytes, whole_value: &Bytes) -> Read<()> {
        let mut key = Fields { rest: whole.slice(1..) };
        let mut value = Fields { rest: whole_value.clone() };
        match value.byte("version")? {
            record::VERSION => {}
            record::VERSION_WITH_METADATA if kind == record::KIND_VHOST => {
                return self.take_vhost(whole, key, &value.last_table("metadata")?);
            }
            record::VERSION_PAUSED if kind == record::KIND_QUEUE => {
                return self.take_queue(whole, key, value, true);
            }
            found => return Err(RecordFlaw::Version { found }),
        }
        match kind {
            record::KIND_REMOVAL => self.take_removal(whole, key, &value),
            record::KIND_NEXT_QUEUE => self.take_next_queue(&key, value),
            record::KIND_VHOST => {
                value.end()?;
                self.take_vhost(whole, key, &FieldTable::new())
            }
            record::KIND_POLICY => self.take_policy(whole, key, value),
            record::KIND_SCHEDULE => self.take_schedule(whole, whole_value),
            record::KIND_EXCHANGE => self.take_exchange_record(whole, key, value),
            record::KIND_QUEUE => self.take_queue(whole, key, value, false),
            _ => {
                let number = key.integer("number")?;
                key.end()?;
                self.next_binding = self.next_binding.max(number.saturating_add(1));
                self.take_binding(whole, number, value)
            }
        }
    }

    fn take_next_queue(&mut self, key: &Fields, mut value: Fields) -> Read<()> {
        key.end()?;
        self.queue_ids = QueueIds::from_ceiling(QueueId(value.integer("ceiling")?));
        value.end()
    }

    fn take_removal(&mut self, whole: &Bytes, mut key: Fields, value: &Fields) -> Read<()> {
        value.end()?;
        let vhost = key.short("vhost")?;
        let end = match key.rest.is_empty() {
            true => None,
            false => Some(key.destination("end")?),
        };
        key.end()?;
        self.removals.interrupted.add(whole.clone(), vhost, end);
        Ok(())
    }

    fn take_vhost(&mut self, whole: &Bytes, key: Fields, metadata: &FieldTable) -> Read<()> {
        let name =
            ShortStr::try_from(key.rest).map_err(|_| RecordFlaw::Damaged { part: "name" })?;
        let metadata = VhostMetadata::from_table(metadata);
        let metadata = metadata.ok_or(RecordFlaw::Damaged { part: "metadata" })?;
        if !self.removals.interrupted.takes(whole, &name) {
            let update = VhostUpdate {
                description: Some(metadata.description),
                tags: Some(metadata.tags),
                default_queue_type: metadata.default_queue_type,
            };
            self.put_vhost(&name, update);
        }
        Ok(())
    }

    fn take_policy(&mut self, whole: &Bytes, mut key: Fields, mut value: Fields) -> Read<()> {
        let vhost = key.short("vhost")?;
        if self.removals.interrupted.takes(whole, &vhost) {
            return Ok(());
        }
        let owner = match key.byte("owner")? {
            record::OWNER_USER => PolicyOwner::User,
            record::OWNER_OPERATOR => PolicyOwner::Operator,
            _ => return Err(RecordFlaw::Damaged { part: "owner" }),
        };
        let name = key.short("name")?;
        key.end()?;
        let priority = value.integer("priority")?.cast_signed();
        let pattern = value.long("pattern")?;
        let pattern = std::str::from_utf8(&pattern);
        let applies_to = value.short("apply-to")?;
        let mut definition = value.last_table("definition")?;
        once_unchecked::mend_policy(owner, &mut definition);
        let request = PolicyRequest {
            name: &name,
            pattern: pattern.map_err(|_| RecordFlaw::Damaged { part: "pattern" })?,
            apply_to: applies_to.as_str().ok_or(RecordFlaw::Damaged { part: "apply-to" })?,
            definition: &definition,
            priority,
        };
        self.check_vhost(&vhost)?;
        let policy = Policy::stored(owner, request)
            .map_err(|error| RecordFlaw::Refused { reason: error.to_string() })?;
        self.put_policy(&vhost, policy).map_err(|fault| RecordFlaw::Refused { reason: fault.text })
    }

    fn take_schedule(&mut self, whole: &Bytes, value: &Bytes) -> Read<()> {
        let read = read_schedule(whole, value);
        let (key, schedule) = read.map_err(|part| RecordFlaw::Damaged { part })?;
        if !self.removals.interrupted.takes(whole, &key.vhost) {
            self.check_vhost(&key.vhost)?;
            self.add_schedule(&key.vhost, schedule);
        }
        Ok(())
    }

    fn take_exchange_record(
        &mut self,
        whole: &Bytes,
        mut key: Fields,
        mut value: Fields,
    ) -> Read<()> {
        let (vhost, name) = (key.short("vhost")?, key.short("name")?);
        key.end()?;
        if self.removals.interrupted.takes(whole, &vhost) {
            return Ok(());
        }
        let flags = value.flags(record::FLAG_AUTO_DELETE | record::FLAG_INTERNAL)?;
        let kind = ExchangeKind::from_name(value.short("type")?.as_bytes())
            .ok_or(RecordFlaw::Damaged { part: "type" })?;
        let arguments = value.last_table("arguments")?;
        let alternate = declared_alternate(&arguments).map_err(refused_argument)?;
        self.check_vhost(&vhost)?;
        let exchange = ExchangeRecord {
            vhost,
            name,
            kind,
            durable: true,
            auto_delete: flags & record::FLAG_AUTO_DELETE != 0,
            internal: flags & record::FLAG_INTERNAL != 0,
            arguments,
            alternate,
            policy: None,
        };
        self.add_exchange(exchange).map_err(|fault| RecordFlaw::Refused { reason: fault.text })
    }

    fn take_queue(
        &mut self,
        whole: &Bytes,
        mut key: Fields,
        mut value: Fields,
        is_paused: bool,
    ) -> Read<()> {
        let id = QueueId(key.integer("id")?);
        key.end()?;
        let flags = value.flags(record::FLAG_AUTO_DELETE)?;
        let (vhost, name) = (value.short("vhost")?, value.short("name")?);
        if self.removals.interrupted.takes(whole, &vhost) {
            return Ok(());
        }
        let pause = is_paused.then(|| pause(&mut value)).transpose()?;
        let mut arguments = value.last_table("arguments")?;
        once_unchecked::mend_queue(&mut arguments);
        let settings =
            QueueSettings::effective(&arguments, None, None).map_err(refused_argument)?;
        self.check_vhost(&vhost)?;
        if !self.queue_ids.was_given(id) {
            let reason = format!("queue id {id} was never given, by the record of the next one");
            return Err(RecordFlaw::Refused { reason });
        }
        if self.find_queue(&vhost, &name).is_some() {
            let reason = format!("a second {}", Resource::queue(&name, &vhost));
            return Err(RecordFlaw::Refused { reason });
        }
        self.add_queue(QueueRecord {
            id,
            vhost,
            name,
            durable: true,
            exclusive_owner: None,
            auto_delete: flags & record::FLAG_AUTO_DELETE != 0,
            arguments,
            settings,
            policy: None,
            operator_policy: None,
            pause,
        });
        Ok(())
    }

    fn take_binding(&mut self, whole: &Bytes, number: u64, mut value: Fields) -> Read<()> {
        let (vhost, source) = (value.short("vhost")?, value.object_name("source")?);
        let destination = value.destination("destination")?;
        if self.removals.interrupted.takes_binding(whole, &vhost, &source, &destination) {
            return Ok(());
        }
        let routing_key = value.short("routing key")?;
        let arguments = value.last_table("arguments")?;
        self.check_vhost(&vhost)?;
        if self.exchange(&vhost, &source).is_none() {
            let fault = Resource::exchange(&source, &vhost).not_found();
            return Err(RecordFlaw::Refused { reason: fault.text });
        }
        let binding = Binding { source, destination, routing_key, arguments };
        self.add_binding(&vhost, &binding, Some(number))
            .map_err(|fault| RecordFlaw::Refused { reason: fault.text })
    }

    fn check_vhost(&self, vhost: &ShortStr) -> Read<()> {
        if self.routes.has_vhost(vhost.as_bytes()) {
            return Ok(());
        }
        Err(RecordFlaw::Refused { reason: format!("no vhost '{vhost}'") })
    }
}

/// Where the record of a queue stands.
#[must_use]
pub fn queue_record_key(queue: QueueId) -> Bytes {
    record::numbered_key(record::KIND_QUEUE, queue.0)
}

/// Which queue a record tells of, with its virtual host and name; nothing when it tells of none, or
/// can't be read.
#[must_use]
pub fn recorded_queue(key: &Bytes, value: &Bytes) -> Option<(QueueId, ShortStr, ShortStr)> {
    let (kind, value_rest) = (key.first()?, value.get(1..)?);
    let is_known = matches!(value.first()?, &record::VERSION | &record::VERSION_PAUSED);
    if *kind != record::KIND_QUEUE || !is_known {
        return None;
    }
    let mut key = Fields { rest: key.slice(1..) };
    let mut value = Fields { rest: value.slice_ref(value_rest) };
    let id = QueueId(key.integer("id").ok()?);
    value.byte("flags").ok()?;
    Some((id, value.short("vhost").ok()?, value.short("name").ok()?))
}

/// What the record of the next queue id says; nothing when it can't be read.
pub(super) fn recorded_ceiling(value: &Bytes) -> Option<QueueId> {
    let (version, rest) = value.split_first()?;
    let mut rest = Fields { rest: value.slice_ref(rest) };
    (*version == record::VERSION).then(|| rest.integer("ceiling").ok().map(QueueId)).flatten()
}

/// What a record tells of, for people.
pub(super) fn describe_record(key: &Bytes, value: &Bytes) -> String {
    described(key, value).unwrap_or_else(|_| key.escape_ascii().to_string())
}

fn described(key: &Bytes, value: &Bytes) -> Read<String> {
    let mut key = Fields { rest: key.clone() };
    let mut value = Fields { rest: value.clone() };
    value.byte("version")?;
    Ok(match key.byte("kind")? {
        record::KIND_VHOST => format!("of vhost '{}'", key.rest.escape_ascii()),
        record::KIND_POLICY => {
            let vhost = key.short("vhost")?;
            key.byte("owner")?;
            format!("of policy '{}' in vhost '{vhost}'", key.short("name")?)
        }
        record::KIND_SCHEDULE => {
            let vhost = key.short("vhost")?;
            format!("of schedule '{}' in vhost '{vhost}'", key.short("name")?)
        }
        record::KIND_EXCHANGE => {
            let vhost = key.short("vhost")?;
            format!("of {}", Resource::exchange(&key.short("name")?, &vhost))
        }
        record::KIND_QUEUE => {
            value.byte("flags")?;
            let vhost = value.short("vhost")?;
            format!("of {}", Resource::queue(&value.short("name")?, &vhost))
        }
        record::KIND_BINDING => {
            let (vhost, source) = (value.short("vhost")?, value.short("source")?);
            let kind = value.byte("destination")?;
            let kind = if kind == record::TO_QUEUE { "queue" } else { "exchange" };
            let (name, routing_key) = (value.short("destination")?, value.short("routing key")?);
            format!(
                "of the binding of {kind} '{name}' to exchange '{source}' in vhost '{vhost}' with \
                 routing key '{routing_key}'"
            )
        }
        _ => return Err(RecordFlaw::Kind),
    })
}

/// That a queue is paused, as its record says.
fn pause(value: &mut Fields) -> Read<Pause> {
    Ok(Pause { since: WallClock(value.integer("paused since")?), by: value.short("paused by")? })
}

fn refused_argument(bad: BadArgument) -> RecordFlaw {
    RecordFlaw::Refused { reason: format!("argument '{}': {}", bad.name, bad.reason) }
}
