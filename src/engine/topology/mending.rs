//! Records of which some are lost, made to fit together again: for the repair of a damaged store.

use super::limits::QUEUE_IDS_RESERVED;
use super::queue::QueueRecord;
use super::recovery::{RecordFlaw, recorded_queue};
use super::settings::QueueSettings;
use super::{Topology, record};
use crate::ids::QueueId;
use crate::operation::Operation;
use bytes::Bytes;
use forebay_wire::{FieldTable, ShortStr};
use std::collections::BTreeSet;

/// What has to change before [`Topology::recover`] takes the records.
#[derive(Debug, Default)]
pub struct Mending {
    /// Records to be added or replaced.
    pub put: Vec<(Bytes, Bytes)>,
    /// Records that can't stay, by key, and why.
    pub removed: Vec<(Bytes, RecordFlaw)>,
}

/// The name under which a queue is found again whose record is lost.
#[must_use]
pub fn recovered_queue_name(queue: QueueId) -> String {
    format!("recovered.{queue}")
}

/// `highest`: no queue has an id above. `nameless`: queues that have messages and no record; each gets
/// one in the first virtual host, under its [`recovered_queue_name`].
#[must_use]
pub fn mend(records: &[(Bytes, Bytes)], highest: QueueId, nameless: &BTreeSet<QueueId>) -> Mending {
    let mut mending = Mending::default();
    let mut records = records.to_vec();
    let is_next = |key: &Bytes| key.first() == Some(&record::KIND_NEXT_QUEUE);
    let ceiling = QueueId(highest.0.saturating_add(1 + QUEUE_IDS_RESERVED));
    if !records.iter().any(|(key, _)| is_next(key)) {
        mending.add(record::put_next_queue(ceiling), &mut records);
    }
    if !nameless.is_empty() {
        let vhosts = records.iter().filter_map(|(key, _)| match key.split_first() {
            Some((&record::KIND_VHOST, name)) => ShortStr::try_from(name).ok(),
            _ => None,
        });
        let vhost = vhosts.min().unwrap_or_else(|| ShortStr::from_static("/"));
        mending.add(record::put_vhost(&vhost), &mut records);
        for queue in nameless {
            mending.add(record::put_queue(&nameless_queue(*queue, &vhost)), &mut records);
        }
    }
    for vhost in missing_vhosts(&records) {
        mending.add(record::put_vhost(&vhost), &mut records);
    }
    mending.removed = Topology::misfits(&records);
    let removed: BTreeSet<&Bytes> = mending.removed.iter().map(|(key, _)| key).collect();
    mending.put.retain(|(key, _)| !removed.contains(key));
    mending
}

/// Virtual hosts that queues and exchanges are in and that have no record.
fn missing_vhosts(records: &[(Bytes, Bytes)]) -> BTreeSet<ShortStr> {
    let mut named = BTreeSet::new();
    for (key, value) in records {
        named.extend(recorded_queue(key, value).map(|(_, vhost, _)| vhost));
        if let Some((&record::KIND_EXCHANGE, rest)) = key.split_first() {
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

fn nameless_queue(id: QueueId, vhost: &ShortStr) -> QueueRecord {
    QueueRecord {
        id,
        vhost: vhost.clone(),
        name: ShortStr::try_from(recovered_queue_name(id).as_str()).unwrap_or_default(),
        durable: true,
        exclusive_owner: None,
        auto_delete: false,
        arguments: FieldTable::default(),
        settings: QueueSettings::default(),
        policy: None,
        operator_policy: None,
    }
}

impl Mending {
    fn add(&mut self, operation: Operation, records: &mut Vec<(Bytes, Bytes)>) {
        if let Operation::PutRecord { key, value } = operation {
            records.retain(|(there, _)| *there != key);
            records.push((key.clone(), value.clone()));
            self.put.push((key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Binding, Destination};
    use crate::object_name::ObjectName;

    fn queue(id: u64, vhost: &'static str) -> Operation {
        let queue = nameless_queue(QueueId(id), &ShortStr::from_static(vhost));
        record::put_queue(&queue)
    }

    fn records(operations: Vec<Operation>) -> Vec<(Bytes, Bytes)> {
        let record = |operation| match operation {
            Operation::PutRecord { key, value } => (key, value),
            other => panic!("{other:?}"),
        };
        operations.into_iter().map(record).collect()
    }

    fn applied(records: &[(Bytes, Bytes)], mending: &Mending) -> Vec<(Bytes, Bytes)> {
        let removed = |key: &Bytes| mending.removed.iter().any(|(removed, _)| removed == key);
        let mut records = records.to_vec();
        records.retain(|(key, _)| !removed(key));
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
        let topology = Topology::recover(&applied(&records, &mending)).unwrap();
        let ids: BTreeSet<u64> = topology.queues().map(|queue| queue.id.0).collect();
        assert_eq!(ids, BTreeSet::from([3, 4, 9]));
    }

    #[test]
    fn whole_records_stay_as_they_are() {
        let vhost = ShortStr::from_static("/");
        let ceiling = record::put_next_queue(QueueId(8));
        let records = records(vec![ceiling, record::put_vhost(&vhost), queue(3, "/")]);
        let mending = mend(&records, QueueId(3), &BTreeSet::new());
        assert!(mending.put.is_empty() && mending.removed.is_empty(), "{mending:?}");
    }
}
