//! `/metrics` and `/health/ready` over HTTP. Up before recovery begins, so that "not ready yet" can
//! be told from "not there".

use super::{Metrics, exposition};
use crate::connections::Connections;
use crate::limits::{METRICS_UPKEEP_INTERVAL, PUBLISH_BUDGET_OCTETS_MAX, STATISTICS_DURATION_MAX};
use crate::mailbox::{Mail, MailSender};
use crate::publish_budget::PublishBudget;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use forebay_engine::shard::ShardStatistics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the endpoint tells about. Clones are the same.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

struct Inner {
    metrics: Metrics,
    mailbox: MailSender,
    connections: Connections,
    budget: PublishBudget,
    ready: AtomicBool,
}

impl Endpoint {
    /// Not ready at first.
    #[must_use]
    pub fn new(
        metrics: Metrics,
        mailbox: MailSender,
        connections: Connections,
        budget: PublishBudget,
    ) -> Self {
        let ready = AtomicBool::new(false);
        Self { inner: Arc::new(Inner { metrics, mailbox, connections, budget, ready }) }
    }

    /// Says whether clients are served.
    pub fn set_ready(&self, ready: bool) {
        self.inner.ready.store(ready, Ordering::Release);
    }

    /// Serves until the task is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let router = Router::new()
            .route("/metrics", get(scrape))
            .route("/health/ready", get(readiness))
            .with_state(self.clone());
        let upkeep = async {
            loop {
                tokio::time::sleep(METRICS_UPKEEP_INTERVAL).await;
                self.inner.metrics.upkeep();
            }
        };
        tokio::select! {
            served = axum::serve(listener, router) => if let Err(error) = served {
                tracing::error!("the metrics endpoint ended: {error}");
            },
            () = upkeep => {}
        }
    }

    fn is_ready(&self) -> bool {
        self.inner.ready.load(Ordering::Acquire)
    }

    async fn statistics(&self) -> Option<ShardStatistics> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.inner.mailbox.send(Mail::Statistics(answer)).await.ok()?;
            answered.await.ok()
        };
        timeout(STATISTICS_DURATION_MAX, asked).await.ok().flatten()
    }
}

async fn readiness(State(endpoint): State<Endpoint>) -> (StatusCode, &'static str) {
    if endpoint.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: recovering or stopping\n")
    }
}

async fn scrape(State(endpoint): State<Endpoint>) -> Response {
    let statistics = if endpoint.is_ready() { endpoint.statistics().await } else { None };
    let scraped = &endpoint.inner.metrics.scraped;
    let (connections, connections_opened) = endpoint.inner.connections.counts();
    scraped.connections.set(connections as f64);
    scraped.connections_opened.absolute(connections_opened);
    let used = PUBLISH_BUDGET_OCTETS_MAX.saturating_sub(endpoint.inner.budget.available());
    scraped.budget_used.set(used as f64);
    if let Some(statistics) = &statistics {
        scraped.set(statistics);
    }
    let mut text = endpoint.inner.metrics.handle.render();
    if let Some(statistics) = &statistics {
        exposition::write_queues(&mut text, &statistics.queues);
    }
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}
