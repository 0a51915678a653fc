//! `/metrics` (with `/metrics/per-object` and `/metrics/detailed`, as RabbitMQ's) and
//! `/health/ready` over HTTP. Up before recovery begins, so that "not ready yet" can be told from
//! "not there".

use super::broker_rates::{BrokerCounts, BrokerRates};
use super::exposition::{Page, open_metrics};
use super::queue_rates::QueueRates;
use super::rabbitmq::{self, Selection};
use super::{
    Metrics, alarm_families, catalogue, connection_totals, lag_families, process, queue_families,
    shard_families,
};
use crate::config::product::Product;
use crate::connection::connections::Connections;
use crate::connection::publish_budget::PublishBudget;
use crate::lag::LagWatches;
use crate::limits::{METRICS_UPKEEP_INTERVAL, QUEUE_RATES_INTERVAL, STATISTICS_DURATION_MAX};
use crate::net::http_listener::{HttpListener, serve_http};
use crate::shard::mailbox::{Mail, MailSender, ReportQuestion};
use crate::system::alarms::Alarms;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use forebay_engine::BrokerSnapshot;
use forebay_engine::shard::ShardStatistics;
use forebay_engine::topology::Topology;
use forebay_store::Store;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokio::time::timeout;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const NOT_READY: &str = "not ready: recovering or stopping\n";
const OPEN_METRICS_FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the endpoint tells about. Clones are the same.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

/// Where figures come from.
pub struct Sources {
    /// What is counted where it happens.
    pub metrics: Metrics,
    /// The way to ask the shard.
    pub mailbox: MailSender,
    /// Open connections.
    pub connections: Connections,
    /// Room for published messages.
    pub budget: PublishBudget,
    /// The data directory, for its disk.
    pub data_dir: PathBuf,
    /// Queues that have metrics of their own.
    pub queues_max: usize,
    /// Who the broker says it is.
    pub product: Product,
    /// What is short.
    pub alarms: Alarms,
    /// Where it leaves what takes two looks at the queues.
    pub rates: Arc<ArcSwap<QueueRates>>,
    /// Rates of the broker as a whole and of exchanges.
    pub broker_rates: Arc<ArcSwap<BrokerRates>>,
    /// What lag is normal.
    pub lag: Arc<LagWatches>,
}

/// What there is to route by, and what there is.
pub(crate) type TopologySource = (Arc<ArcSwap<BrokerSnapshot>>, Arc<ArcSwap<Topology>>);

struct Inner {
    sources: Sources,
    /// Not kept alive: who stops the broker gives the data directory free.
    store: OnceLock<Weak<dyn Store>>,
    /// What exchanges there are, and what passed through them.
    topology: OnceLock<TopologySource>,
    started: Instant,
    /// Seconds since 1970.
    started_at: f64,
    ready: AtomicBool,
}

impl Endpoint {
    /// Not ready at first.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            inner: Arc::new(Inner {
                sources,
                store: OnceLock::new(),
                topology: OnceLock::new(),
                started: Instant::now(),
                started_at: now.as_secs_f64(),
                ready: AtomicBool::new(false),
            }),
        }
    }

    /// The store is open; told once.
    pub fn set_store(&self, store: &Arc<dyn Store>) {
        // A second one is not given.
        let _ = self.inner.store.set(Arc::downgrade(store));
    }

    /// The topology is recovered; told once.
    pub(crate) fn set_topology(&self, (snapshot, catalogue): &TopologySource) {
        // A second one is not given.
        let _ = self.inner.topology.set((Arc::clone(snapshot), Arc::clone(catalogue)));
    }

    /// Says whether clients are served.
    pub fn set_ready(&self, ready: bool) {
        self.inner.ready.store(ready, Ordering::Release);
    }

    /// Serves until the task is dropped.
    pub async fn serve(self, listener: HttpListener) {
        let router = Router::new()
            .route("/metrics", get(scrape))
            .route("/metrics/per-object", get(scrape_per_object))
            .route("/metrics/detailed", get(scrape_detailed))
            .route("/health/ready", get(readiness))
            .with_state(self.clone());
        let upkeep = async {
            loop {
                tokio::time::sleep(METRICS_UPKEEP_INTERVAL).await;
                self.inner.sources.metrics.commit.upkeep();
            }
        };
        tokio::select! {
            () = serve_http(listener, router) => {}
            () = upkeep => {}
            () = self.look_at_queues() => {}
        }
    }

    async fn look_at_queues(&self) {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(QUEUE_RATES_INTERVAL).await;
            if !self.is_ready() {
                // Nothing is counted before.
                last = Instant::now();
            } else if let Some(statistics) = self.statistics().await {
                let elapsed = last.elapsed();
                last = Instant::now();
                let endpoint = self.clone();
                let look = move || endpoint.look(elapsed, &statistics);
                if let Err(error) = tokio::task::spawn_blocking(look).await {
                    tracing::error!("rates of queues are not told: {error}");
                }
            }
        }
    }

    fn is_store_stopped(&self) -> bool {
        let store = self.inner.store.get().and_then(Weak::upgrade);
        store.is_some_and(|store| store.is_stopped())
    }

    /// Takes the rates since the last look.
    fn look(&self, elapsed: Duration, statistics: &ShardStatistics) {
        let sources = &self.inner.sources;
        let rates = sources.rates.load().next(elapsed, &statistics.queues);
        sources.rates.store(Arc::new(rates));
        if let Some((_, catalogue)) = self.inner.topology.get() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            sources.lag.look(now.as_secs(), &statistics.queues, &catalogue.load());
        }
        sources.connections.sample_traffic();
        if let Some((snapshot, catalogue)) = self.inner.topology.get() {
            let totals = sources.metrics.connections.load();
            let counts = sources.connections.counts();
            let counted = BrokerCounts::new(&totals, counts, &statistics.turnover);
            let last = sources.broker_rates.load();
            let rates = last.next(elapsed, counted, &catalogue.load(), &snapshot.load().routes);
            sources.broker_rates.store(Arc::new(rates));
        }
    }

    fn is_ready(&self) -> bool {
        self.inner.ready.load(Ordering::Acquire) && !self.is_store_stopped()
    }

    /// What the shard says; nothing while it is not ready or too busy to answer.
    async fn statistics(&self) -> Option<ShardStatistics> {
        if !self.is_ready() {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let asked = async {
            let question = ReportQuestion::Queues(None, answer);
            self.inner.sources.mailbox.send(Mail::Report(question)).await.ok()?;
            answered.await.ok()
        };
        timeout(STATISTICS_DURATION_MAX, asked).await.ok().flatten()
    }

    /// Why there are no figures.
    fn silence(&self) -> String {
        if self.is_ready() {
            let seconds = STATISTICS_DURATION_MAX.as_secs();
            format!("the broker did not give its figures within {seconds} s\n")
        } else {
            NOT_READY.to_owned()
        }
    }

    /// Writes the page; takes some milliseconds when there are many queues.
    fn page(&self, statistics: &ShardStatistics, selection: &Selection) -> Page {
        let sources = &self.inner.sources;
        let totals = sources.metrics.connections.load();
        let (connections, connections_opened) = sources.connections.counts();
        let rates = sources.rates.load();
        let mut page = Page::default();
        if *selection == Selection::Aggregated {
            page = sources.metrics.commit.page();
            page.build_info();
            page.single(&catalogue::CONNECTIONS, connections as u64);
            page.single(&catalogue::CONNECTIONS_OPENED, connections_opened);
            let used = sources.budget.size().saturating_sub(sources.budget.available());
            page.single(&catalogue::PUBLISH_BUDGET_USED, used as u64);
            page.single(&catalogue::PUBLISH_BUDGET, sources.budget.size() as u64);
            let spans = &sources.metrics.spans;
            page.single(&catalogue::SPANS_EXPORTED, spans.exported());
            page.single(&catalogue::SPANS_DROPPED, spans.dropped());
            connection_totals::write(&mut page, &totals);
            let store = self.inner.store.get().and_then(Weak::upgrade);
            let store = store.map(|store| store.statistics());
            shard_families::write(&mut page, statistics, store.as_ref());
            queue_families::write(&mut page, &statistics.queues, &rates, sources.queues_max);
            lag_families::write(
                &mut page,
                &statistics.queues,
                &sources.lag.shown(),
                sources.queues_max,
            );
            alarm_families::write(&mut page, &sources.alarms, sources.connections.count_waiting());
            process::write(&mut page, &sources.data_dir, self.inner.started_at);
        }
        let broker = rabbitmq::Broker {
            statistics,
            rates: &rates,
            totals: &totals,
            connections: connections as u64,
            connections_opened,
            data_dir: &sources.data_dir,
            alarms: &sources.alarms,
            uptime: self.inner.started.elapsed(),
            product: &sources.product,
        };
        rabbitmq::write(&mut page, &broker, selection);
        page
    }

    async fn respond(&self, selection: Selection, headers: &HeaderMap) -> Response {
        // Without the figures of queues there would be zeros in their places, and no alert.
        let Some(statistics) = self.statistics().await else {
            return (StatusCode::SERVICE_UNAVAILABLE, self.silence()).into_response();
        };
        let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let is_open = accepted.is_some_and(|types| types.contains("application/openmetrics-text"));
        let endpoint = self.clone();
        // Elsewhere: the threads that serve clients have better things to do.
        let text = tokio::task::spawn_blocking(move || {
            let text = endpoint.page(&statistics, &selection).into_text();
            if is_open { open_metrics(&text) } else { text }
        });
        let format = if is_open { OPEN_METRICS_FORMAT } else { TEXT_FORMAT };
        match text.await {
            Ok(text) => ([(header::CONTENT_TYPE, format)], text).into_response(),
            Err(error) => {
                tracing::error!("a scrape was not answered: {error}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

async fn readiness(State(endpoint): State<Endpoint>) -> (StatusCode, &'static str) {
    if endpoint.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, NOT_READY)
    }
}

async fn scrape(State(endpoint): State<Endpoint>, headers: HeaderMap) -> Response {
    endpoint.respond(Selection::Aggregated, &headers).await
}

async fn scrape_per_object(State(endpoint): State<Endpoint>, headers: HeaderMap) -> Response {
    endpoint.respond(Selection::PerObject, &headers).await
}

async fn scrape_detailed(
    State(endpoint): State<Endpoint>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let selection = Selection::parse_query(query.as_deref().unwrap_or_default());
    endpoint.respond(selection, &headers).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::mailbox::{MailReceiver, mailbox};
    use crate::system::alarms::AlarmLimits;
    use axum::body::to_bytes;
    use forebay_engine::model::{CommitId, Epoch};
    use forebay_engine::operation::{Commit, Durability};
    use forebay_store::{Fault, FaultyStore, MemoryStore};

    fn endpoint() -> (Endpoint, MailReceiver) {
        let (mailbox, mail) = mailbox();
        let sources = Sources {
            metrics: Metrics::new().unwrap(),
            mailbox,
            connections: Connections::default(),
            budget: PublishBudget::new(),
            data_dir: PathBuf::from("."),
            queues_max: 10,
            product: Product::default(),
            alarms: Alarms::new(AlarmLimits { disk_free_min: 0, memory_max: u64::MAX }),
            rates: Arc::default(),
            broker_rates: Arc::default(),
            lag: Arc::new(LagWatches::new(std::path::Path::new("."), Default::default())),
        };
        (Endpoint::new(sources), mail)
    }

    async fn scraped(endpoint: &Endpoint, selection: Selection) -> (StatusCode, String) {
        let response = endpoint.respond(selection, &HeaderMap::new()).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn selections() -> [Selection; 3] {
        let detailed = Selection::parse_query("family=queue_coarse_metrics");
        [Selection::Aggregated, Selection::PerObject, detailed]
    }

    /// Zeros would end alerts that hold.
    #[tokio::test(start_paused = true)]
    async fn a_shard_that_does_not_answer_is_no_broker_without_messages() {
        let (endpoint, _mail) = endpoint();
        endpoint.set_ready(true);
        for selection in selections() {
            let (status, text) = scraped(&endpoint, selection).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(text.contains("did not give its figures"), "{text}");
        }
    }

    #[tokio::test]
    async fn before_recovery_there_are_no_figures() {
        let (endpoint, _mail) = endpoint();
        for selection in selections() {
            let (status, text) = scraped(&endpoint, selection).await;
            assert_eq!((status, &*text), (StatusCode::SERVICE_UNAVAILABLE, NOT_READY));
        }
    }

    #[tokio::test]
    async fn a_store_that_has_stopped_makes_the_broker_unready_at_once() {
        let (endpoint, _mail) = endpoint();
        let store: Arc<dyn Store> =
            Arc::new(FaultyStore::new(MemoryStore::new(), Fault::ApplyLost(1)));
        endpoint.set_store(&store);
        endpoint.set_ready(true);
        let asked = || readiness(State(endpoint.clone()));
        assert_eq!(asked().await.0, StatusCode::OK);
        let commit = Commit {
            id: CommitId(1),
            epoch: Epoch(0),
            operations: Vec::new(),
            durability: Durability::Synced,
        };
        assert!(store.apply(&[commit]).is_err());
        assert_eq!(asked().await, (StatusCode::SERVICE_UNAVAILABLE, NOT_READY));
        let (status, _) = scraped(&endpoint, Selection::Aggregated).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
