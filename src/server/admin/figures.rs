//! Counters and sizes with their rates, as RabbitMQ's management API shows them: `publish` beside
//! `publish_details`, which holds the rate.

use crate::metrics::{Flow, MESSAGE_COUNTERS, message_counts};
use forebay_engine::shard::QueueStatistics;
use serde_json::{Map, Value, json};

/// A JSON object of figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(Map<String, Value>);

impl Figures {
    /// Adds a figure and its rate.
    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>, rate: f64) {
        self.0.insert(name.to_owned(), value.into());
        self.0.insert(format!("{name}_details"), json!({ "rate": rate }));
    }

    /// Adds `messages`, `messages_ready` and `messages_unacknowledged`, and `messages_parked` and
    /// `messages_delayed` of those that are in none of them; `messages_blocked` are among the ready ones.
    pub(super) fn put_messages(&mut self, statistics: &QueueStatistics, flow: &Flow) {
        let (ready, unacked) = (statistics.ready, statistics.unacked);
        self.put("messages", ready + unacked, flow.ready + flow.unacked);
        // Ours: those that are not due yet are not among `messages`.
        self.0.insert("messages_delayed".to_owned(), statistics.delayed.into());
        self.put("messages_ready", ready, flow.ready);
        self.put("messages_unacknowledged", unacked, flow.unacked);
        self.0.insert("messages_parked".to_owned(), statistics.parked.into());
        self.0.insert("messages_blocked".to_owned(), statistics.blocked.into());
    }

    /// What was counted of messages.
    pub(super) fn of_messages(statistics: &QueueStatistics, flow: &Flow) -> Self {
        let mut figures = Self::default();
        let counted = message_counts(statistics).into_iter().zip(flow.messages);
        for (counter, (count, rate)) in MESSAGE_COUNTERS.iter().zip(counted) {
            figures.put(counter.name, count, rate);
        }
        figures
    }

    /// Adds figures, in place of those with the same names.
    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// As a JSON object.
    pub(super) fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    /// Adds all of them to a JSON object.
    pub(super) fn add_to(self, object: &mut Value) {
        if let Some(object) = object.as_object_mut() {
            object.extend(self.0);
        }
    }
}

/// Adds a field to a JSON object.
pub(super) fn put_field(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// Adds up what several queues have and counted.
pub(super) fn add(sum: &mut QueueStatistics, queue: &QueueStatistics) {
    sum.absorb(queue);
    sum.ready += queue.ready;
    sum.unacked += queue.unacked;
    sum.parked += queue.parked;
    sum.blocked += queue.blocked;
    sum.groups_held += queue.groups_held;
    sum.consumers += queue.consumers;
    sum.bytes += queue.bytes;
    sum.delayed += queue.delayed;
    sum.delayed_bytes += queue.delayed_bytes;
}
