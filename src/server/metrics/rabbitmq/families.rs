//! Which of our figures has which of RabbitMQ's names.

use super::super::exposition::Number;
use super::super::process;
use super::Broker;
use crate::system::alarms::Alarm;
use forebay_engine::shard::QueueStatistics;
use rustix::process::{Resource, getrlimit};

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// A metric that each queue has; the name without `rabbitmq_`.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) value: fn(&QueueStatistics) -> u64,
}

/// A metric that the broker has once.
pub(super) struct Single {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) value: Number,
}

const fn gauges(name: &'static str, value: fn(&QueueStatistics) -> u64) -> Column {
    Column { name, kind: Kind::Gauge, value }
}

const fn counters(name: &'static str, value: fn(&QueueStatistics) -> u64) -> Column {
    Column { name, kind: Kind::Counter, value }
}

pub(super) const COARSE: [Column; 3] = [
    gauges("queue_messages_ready", |queue| queue.ready),
    gauges("queue_messages_unacked", |queue| queue.unacked),
    gauges("queue_messages", |queue| queue.ready + queue.unacked),
];

pub(super) const CONSUMERS: [Column; 1] = [gauges("queue_consumers", |queue| queue.consumers)];

pub(super) const METRICS: [Column; 2] = [
    gauges("queue_consumers", |queue| queue.consumers),
    gauges("queue_messages_bytes", |queue| queue.bytes),
];

pub(super) const DELIVERY: [Column; 8] = [
    counters("queue_get_ack_total", got_to_acknowledge),
    counters("queue_get_total", |queue| queue.got_no_ack),
    counters("queue_messages_delivered_ack_total", delivered_to_acknowledge),
    counters("queue_messages_delivered_total", delivered_no_ack),
    counters("queue_messages_redelivered_total", |queue| queue.redelivered),
    counters("queue_messages_acked_total", |queue| queue.acked),
    counters("queue_get_empty_total", |queue| queue.gets_empty),
    counters("queue_messages_published_total", |queue| queue.published),
];

const fn got_to_acknowledge(queue: &QueueStatistics) -> u64 {
    queue.got.saturating_sub(queue.got_no_ack)
}

/// To consumers.
const fn delivered_no_ack(queue: &QueueStatistics) -> u64 {
    queue.delivered_no_ack.saturating_sub(queue.got_no_ack)
}

/// To consumers.
const fn delivered_to_acknowledge(queue: &QueueStatistics) -> u64 {
    queue.delivered.saturating_sub(queue.got).saturating_sub(delivered_no_ack(queue))
}

fn gauge(name: &'static str, value: impl Into<Number>) -> Single {
    Single { name, kind: Kind::Gauge, value: value.into() }
}

fn counter(name: &'static str, value: impl Into<Number>) -> Single {
    Single { name, kind: Kind::Counter, value: value.into() }
}

impl Broker<'_> {
    fn consumers(&self) -> u64 {
        self.statistics.queues.iter().map(|queue| queue.statistics.consumers).sum()
    }

    pub(super) fn open(&self) -> [Single; 4] {
        [
            gauge("connections", self.connections),
            gauge("channels", self.totals.channels as u64),
            gauge("consumers", self.consumers()),
            gauge("queues", self.statistics.queues.len() as u64),
        ]
    }

    pub(super) fn churn(&self) -> [Single; 7] {
        let closed = self.connections_opened.saturating_sub(self.connections);
        let opened = self.totals.traffic.channels_opened;
        let turnover = self.statistics.turnover;
        [
            counter("connections_opened_total", self.connections_opened),
            counter("connections_closed_total", closed),
            counter("channels_opened_total", opened),
            counter("channels_closed_total", opened.saturating_sub(self.totals.channels as u64)),
            counter("queues_declared_total", turnover.declared),
            counter("queues_created_total", turnover.created),
            counter("queues_deleted_total", turnover.deleted),
        ]
    }

    /// A figure that the system does not tell is left out: a zero in its place would raise alerts.
    pub(super) fn node_coarse(&self) -> Vec<Single> {
        let usage = process::usage(self.data_dir);
        let told = [
            ("process_open_fds", usage.files),
            ("process_resident_memory_bytes", usage.memory),
            ("disk_space_available_bytes", usage.disk_free),
        ];
        told.into_iter().filter_map(|(name, value)| Some(gauge(name, value?))).collect()
    }

    pub(super) fn node(&self) -> [Single; 7] {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let limits = self.alarms.limits();
        let alarm = |alarm| u64::from(self.alarms.is_raised(alarm));
        [
            gauge("process_max_fds", files),
            gauge("resident_memory_limit_bytes", limits.memory_max),
            gauge("disk_space_available_limit_bytes", limits.disk_free_min),
            gauge("alarms_memory_used_watermark", alarm(Alarm::Memory)),
            gauge("alarms_free_disk_space_watermark", alarm(Alarm::Disk)),
            // Connections beyond the limit are dropped instead.
            gauge("alarms_file_descriptor_limit", 0),
            gauge("erlang_uptime_seconds", self.uptime.as_secs_f64()),
        ]
    }

    pub(super) fn logins(&self) -> [Single; 3] {
        let (accepted, refused) = (self.totals.logins_accepted, self.totals.logins_refused);
        [
            counter("auth_attempts_total", accepted + refused),
            counter("auth_attempts_succeeded_total", accepted),
            counter("auth_attempts_failed_total", refused),
        ]
    }

    pub(super) fn global(&self) -> [Single; 16] {
        let traffic = &self.totals.traffic;
        [
            counter("global_messages_received_total", traffic.received),
            counter("global_messages_received_confirm_total", traffic.received_confirm),
            counter("global_messages_routed_total", self.totals.published),
            counter("global_messages_unroutable_dropped_total", traffic.dropped),
            counter("global_messages_unroutable_returned_total", traffic.returned),
            counter("global_messages_confirmed_total", self.totals.confirmed),
            counter("global_messages_delivered_total", self.total(|queue| queue.delivered)),
            counter(
                "global_messages_delivered_consume_auto_ack_total",
                self.total(delivered_no_ack),
            ),
            counter(
                "global_messages_delivered_consume_manual_ack_total",
                self.total(delivered_to_acknowledge),
            ),
            counter(
                "global_messages_delivered_get_auto_ack_total",
                self.total(|queue| queue.got_no_ack),
            ),
            counter(
                "global_messages_delivered_get_manual_ack_total",
                self.total(got_to_acknowledge),
            ),
            counter("global_messages_get_empty_total", self.total(|queue| queue.gets_empty)),
            counter("global_messages_redelivered_total", self.total(|queue| queue.redelivered)),
            counter("global_messages_acknowledged_total", self.total(|queue| queue.acked)),
            gauge("global_consumers", self.consumers()),
            gauge("global_publishers", self.totals.publishers as u64),
        ]
    }

    pub(super) fn dead_lettered(&self) -> [Single; 4] {
        [
            counter("rejected_total", self.total(|queue| queue.dead_rejected)),
            counter("expired_total", self.total(|queue| queue.dead_expired)),
            counter("maxlen_total", self.total(|queue| queue.dead_overflowed)),
            counter("delivery_limit_total", self.total(|queue| queue.dead_failed)),
        ]
    }

    /// What older dashboards and RabbitMQ's own alerts add up over channels.
    pub(super) fn channels(&self) -> [Single; 13] {
        let traffic = &self.totals.traffic;
        let unacked = self.statistics.queues.iter().map(|queue| queue.statistics.unacked);
        [
            gauge("channel_consumers", self.consumers()),
            gauge("channel_messages_unacked", unacked.sum::<u64>()),
            counter("channel_messages_published_total", traffic.received),
            counter("channel_messages_confirmed_total", self.totals.confirmed),
            counter("channel_messages_unroutable_returned_total", traffic.returned),
            counter("channel_messages_unroutable_dropped_total", traffic.dropped),
            counter("channel_get_ack_total", self.total(got_to_acknowledge)),
            counter("channel_get_total", self.total(|queue| queue.got_no_ack)),
            counter("channel_get_empty_total", self.total(|queue| queue.gets_empty)),
            counter("channel_messages_delivered_ack_total", self.total(delivered_to_acknowledge)),
            counter("channel_messages_delivered_total", self.total(delivered_no_ack)),
            counter("channel_messages_redelivered_total", self.total(|queue| queue.redelivered)),
            counter("channel_messages_acked_total", self.total(|queue| queue.acked)),
        ]
    }
}
