//! What the handlers of the admin listener work with.

use super::api_error::ApiError;
use super::console::page_sessions::Console;
use super::listing_turns::ListingTurns;
use super::login_counts::LoginCounts;
use super::redrives::Redrives;
use crate::auth::authenticator::Authenticator;
use crate::config::product::Product;
use crate::connection::publish_pace::PublishPace;
use crate::lag::LagWatches;
use crate::metrics::{BrokerRates, ConnectionTotals, QueueRates};
use crate::shard::shard_link::{SessionError, ShardLink};
use crate::system::alarms::Alarms;
use crate::system::clock::Clock;
use crate::tls::TlsAcceptor;
use arc_swap::ArcSwap;
use forebay_engine::BrokerSnapshot;
use forebay_engine::connection::ConnectionSettings;
use forebay_engine::shard::{QueueDefaults, ShardStatistics};
use forebay_engine::topology::Topology;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// What the admin listener works with. Clones are the same.
#[derive(Clone)]
pub struct Admin {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    sources: Sources,
    /// Who logged in here.
    pub(super) logins: LoginCounts,
    /// What bounds lists.
    pub(super) lists: ListingTurns,
    /// The page in the browser.
    pub(super) console: Console,
    /// Redrives that go on by themselves.
    pub(super) redrives: Redrives,
    /// Held by whoever imports definitions.
    pub(super) imports: Arc<Mutex<()>>,
}

impl Deref for Inner {
    type Target = Sources;

    fn deref(&self) -> &Sources {
        &self.sources
    }
}

/// A port and what is spoken there, as RabbitMQ names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// As `amqp/ssl`.
    pub protocol: &'static str,
    /// Where.
    pub address: SocketAddr,
}

/// What it tells of, and how it reaches the shard.
pub struct Sources {
    /// The way to the shard.
    pub link: ShardLink,
    /// Routes, users, permissions, limits.
    pub snapshot: Arc<ArcSwap<BrokerSnapshot>>,
    /// Virtual hosts, exchanges, queues, bindings, policies.
    pub catalogue: Arc<ArcSwap<Topology>>,
    /// Who may come in.
    pub authenticator: Authenticator,
    /// For what has a date.
    pub clock: Clock,
    /// Who the broker says it is.
    pub product: Product,
    /// What listens where.
    pub listeners: Vec<Listener>,
    /// The certificate that is served.
    pub tls: Option<TlsAcceptor>,
    /// What is short.
    pub alarms: Alarms,
    /// Names that browsers may call the listener by, beside addresses.
    pub hosts: Vec<String>,
    /// How fast messages come and go, renewed by the metrics endpoint.
    pub rates: Arc<ArcSwap<QueueRates>>,
    /// Rates of the broker as a whole and of exchanges.
    pub broker_rates: Arc<ArcSwap<BrokerRates>>,
    /// What lag is normal, renewed there, too.
    pub lag: Arc<LagWatches>,
    /// What all connections did.
    pub totals: Arc<ConnectionTotals>,
    /// What holds for queues that don't say themselves.
    pub queue_defaults: QueueDefaults,
    /// Where the store is.
    pub data_dir: PathBuf,
    /// When the broker was started.
    pub started: Instant,
    /// Whose turn it is where publish rates are limited.
    pub pace: PublishPace,
    /// What holds for connections: here too.
    pub connection_settings: Arc<ArcSwap<ConnectionSettings>>,
}

impl Admin {
    /// Works with these.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let is_tls = sources.listeners.iter().any(|listener| listener.protocol == "https");
        let console = Console::new(&sources.hosts, is_tls);
        Self {
            inner: Arc::new(Inner {
                sources,
                logins: LoginCounts::default(),
                lists: ListingTurns::default(),
                console,
                redrives: Redrives::default(),
                imports: Arc::default(),
            }),
        }
    }

    pub(super) fn link(&self) -> &ShardLink {
        &self.inner.link
    }

    /// How all queues stand: now, or for what is shown live within the last round.
    ///
    /// # Errors
    /// When the broker stops.
    pub(super) async fn queue_figures(
        &self,
        is_watched: bool,
    ) -> Result<Arc<ShardStatistics>, SessionError> {
        if is_watched {
            self.inner.console.recent_figures(self.link()).await
        } else {
            self.link().report(None).await.map(Arc::new)
        }
    }

    /// Routes, users, permissions and limits, as the shard published them last.
    pub(super) fn snapshot(&self) -> Arc<BrokerSnapshot> {
        self.inner.snapshot.load_full()
    }

    /// What there is, as the shard last told: the same that messages are routed by.
    pub(super) fn catalogue(&self) -> Arc<Topology> {
        self.inner.catalogue.load_full()
    }

    pub(super) fn product(&self) -> Product {
        self.inner.product.clone()
    }

    /// What is published here waits for alarms as little as it can: nobody would know for how long.
    ///
    /// # Errors
    /// 503 while publishers wait.
    pub(super) fn check_may_publish(&self) -> Result<(), ApiError> {
        let Some(reason) = self.inner.alarms.reason() else { return Ok(()) };
        let text = format!("{reason}: nothing is published until the alarm is over");
        Err(ApiError::Unavailable(text))
    }

    pub(super) fn authenticator(&self) -> &Authenticator {
        &self.inner.authenticator
    }
}
