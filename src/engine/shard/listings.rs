//! Lists of consumers and channels for people, made some entries at a time, so that messages do not
//! wait until a long list is complete. An entry is told as it was when it was looked at.

use super::Shard;
use crate::credit::{ChannelReport, ConsumerId};
use crate::limits::REPORT_STEP_QUEUES_MAX;
use crate::model::{ChannelKey, Monotonic, QueueId};
use crate::queue::{Consumer, ConsumerActivity};
use forebay_wire::{FieldTable, ShortStr};

/// One consumer, for people.
#[derive(Clone, Debug)]
pub struct ConsumerReport {
    /// Its virtual host.
    pub vhost: ShortStr,
    /// The queue's name.
    pub queue: ShortStr,
    /// Where it is.
    pub key: ChannelKey,
    /// Its tag on the channel.
    pub tag: ShortStr,
    /// Deliveries count as settled when sent.
    pub no_ack: bool,
    /// The only one of its queue.
    pub exclusive: bool,
    /// Unacked messages at most; 0: no limit.
    pub prefetch: u16,
    /// As sent.
    pub arguments: FieldTable,
    /// Whether it is given messages.
    pub activity: ConsumerActivity,
    /// How long it may hold a message, in ms. `None` for any time, and for a consumer without
    /// acknowledgements.
    pub timeout: Option<u64>,
    /// Messages that it holds.
    pub unacked: u64,
    /// When it last settled one, or began to hold some; meaningless when it holds none.
    pub active_since: Monotonic,
}

/// A list of consumers that is being made.
#[derive(Debug)]
pub struct ConsumerListing {
    /// The first queue that was not looked at to its end, and the first of its consumers that was
    /// not.
    next: (QueueId, ConsumerId),
    last: QueueId,
    found: Vec<ConsumerReport>,
}

/// A list of channels that is being made.
#[derive(Debug, Default)]
pub struct ChannelListing {
    /// The first place that was not looked at.
    next: u32,
    found: Vec<ChannelReport>,
}

impl Shard {
    /// Begins a list of the consumers of all queues, or of one.
    #[must_use]
    pub fn begin_consumers(&self, queue: Option<QueueId>) -> ConsumerListing {
        let (first, last) = queue.map_or((QueueId(0), QueueId(u64::MAX)), |queue| (queue, queue));
        ConsumerListing { next: (first, ConsumerId(0)), last, found: Vec::new() }
    }

    /// Goes on with a list, by at most [`REPORT_STEP_QUEUES_MAX`] queues and consumers; the list, by
    /// queue, once it is complete.
    pub fn advance_consumers(&self, list: &mut ConsumerListing) -> Option<Vec<ConsumerReport>> {
        let mut steps = 0;
        while list.next.0 <= list.last {
            let Some((id, queue)) = self.queues.range(list.next.0..=list.last).next() else {
                break;
            };
            let first = if *id == list.next.0 { list.next.1 } else { ConsumerId(0) };
            for consumer in queue.consumers.iter_from(first) {
                if steps >= REPORT_STEP_QUEUES_MAX {
                    list.next = (*id, consumer.id);
                    return None;
                }
                steps += 1;
                let activity = queue.consumers.activity(consumer.id);
                let timeout = consumer.lease.or(queue.consumer_timeout());
                let timeout = timeout.filter(|_| !consumer.no_ack);
                list.found.extend(self.report_consumer(*id, consumer, activity, timeout));
            }
            list.next = (QueueId(id.0.saturating_add(1)), ConsumerId(0));
            steps += 1;
            if id.0 == u64::MAX {
                break;
            }
            if steps >= REPORT_STEP_QUEUES_MAX {
                return None;
            }
        }
        Some(std::mem::take(&mut list.found))
    }

    fn report_consumer(
        &self,
        queue: QueueId,
        consumer: &Consumer,
        activity: ConsumerActivity,
        timeout: Option<u64>,
    ) -> Option<ConsumerReport> {
        let record = self.topology.queue_by_id(queue)?;
        Some(ConsumerReport {
            vhost: record.vhost.clone(),
            queue: record.name.clone(),
            key: self.clients.key(consumer.channel)?,
            tag: consumer.tag.clone(),
            no_ack: consumer.no_ack,
            exclusive: consumer.exclusive,
            prefetch: consumer.prefetch,
            arguments: consumer.arguments.clone(),
            activity,
            timeout,
            unacked: consumer.unacked,
            active_since: consumer.active_since,
        })
    }

    /// Goes on with a list of the channels that consume, or hold or held messages, by at most
    /// [`REPORT_STEP_QUEUES_MAX`]; the list, once it is complete.
    pub fn advance_channels(&self, list: &mut ChannelListing) -> Option<Vec<ChannelReport>> {
        let places = list.next..list.next.saturating_add(REPORT_STEP_QUEUES_MAX as u32);
        list.next = places.end;
        let ends = self.clients.count_channel_places();
        list.found.extend(places.filter_map(|place| self.clients.report_channel(place)));
        (list.next >= ends).then(|| std::mem::take(&mut list.found))
    }
}
