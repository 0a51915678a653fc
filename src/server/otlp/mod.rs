//! Spans of messages, on their way to a collector by OTLP over HTTP (`otlp_endpoint`). They leave on a thread of
//! their own: whatever becomes of the collector, the shard never waits for it.

#[cfg(feature = "otlp")]
mod encoding;
#[cfg(feature = "otlp")]
mod exporter;
#[cfg(feature = "otlp")]
mod schema;
mod span_sender;

#[cfg(feature = "otlp")]
pub(crate) use exporter::start;
pub(crate) use span_sender::ExporterEnd;
pub use span_sender::{OtlpError, OtlpSettings, SpanCounts, SpanSender};

/// Refuses: the program was built without it.
///
/// # Errors
/// Always.
#[cfg(not(feature = "otlp"))]
pub(crate) fn start(
    _: &OtlpSettings,
    _: &std::sync::Arc<SpanCounts>,
) -> Result<span_sender::Exporting, OtlpError> {
    Err(OtlpError::NotBuilt)
}
