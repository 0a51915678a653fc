//! A broker from start to stop: puts the parts together in the order that their promises need.
//!
//! Start: addresses are bound first, so that a taken port is told before anything is touched; the
//! metrics endpoint answers "not ready"; the store is opened and recovered; only then the broker
//! listens. Stop: no new sockets, every connection closed with 320, the shard drained, the
//! committer joined after a last sync, and the readers, so that the data directory is free.

use crate::admin::{self, Admin, Listener};
use crate::auth::authenticator::Authenticator;
use crate::auth::first_user;
use crate::config::derived::{alarm_limits, connection_limits, connection_settings};
use crate::config::reload::Reloader;
use crate::config::settings::Settings;
use crate::connection::connection_task::ConnectionContext;
use crate::connection::connections::Connections;
use crate::connection::publish_budget::PublishBudget;
use crate::connection::publish_pace::PublishPace;
use crate::definitions::at_start::load_definitions;
use crate::failure::{Failure, FailureReceiver, FailureSender, failures};
use crate::lag::LagWatches;
use crate::limits::{MEMORY_LIMIT_MIN, SHUTDOWN_CONNECTIONS_DURATION_MAX};
use crate::metrics::endpoint::{Endpoint, Sources};
use crate::metrics::{BrokerRates, Metrics, QueueRates};
use crate::net::http_listener::HttpListener;
use crate::net::port::{bind_all, listen_all};
use crate::shard::mailbox::{Mail, MailReceiver, MailSender, mailbox};
use crate::shard::shard_link::ShardLink;
use crate::shard::shard_startup::{Published, StoreThreads, recover, start_shard};
use crate::start_error::StartError;
use crate::system::alarms::Alarms;
use crate::system::clock::Clock;
use crate::system::memory_budgets::MemoryBudgets;
use crate::system::memory_limit::MemoryLimit;
use crate::system::open_files;
use crate::tls::TlsAcceptor;
use arc_swap::ArcSwap;
use forebay_engine::BrokerSnapshot;
use forebay_engine::model::Fault;
use forebay_engine::shard::Shard;
use forebay_engine::topology::Topology;
use forebay_store::check_data_directory;
use forebay_wire::ReplyCode;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How fast messages pass, by queue and in the broker as a whole, and what lag is normal.
type Rates = (Arc<ArcSwap<QueueRates>>, Arc<ArcSwap<BrokerRates>>, Arc<LagWatches>);

/// A broker that runs.
pub struct Broker {
    amqp_addresses: Vec<SocketAddr>,
    metrics_address: SocketAddr,
    admin_address: SocketAddr,
    admin_task: JoinHandle<()>,
    connections: Connections,
    endpoint: Endpoint,
    endpoint_task: JoinHandle<()>,
    lag: Arc<LagWatches>,
    alarm_task: JoinHandle<()>,
    mailbox: MailSender,
    reloader: Reloader,
    accepting: CancellationToken,
    shard: JoinHandle<()>,
    store_threads: StoreThreads,
    failures: FailureReceiver,
}

impl Broker {
    /// Starts a broker; when this returns, clients are served.
    ///
    /// # Errors
    /// What was wrong and what to do.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        check_data_directory(&settings.data_dir)?;
        let budgets = MemoryBudgets::of(memory()?);
        open_files::raise_limit();
        let clock = Clock::start();
        let tls = load_certificates(&settings)?;
        let ports = bind_all(&settings, tls.as_ref())?;
        let (admin_address, admin_listener) = listen_admin(&settings, tls.as_ref()).await?;
        let admin_scheme = admin_listener.scheme();
        let (link, mail) = shard_link(&budgets);
        let metrics = Metrics::new().map_err(io::Error::other)?;
        let alarms = Alarms::new(alarm_limits(&settings, &budgets));
        let rates = Arc::new(ArcSwap::from_pointee(QueueRates::default()));
        let broker_rates = Arc::new(ArcSwap::from_pointee(BrokerRates::default()));
        let lag = Arc::new(LagWatches::new(&settings.data_dir, settings.lag));
        let rates = (rates, broker_rates, Arc::clone(&lag));
        let sources = endpoint_sources(&settings, &link, &metrics, &alarms, &rates);
        let (endpoint, metrics_address, metrics_scheme, endpoint_task) =
            serve_endpoint(sources, &settings, tls.as_ref()).await?;

        let recovered = recover(&settings, &budgets).await?;
        let is_new = recovered.is_new;
        endpoint.set_store(&recovered.store);
        alarms.set_store(&recovered.store);
        let published = published(&recovered.shard);
        endpoint.set_topology(&published);
        let (failure_sender, failures) = failures();
        let (store_threads, shard) =
            start_shard(recovered, clock, mail, &published, &metrics, failure_sender.clone())?;
        load_definitions(&link, &published.1, &settings).await?;
        first_user::decide(&link, &published.0, &settings, is_new).await?;
        let authenticator = authenticator(&settings, &published.0)?;
        let context = connection_context(
            &settings,
            &budgets,
            clock,
            &link,
            &published.0,
            &authenticator,
            &metrics,
        );
        let alarm_task =
            watch_alarms(&alarms, &settings.data_dir, &link.connections, failure_sender).await?;
        let accepting = CancellationToken::new();
        let amqp_addresses = listen_all(ports, &context, &link.connections, &accepting)?;
        let listeners = listeners(&settings, &amqp_addresses, metrics_address, admin_address);
        announce(&settings, (admin_scheme, admin_address), (metrics_scheme, metrics_address));
        let reloader = reloader(&settings, budgets, &link, &context, (&alarms, &lag), tls.as_ref());
        let shown = (rates, published.1);
        let admin = admin(&settings, &link, &context, &alarms, shown, tls.as_ref(), listeners);
        let admin_task = tokio::spawn(admin::serve(admin, admin_listener));
        endpoint.set_ready(true);
        tracing::info!("ready");
        Ok(Self {
            amqp_addresses,
            metrics_address,
            admin_address,
            admin_task,
            connections: link.connections,
            endpoint,
            endpoint_task,
            lag,
            alarm_task,
            mailbox: link.mailbox,
            reloader,
            accepting,
            shard,
            store_threads,
            failures,
        })
    }

    /// What changes it when the configuration is read again.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Where AMQP listens, real ports in place of 0; with TLS behind without.
    #[must_use]
    pub fn amqp_addresses(&self) -> &[SocketAddr] {
        &self.amqp_addresses
    }

    /// Where metrics and health listen.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics_address
    }

    /// Where the admin listener listens.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until `stop` is there, then stops in order.
    ///
    /// # Errors
    /// When the broker could not go on or not stop in order; what was confirmed is safe.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Failure> {
        tokio::select! {
            () = stop => {}
            failure = self.failures.first() => {
                self.endpoint.set_ready(false);
                return Err(failure);
            }
        }
        self.endpoint.set_ready(false);
        self.accepting.cancel();
        self.admin_task.abort();
        let mut failures = self.failures;
        let stopping = async {
            let fault = Fault::connection(
                ReplyCode::ConnectionForced,
                "broker forced connection closure with reason 'shutdown'",
            );
            self.connections.close_all(&fault);
            let closed = self.connections.all_left();
            if timeout(SHUTDOWN_CONNECTIONS_DURATION_MAX, closed).await.is_err() {
                tracing::warn!("some connections did not close in time and are dropped");
            }
            // Both ends only fail when a failure was reported.
            let _ = self.mailbox.send(Mail::Stop).await;
            let _ = self.shard.await;
            self.alarm_task.abort();
            let (threads, lag) = (self.store_threads, self.lag);
            let stopped = move || {
                // While the data directory is still this process's own.
                lag.stop();
                threads.join();
            };
            let _ = tokio::task::spawn_blocking(stopped).await;
            self.endpoint_task.abort();
        };
        tokio::select! {
            biased;
            failure = failures.first() => Err(failure),
            () = stopping => Ok(()),
        }
    }
}

/// What listens where, and what an operator should know of it.
fn announce(
    settings: &Settings,
    (admin_scheme, admin): (&str, SocketAddr),
    (metrics_scheme, metrics): (&str, SocketAddr),
) {
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    tracing::info!("admin on {admin_scheme}://{admin}/api");
    tracing::info!("metrics and health on {metrics_scheme}://{metrics}/metrics");
}

fn admin(
    settings: &Settings,
    link: &ShardLink,
    context: &ConnectionContext,
    alarms: &Alarms,
    ((rates, broker_rates, lag), catalogue): (Rates, Arc<ArcSwap<Topology>>),
    tls: Option<&TlsAcceptor>,
    listeners: Vec<Listener>,
) -> Admin {
    Admin::new(admin::Sources {
        link: link.clone(),
        snapshot: Arc::clone(&context.snapshot),
        catalogue,
        authenticator: context.authenticator.clone(),
        clock: context.clock,
        product: settings.product.clone(),
        listeners,
        tls: tls.cloned(),
        alarms: alarms.clone(),
        hosts: settings.admin_hosts.clone(),
        queue_defaults: settings.queue_defaults,
        rates,
        broker_rates,
        lag,
        totals: Arc::clone(&context.totals),
        data_dir: settings.data_dir.clone(),
        started: Instant::now(),
        pace: context.pace.clone(),
        connection_settings: Arc::clone(&context.settings),
    })
}

fn reloader(
    settings: &Settings,
    budgets: MemoryBudgets,
    link: &ShardLink,
    context: &ConnectionContext,
    (alarms, lag): (&Alarms, &Arc<LagWatches>),
    tls: Option<&TlsAcceptor>,
) -> Reloader {
    Reloader {
        settings: settings.clone(),
        budgets,
        authenticator: context.authenticator.clone(),
        mailbox: link.mailbox.clone(),
        connections: link.connections.clone(),
        connection_settings: Arc::clone(&context.settings),
        alarms: alarms.clone(),
        connection_limits: context.connection_limits.clone(),
        lag: Arc::clone(lag),
        tls: tls.cloned(),
    }
}

fn shard_link(budgets: &MemoryBudgets) -> (ShardLink, MailReceiver) {
    let (mailbox, mail) = mailbox();
    let (connections, budget) = (Connections::default(), PublishBudget::of(budgets.publishes));
    (ShardLink { mailbox, connections, budget }, mail)
}

fn connection_context(
    settings: &Settings,
    budgets: &MemoryBudgets,
    clock: Clock,
    link: &ShardLink,
    snapshot: &Arc<ArcSwap<BrokerSnapshot>>,
    authenticator: &Authenticator,
    metrics: &Metrics,
) -> Arc<ConnectionContext> {
    Arc::new(ConnectionContext {
        settings: Arc::new(ArcSwap::from_pointee(connection_settings(settings, budgets))),
        clock,
        mailbox: link.mailbox.clone(),
        snapshot: Arc::clone(snapshot),
        budget: link.budget.clone(),
        connection_limits: connection_limits(settings),
        pace: PublishPace::new(clock, Arc::clone(snapshot)),
        authenticator: authenticator.clone(),
        totals: Arc::clone(&metrics.connections),
    })
}

/// Publishers wait from their first message on if something is short already.
async fn watch_alarms(
    alarms: &Alarms,
    data_dir: &Path,
    connections: &Connections,
    failures: FailureSender,
) -> Result<JoinHandle<()>, StartError> {
    alarms.check(data_dir, connections).await?;
    let (data_dir, connections) = (data_dir.to_owned(), connections.clone());
    Ok(tokio::spawn(alarms.clone().watch(data_dir, connections, failures)))
}

/// Bytes of memory that may be used; all that there can be where the system does not tell.
///
/// # Errors
/// When there is less than a broker needs.
fn memory() -> Result<u64, StartError> {
    let Some(limit) = MemoryLimit::read() else { return Ok(u64::MAX) };
    if limit.bytes < MEMORY_LIMIT_MIN {
        return Err(StartError::Memory { limit: limit.to_string() });
    }
    tracing::info!("memory that may be used: {limit}");
    Ok(limit.bytes)
}

fn endpoint_sources(
    settings: &Settings,
    link: &ShardLink,
    metrics: &Metrics,
    alarms: &Alarms,
    (rates, broker_rates, lag): &Rates,
) -> Sources {
    Sources {
        metrics: metrics.clone(),
        mailbox: link.mailbox.clone(),
        connections: link.connections.clone(),
        budget: link.budget.clone(),
        data_dir: settings.data_dir.clone(),
        queues_max: settings.metrics_queues_max,
        product: settings.product.clone(),
        alarms: alarms.clone(),
        rates: Arc::clone(rates),
        broker_rates: Arc::clone(broker_rates),
        lag: Arc::clone(lag),
    }
}

/// What the shard lets others see, as it is before the first change.
fn published(shard: &Shard) -> Published {
    let catalogue = Arc::new(ArcSwap::from_pointee(shard.topology().snapshot()));
    (Arc::new(ArcSwap::from_pointee(shard.snapshot())), catalogue)
}

fn load_certificates(settings: &Settings) -> Result<Option<TlsAcceptor>, StartError> {
    let acceptor = settings.tls.as_ref().map(|tls| TlsAcceptor::load(tls.files.clone()));
    Ok(acceptor.transpose()?)
}

fn authenticator(
    settings: &Settings,
    snapshot: &Arc<ArcSwap<BrokerSnapshot>>,
) -> Result<Authenticator, StartError> {
    let authenticator =
        Authenticator::new(&settings.users, &settings.loopback_users, Arc::clone(snapshot));
    Ok(authenticator.map_err(io::Error::other)?)
}

/// What listens where, as RabbitMQ names it. Of the addresses for AMQP those with TLS come last.
fn listeners(
    settings: &Settings,
    amqp: &[SocketAddr],
    metrics: SocketAddr,
    admin: SocketAddr,
) -> Vec<Listener> {
    let tls = settings.tls.as_ref();
    let named = |protocol, address: &SocketAddr| Listener { protocol, address: *address };
    let (plain, with_tls) = amqp.split_at(settings.listen.len().min(amqp.len()));
    let metrics_protocol =
        if tls.is_some_and(|tls| tls.metrics) { "https/prometheus" } else { "http/prometheus" };
    let admin_protocol = if tls.is_some_and(|tls| tls.admin) { "https" } else { "http" };
    let plain = plain.iter().map(|address| named("amqp", address));
    let with_tls = with_tls.iter().map(|address| named("amqp/ssl", address));
    let http = [named(metrics_protocol, &metrics), named(admin_protocol, &admin)];
    plain.chain(with_tls).chain(http).collect()
}

async fn serve_endpoint(
    sources: Sources,
    settings: &Settings,
    tls: Option<&TlsAcceptor>,
) -> Result<(Endpoint, SocketAddr, &'static str, JoinHandle<()>), StartError> {
    let tls = tls.filter(|_| settings.tls.as_ref().is_some_and(|tls| tls.metrics));
    let (listener, address) =
        listen_http("metrics", "--metrics-listen", settings.metrics_listen, tls, false).await?;
    let scheme = listener.scheme();
    let endpoint = Endpoint::new(sources);
    let task = tokio::spawn(endpoint.clone().serve(listener));
    Ok((endpoint, address, scheme, task))
}

async fn listen_http(
    purpose: &'static str,
    flag: &'static str,
    address: SocketAddr,
    tls: Option<&TlsAcceptor>,
    proxy_protocol: bool,
) -> Result<(HttpListener, SocketAddr), StartError> {
    let bound = HttpListener::bind(address, tls, proxy_protocol).await;
    bound.map_err(|error| StartError::Listen { purpose, flag, address, error })
}

async fn listen_admin(
    settings: &Settings,
    tls: Option<&TlsAcceptor>,
) -> Result<(SocketAddr, HttpListener), StartError> {
    let tls = tls.filter(|_| settings.tls.as_ref().is_some_and(|tls| tls.admin));
    let (listener, address) = listen_http(
        "admin",
        "--admin-listen",
        settings.admin_listen,
        tls,
        settings.admin_proxy_protocol,
    )
    .await?;
    Ok((address, listener))
}
