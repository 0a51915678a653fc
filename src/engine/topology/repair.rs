//! Records of which some are lost, made to fit together again: for the repair of a damaged store. A
//! record that can be read, and the messages of its queue, are not dropped because another record is
//! lost.

use super::limits::QUEUE_IDS_RESERVED;
use super::queue_record::QueueRecord;
use super::record_fields::RecordFlaw;
use super::recovery::{recorded_ceiling, recorded_queue};
use super::settings::QueueSettings;
use super::vhost::VhostMetadata;
use super::{Topology, record};
use crate::model::QueueId;
use crate::operation::Operation;
use bytes::Bytes;
use forebay_wire::{FieldTable, ShortStr};
use std::collections::{BTreeMap, BTreeSet};

/// What has to change before [`Topology::recover`] takes the records.
#[derive(Debug, Default)]
pub struct Mending {
    /// Records to be added or replaced.
    pub put: Vec<(Bytes, Bytes)>,
    /// Records that can't stay, and why. None of them is that of a queue with messages.
    pub removed: Vec<RemovedRecord>,
    /// Queues with messages that get another name.
    pub renamed: Vec<RenamedQueue>,
}

/// A record that can't stay.
#[derive(Debug)]
pub struct RemovedRecord {
    /// Its key.
    pub key: Bytes,
    /// What it tells of.
    pub what: String,
    /// Why it can't stay.
    pub flaw: RecordFlaw,
}

/// A queue whose messages are found under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenamedQueue {
    /// The queue.
    pub queue: QueueId,
    /// Its virtual host from now on.
    pub vhost: ShortStr,
    /// Its name from now on.
    pub name: ShortStr,
    /// The name that its record gave it, and why it can't keep it; `None` when the record is lost.
    pub before: Option<(ShortStr, RecordFlaw)>,
}

/// The name under which a queue is found again whose record is lost.
#[must_use]
pub fn recovered_queue_name(queue: QueueId) -> String {
    format!("recovered.{queue}")
}

/// `highest`: no queue has an id above. `with_messages`: queues that have messages; each that has no
/// record, or whose record can't stay, gets one under its [`recovered_queue_name`], in its virtual host
/// or else in the first one.
#[must_use]
pub fn mend(
    records: &[(Bytes, Bytes)],
    highest: QueueId,
    with_messages: &BTreeSet<QueueId>,
) -> Mending {
    let mut mending = Mending::default();
    let mut records = records.to_vec();
    mending.raise_ceiling(highest, &mut records);
    for vhost in missing_vhosts(&records) {
        mending.add(record::put_vhost(&vhost, &VhostMetadata::default()), &mut records);
    }
    mending.settle_names(with_messages, &mut records);
    for (key, flaw) in Topology::rejected_records(&records) {
        let value = records.iter().find(|(there, _)| *there == key).map(|(_, value)| value.clone());
        let queue = value.as_ref().and_then(|value| recorded_queue(&key, value));
        match queue.filter(|(queue, ..)| with_messages.contains(queue)) {
            Some((queue, vhost, name)) => {
                mending.rename(queue, vhost, Some((name, flaw)), &mut records);
            }
            None => mending.remove(&key, flaw, &mut records),
        }
    }
    let recorded: BTreeSet<QueueId> = recorded_queues(&records).map(|(queue, ..)| queue).collect();
    let mut nameless = with_messages.difference(&recorded).copied().peekable();
    if nameless.peek().is_some() {
        let vhosts = records.iter().filter_map(|(key, _)| match key.split_first() {
            Some((&record::KIND_VHOST, name)) => ShortStr::try_from(name).ok(),
            _ => None,
        });
        let vhost = vhosts.min().unwrap_or_else(|| ShortStr::from_static("/"));
        mending.add(record::put_vhost(&vhost, &VhostMetadata::default()), &mut records);
        for queue in nameless {
            mending.rename(queue, vhost.clone(), None, &mut records);
        }
    }
    // What was added may fit no better than what it replaced: a name that is too long, say.
    for (key, flaw) in Topology::rejected_records(&records) {
        mending.remove(&key, flaw, &mut records);
    }
    mending
}

fn recorded_queues(
    records: &[(Bytes, Bytes)],
) -> impl Iterator<Item = (QueueId, ShortStr, ShortStr)> {
    records.iter().filter_map(|(key, value)| recorded_queue(key, value))
}

/// Virtual hosts that queues, exchanges, policies and schedules are in and that have no record.
fn missing_vhosts(records: &[(Bytes, Bytes)]) -> BTreeSet<ShortStr> {
    let mut named = BTreeSet::new();
    for (key, value) in records {
        named.extend(recorded_queue(key, value).map(|(_, vhost, _)| vhost));
        const IN_VHOST: [u8; 3] =
            [record::KIND_EXCHANGE, record::KIND_POLICY, record::KIND_SCHEDULE];
        if let Some((kind, rest)) = key.split_first()
            && IN_VHOST.contains(kind)
        {
            let vhost = rest.split_first().and_then(|(size, rest)| rest.get(..(*size).into()));
            named.extend(vhost.and_then(|vhost| ShortStr::try_from(vhost).ok()));
        }
    }
    for (key, _) in records {
        if let Some((&record::KIND_VHOST, name)) = key.split_first() {
            named.remove(name);
        }
    }
    named
}

/// A queue in which messages stay: without the arguments of before, by which they might expire.
fn nameless_queue(id: QueueId, vhost: &ShortStr, name: ShortStr) -> QueueRecord {
    QueueRecord {
        id,
        vhost: vhost.clone(),
        name,
        durable: true,
        exclusive_owner: None,
        auto_delete: false,
        arguments: FieldTable::default(),
        settings: QueueSettings::default(),
        policy: None,
        operator_policy: None,
        pause: None,
    }
}

impl Mending {
    /// An older record of the next queue id would have it that newer queues were never made.
    fn raise_ceiling(&mut self, highest: QueueId, records: &mut Vec<(Bytes, Bytes)>) {
        let recorded = recorded_queues(records).map(|(queue, ..)| queue).max();
        let highest = highest.max(recorded.unwrap_or_default());
        let ceiling = QueueId(highest.0.saturating_add(1 + QUEUE_IDS_RESERVED));
        let mut ceilings =
            records.iter().filter(|(key, _)| key.first() == Some(&record::KIND_NEXT_QUEUE));
        // One that can't be read was written by a newer version, which is for the recovery to say.
        let is_right = ceilings.next().is_some_and(|(_, value)| {
            recorded_ceiling(value).is_none_or(|ceiling| highest < ceiling)
        });
        if !is_right {
            self.add(record::put_next_queue(ceiling), records);
        }
    }

    /// Of several queues with the same name the newest has it: the others were deleted before, in a
    /// commit that is lost.
    fn settle_names(
        &mut self,
        with_messages: &BTreeSet<QueueId>,
        records: &mut Vec<(Bytes, Bytes)>,
    ) {
        let mut newest = BTreeMap::new();
        for (queue, vhost, name) in recorded_queues(records) {
            let newest = newest.entry((vhost, name)).or_insert(queue);
            *newest = queue.max(*newest);
        }
        let older: Vec<_> = recorded_queues(records)
            .filter(|(queue, vhost, name)| {
                newest.get(&(vhost.clone(), name.clone())).is_some_and(|newest| newest != queue)
            })
            .collect();
        for (queue, vhost, name) in older {
            let reason = "a queue of that name was declared later".to_owned();
            let flaw = RecordFlaw::Refused { reason };
            if with_messages.contains(&queue) {
                self.rename(queue, vhost, Some((name, flaw)), records);
            } else {
                self.remove(&super::queue_record_key(queue), flaw, records);
            }
        }
    }

    fn rename(
        &mut self,
        queue: QueueId,
        vhost: ShortStr,
        before: Option<(ShortStr, RecordFlaw)>,
        records: &mut Vec<(Bytes, Bytes)>,
    ) {
        let taken: BTreeSet<ShortStr> = recorded_queues(records)
            .filter(|(other, there, _)| *other != queue && *there == vhost)
            .map(|(_, _, name)| name)
            .collect();
        let name = recovered_queue_name(queue);
        let names = std::iter::once(name.clone())
            .chain((2..=u64::MAX).map(|number| format!("{name}.{number}")));
        let mut names = names.filter_map(|name| ShortStr::try_from(name.as_str()).ok());
        let name = names.find(|name| !taken.contains(name)).unwrap_or_default();
        self.add(record::put_queue(&nameless_queue(queue, &vhost, name.clone())), records);
        self.renamed.push(RenamedQueue { queue, vhost, name, before });
    }

    fn remove(&mut self, key: &Bytes, flaw: RecordFlaw, records: &mut Vec<(Bytes, Bytes)>) {
        let Some(index) = records.iter().position(|(there, _)| there == key) else { return };
        let (key, value) = records.remove(index);
        self.put.retain(|(put, _)| *put != key);
        let what = super::recovery::describe_record(&key, &value);
        self.removed.push(RemovedRecord { key, what, flaw });
    }

    fn add(&mut self, operation: Operation, records: &mut Vec<(Bytes, Bytes)>) {
        if let Operation::PutRecord { key, value } = operation {
            records.retain(|(there, _)| *there != key);
            self.put.retain(|(there, _)| *there != key);
            records.push((key.clone(), value.clone()));
            self.put.push((key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Binding, Destination, ObjectName};
    use crate::schedules::{CatchUp, Schedule, ScheduleRequest, put_schedule};
    use forebay_wire::Properties;

    fn queue(id: u64, vhost: &'static str) -> Operation {
        let name = ShortStr::try_from(format!("queue {id}").as_str()).unwrap();
        named(id, vhost, name)
    }

    fn named(id: u64, vhost: &'static str, name: ShortStr) -> Operation {
        record::put_queue(&nameless_queue(QueueId(id), &ShortStr::from_static(vhost), name))
    }

    fn records(operations: Vec<Operation>) -> Vec<(Bytes, Bytes)> {
        let record = |operation| match operation {
            Operation::PutRecord { key, value } => (key, value),
            other => panic!("{other:?}"),
        };
        operations.into_iter().map(record).collect()
    }

    fn applied(records: &[(Bytes, Bytes)], mending: &Mending) -> Vec<(Bytes, Bytes)> {
        let removed = |key: &Bytes| mending.removed.iter().any(|removed| removed.key == *key);
        let mut records = records.to_vec();
        records.retain(|(key, _)| !removed(key) && !mending.put.iter().any(|(put, _)| put == key));
        records.extend(mending.put.iter().cloned());
        records
    }

    #[test]
    fn lost_records_that_others_need_are_made_again_or_the_others_go() {
        let vhost = ShortStr::from_static("/");
        let binding = Binding {
            source: ObjectName::from_static("lost"),
            destination: Destination::Queue(ObjectName::from_static("recovered.3")),
            routing_key: ShortStr::default(),
            arguments: FieldTable::default(),
        };
        // Without the ceiling, the virtual hosts and the exchange.
        let records = records(vec![
            queue(3, "/"),
            queue(4, "shop"),
            record::put_binding(1, &vhost, &binding),
        ]);
        assert!(Topology::recover(&records).is_err());
        let mending = mend(&records, QueueId(9), &BTreeSet::from([QueueId(9)]));
        assert_eq!(mending.removed.len(), 1, "{mending:?}");
        let what = &mending.removed[0].what;
        assert!(what.contains("'lost'") && what.contains("'recovered.3'"), "{what}");
        let topology = Topology::recover(&applied(&records, &mending)).unwrap();
        let ids: BTreeSet<u64> = topology.queues().map(|queue| queue.id.0).collect();
        assert_eq!(ids, BTreeSet::from([3, 4, 9]));
    }

    #[test]
    fn a_schedule_brings_its_virtual_host_back_and_one_that_is_damaged_goes_by_name() {
        let short = ShortStr::from_static;
        let schedule = Schedule::new(ScheduleRequest {
            name: &short("nightly"),
            cron: "0 2 * * *",
            time_zone: "UTC",
            exchange: &ObjectName::EMPTY,
            routing_key: &short("q"),
            properties: &Properties::default(),
            body: Bytes::new(),
            catch_up: CatchUp::Last,
            is_paused: false,
        });
        let put = |vhost| put_schedule(&short(vhost), schedule.as_ref().unwrap());
        let mut records = records(vec![put("shop"), put("/")]);
        records[1].1 = records[1].1.slice(..5);
        let mending = mend(&records, QueueId(0), &BTreeSet::new());
        let removed: Vec<&str> = mending.removed.iter().map(|removed| &*removed.what).collect();
        assert_eq!(removed, ["of schedule 'nightly' in vhost '/'"]);
        let topology = Topology::recover(&applied(&records, &mending)).unwrap();
        assert!(topology.schedule(&short("shop"), &short("nightly")).is_some());
    }

    /// The record of the next id is of before the newest queues were declared.
    #[test]
    fn a_queue_above_the_recorded_ceiling_keeps_its_name() {
        let records = records(vec![
            record::put_next_queue(QueueId(8)),
            record::put_vhost(&ShortStr::from_static("/"), &VhostMetadata::default()),
            queue(3, "/"),
            queue(8, "/"),
            queue(1500, "/"),
        ]);
        assert!(Topology::recover(&records).is_err());
        let mending = mend(&records, QueueId(0), &BTreeSet::from([QueueId(1500)]));
        assert!(mending.removed.is_empty() && mending.renamed.is_empty(), "{mending:?}");
        let mut topology = Topology::recover(&applied(&records, &mending)).unwrap();
        let names: BTreeSet<String> =
            topology.queues().map(|queue| queue.name.to_string()).collect();
        assert_eq!(names, BTreeSet::from(["queue 3", "queue 8", "queue 1500"].map(str::to_owned)));
        assert!(topology.queue_ids.next().0 > QueueId(1500));
    }

    /// The commit that deleted the older one is lost.
    #[test]
    fn of_two_queues_with_one_name_the_newer_has_it_and_no_message_is_dropped() {
        let name = ShortStr::from_static("orders");
        let records = records(vec![
            record::put_next_queue(QueueId(100)),
            record::put_vhost(&ShortStr::from_static("/"), &VhostMetadata::default()),
            named(3, "/", name.clone()),
            named(7, "/", name.clone()),
            named(9, "/", name.clone()),
            named(5, "/", ShortStr::from_static("recovered.7")),
        ]);
        let with_messages = BTreeSet::from([QueueId(7), QueueId(9)]);
        let mending = mend(&records, QueueId(9), &with_messages);
        let topology = Topology::recover(&applied(&records, &mending)).unwrap();
        let names: BTreeMap<u64, String> =
            topology.queues().map(|queue| (queue.id.0, queue.name.to_string())).collect();
        let expected = [(5, "recovered.7"), (7, "recovered.7.2"), (9, "orders")];
        assert_eq!(names, expected.map(|(id, name)| (id, name.to_owned())).into());
        assert_eq!(mending.renamed.len(), 1);
        assert_eq!(mending.renamed[0].before.as_ref().unwrap().0, name);
        assert_eq!(mending.removed.len(), 1);
    }

    #[test]
    fn whole_records_stay_as_they_are() {
        let vhost = ShortStr::from_static("/");
        let ceiling = record::put_next_queue(QueueId(8));
        let records = records(vec![
            ceiling,
            record::put_vhost(&vhost, &VhostMetadata::default()),
            queue(3, "/"),
        ]);
        let mending = mend(&records, QueueId(3), &BTreeSet::new());
        assert!(mending.put.is_empty() && mending.removed.is_empty(), "{mending:?}");
    }
}
