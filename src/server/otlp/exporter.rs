//! The thread that sends spans to the collector, in batches. A batch that the collector does not take is
//! dropped and counted, and the log says once that it happens and once that it is over.

use super::encoding::encode;
use super::span_sender::{ExporterEnd, Exporting, OtlpError, OtlpSettings, SpanCounts, SpanSender};
use crate::limits::{
    OTLP_BATCH_DURATION, OTLP_BATCH_SPANS_MAX, OTLP_REQUEST_DURATION_MAX, OTLP_SPANS_WAITING_MAX,
};
use forebay_engine::trace::MessageSpan;
use rustls::crypto::ring;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Where OTLP over HTTP has traces.
const PATH: &str = "/v1/traces";

/// Starts the thread.
///
/// # Errors
/// When there is no thread to be had, or the collector's certificate could not be checked.
pub(crate) fn start(
    settings: &OtlpSettings,
    counts: &Arc<SpanCounts>,
) -> Result<Exporting, OtlpError> {
    let (sender, spans) = sync_channel(OTLP_SPANS_WAITING_MAX);
    let (alive, end) = sync_channel(0);
    let exporter = Exporter {
        agent: agent(&settings.endpoint)?,
        url: format!("{}{PATH}", settings.endpoint),
        service_name: settings.service_name.clone(),
        counts: Arc::clone(counts),
        is_failing: false,
    };
    let run = move || {
        exporter.run(&spans);
        drop(alive);
    };
    let thread = std::thread::Builder::new().name("otlp".to_owned()).spawn(run);
    thread.map_err(OtlpError::Thread)?;
    tracing::info!("spans of messages with a recorded `traceparent` go to {}", settings.endpoint);
    let sender = SpanSender { sender, counts: Arc::clone(counts) };
    Ok(Exporting { sender, end: ExporterEnd(end) })
}

fn agent(endpoint: &str) -> Result<Agent, OtlpError> {
    let config = Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(OTLP_REQUEST_DURATION_MAX))
        .user_agent("forebay");
    let config = if endpoint.starts_with("https://") {
        let system = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<Certificate<'static>> =
            system.iter().map(|it| Certificate::from_der(it).to_owned()).collect();
        if roots.is_empty() {
            return Err(OtlpError::NoAuthorities { endpoint: endpoint.to_owned() });
        }
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        config.tls_config(tls)
    } else {
        config
    };
    Ok(config.build().into())
}

struct Exporter {
    agent: Agent,
    url: String,
    service_name: String,
    counts: Arc<SpanCounts>,
    /// The collector did not take the last batch.
    is_failing: bool,
}

impl Exporter {
    fn run(mut self, spans: &Receiver<MessageSpan>) {
        while let Ok(first) = spans.recv() {
            let batch = gather(first, spans);
            self.export(&batch);
        }
    }

    fn export(&mut self, batch: &[MessageSpan]) {
        let body = encode(&self.service_name, batch);
        let request = self.agent.post(&self.url).content_type("application/x-protobuf");
        let refused = match request.send(&body[..]) {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers with HTTP status {}", answer.status().as_u16())),
            Err(error) => Some(error.to_string()),
        };
        let was_failing = std::mem::replace(&mut self.is_failing, refused.is_some());
        match refused {
            None => {
                self.counts.count_exported(batch.len() as u64);
                if was_failing {
                    tracing::info!("the collector at {} takes spans again", self.url);
                }
            }
            Some(reason) => {
                self.counts.count_dropped(batch.len() as u64);
                if !was_failing {
                    tracing::warn!(
                        "the collector at {} does not take spans: {reason}; they are dropped until it \
                         does, and messages go on; check otlp_endpoint, and that the collector speaks \
                         OTLP over HTTP there",
                        self.url
                    );
                }
            }
        }
    }
}

/// What comes soon after the first one, as far as one request takes it.
fn gather(first: MessageSpan, spans: &Receiver<MessageSpan>) -> Vec<MessageSpan> {
    let until = Instant::now() + OTLP_BATCH_DURATION;
    let mut batch = vec![first];
    while batch.len() < OTLP_BATCH_SPANS_MAX
        && let Ok(span) = spans.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        batch.push(span);
    }
    batch
}
