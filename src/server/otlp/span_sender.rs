//! The near end of the exporter: where the shard hands spans over, what is counted, and how it is stopped.

use crate::limits::OTLP_STOP_DURATION_MAX;
use forebay_engine::trace::MessageSpan;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

/// Where spans go, and as whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    /// The collector, as `http://127.0.0.1:4318`; spans go to `/v1/traces` there.
    pub endpoint: String,
    /// What the broker is called in traces (`service.name`).
    pub service_name: String,
}

/// Why spans can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The feature is missing.
    #[error(
        "otlp_endpoint is set, but this program was built without the feature `otlp`: unset it, or build \
         with the feature"
    )]
    NotBuilt,
    /// No authority to hold the collector's certificate against.
    #[error("otlp_endpoint is {endpoint}, and the system trusts no authorities; install them")]
    NoAuthorities {
        /// The collector.
        endpoint: String,
    },
    /// The thread can't be started.
    #[error("cannot start the thread that exports spans: {0}")]
    Thread(std::io::Error),
}

/// What became of spans since the start.
#[derive(Debug, Default)]
pub struct SpanCounts {
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl SpanCounts {
    /// Spans that the collector took.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Spans that nobody took: there was no room for them, or the collector refused them or was not there.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    #[cfg(feature = "otlp")]
    pub(super) fn count_exported(&self, spans: u64) {
        self.exported.fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, spans: u64) {
        self.dropped.fetch_add(spans, Ordering::Relaxed);
    }
}

/// Takes spans of the shard.
pub struct SpanSender {
    pub(super) sender: SyncSender<MessageSpan>,
    pub(super) counts: Arc<SpanCounts>,
}

impl SpanSender {
    /// Hands a span over; it is dropped when too many wait.
    pub(crate) fn send(&self, span: MessageSpan) {
        if self.sender.try_send(span).is_err() {
            self.counts.count_dropped(1);
        }
    }

    /// The shard had no room for so many.
    pub(crate) fn count_dropped(&self, spans: u64) {
        self.counts.count_dropped(spans);
    }
}

/// An exporter at work.
pub(crate) struct Exporting {
    pub(crate) sender: SpanSender,
    pub(crate) end: ExporterEnd,
}

/// Tells when the exporter is done.
pub(crate) struct ExporterEnd(pub(super) Receiver<()>);

impl ExporterEnd {
    /// Waits a little for the last spans to leave, after the sender is gone. Blocks.
    pub(crate) fn wait(self) {
        // The thread says nothing: it drops its end.
        let _ = self.0.recv_timeout(OTLP_STOP_DURATION_MAX);
    }
}
