//! The configuration that is read again while the broker runs: what can change changes, what can't is
//! named.

use crate::auth::authenticator::Authenticator;
use crate::config::derived::{alarm_limits, connection_settings};
use crate::config::settings::Settings;
use crate::connection::connection_limits::ConnectionLimits;
use crate::connection::connections::Connections;
use crate::lag::LagWatches;
use crate::shard::mailbox::{Mail, MailSender};
use crate::shard::shard_startup::configured_users;
use crate::system::alarms::Alarms;
use crate::system::memory_budgets::MemoryBudgets;
use crate::tls::{TlsAcceptor, TlsError};
use arc_swap::ArcSwap;
use forebay_engine::connection::ConnectionSettings;
use forebay_engine::model::Fault;
use forebay_wire::ReplyCode;
use std::sync::Arc;

/// Changes a running broker.
#[derive(Clone)]
pub struct Reloader {
    /// What it runs with.
    pub(crate) settings: Settings,
    pub(crate) budgets: MemoryBudgets,
    pub(crate) authenticator: Authenticator,
    pub(crate) mailbox: MailSender,
    pub(crate) connections: Connections,
    pub(crate) connection_settings: Arc<ArcSwap<ConnectionSettings>>,
    pub(crate) alarms: Alarms,
    pub(crate) connection_limits: ConnectionLimits,
    pub(crate) lag: Arc<LagWatches>,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// What came of it.
#[derive(Debug)]
pub struct Reloaded {
    /// Settings that have another value now, by key.
    pub changed: Vec<&'static str>,
    /// Settings that would have another value, but change at a start only.
    pub unchanged: Vec<&'static str>,
    /// Whether the certificates were read again; nothing without TLS.
    pub certificates: Option<Result<(), TlsError>>,
}

impl Reloader {
    /// Runs with these settings from now on, as far as they can change.
    pub async fn apply(&mut self, new: Settings) -> Reloaded {
        let certificates = self.tls.as_ref().map(TlsAcceptor::reload);
        let old = &self.settings;
        let endpoint = |it: &Settings| it.otlp.as_ref().map(|otlp| otlp.endpoint.clone());
        let service_name = |it: &Settings| it.otlp.as_ref().map(|otlp| otlp.service_name.clone());
        let unchanged = named(&[
            ("data_dir", old.data_dir != new.data_dir),
            ("listen", old.listen != new.listen),
            ("proxy_protocol", old.proxy_protocol != new.proxy_protocol),
            ("tls", old.tls != new.tls),
            ("metrics_listen", old.metrics_listen != new.metrics_listen),
            ("otlp_endpoint", endpoint(old) != endpoint(&new)),
            ("otlp_service_name", service_name(old) != service_name(&new)),
            ("metrics_queues_max", old.metrics_queues_max != new.metrics_queues_max),
            ("admin_listen", old.admin_listen != new.admin_listen),
            ("admin_proxy_protocol", old.admin_proxy_protocol != new.admin_proxy_protocol),
            ("admin_hosts", old.admin_hosts != new.admin_hosts),
            ("load_definitions", old.load_definitions != new.load_definitions),
            ("scrub_rate", old.scrub_rate != new.scrub_rate),
            ("queues", old.queue_defaults != new.queue_defaults),
            ("product", old.product != new.product),
            ("log_format", old.log_format != new.log_format),
        ]);
        let users_changed = old.users != new.users;
        let watermark_changed = old.memory_high_watermark != new.memory_high_watermark;
        let address_max_changed =
            old.connections_per_address_max != new.connections_per_address_max;
        let changed = named(&[
            ("users", users_changed),
            ("loopback_users", old.loopback_users != new.loopback_users),
            ("log", old.log != new.log),
            ("heartbeat", old.heartbeat != new.heartbeat),
            ("idle_timeout", old.idle_timeout != new.idle_timeout),
            ("max_message_size", old.message_size_max != new.message_size_max),
            ("connections_per_address_max", address_max_changed),
            ("disk_free_limit", old.disk_free_limit != new.disk_free_limit),
            ("memory_high_watermark", watermark_changed),
            ("lag", old.lag != new.lag),
        ]);
        self.take(new);
        self.authenticator.configure(&self.settings.users, &self.settings.loopback_users);
        self.connection_limits.set_per_address_max(self.settings.connections_per_address_max);
        self.alarms.set_limits(alarm_limits(&self.settings, &self.budgets));
        self.lag.set_defaults(self.settings.lag);
        let connections = connection_settings(&self.settings, &self.budgets);
        self.connection_settings.store(Arc::new(connections));
        if users_changed {
            // The mailbox is closed only when the broker ends.
            let _ = self.mailbox.send(Mail::Configure(configured_users(&self.settings))).await;
            self.cut_off();
        }
        Reloaded { changed, unchanged, certificates }
    }

    /// Takes over the settings that change. The others stay, so that they are named until a start.
    fn take(&mut self, new: Settings) {
        let old = &mut self.settings;
        old.users = new.users;
        old.loopback_users = new.loopback_users;
        old.log = new.log;
        old.heartbeat = new.heartbeat;
        old.idle_timeout = new.idle_timeout;
        old.message_size_max = new.message_size_max;
        old.connections_per_address_max = new.connections_per_address_max;
        old.disk_free_limit = new.disk_free_limit;
        old.memory_high_watermark = new.memory_high_watermark;
        old.lag = new.lag;
    }

    /// Closes the connections of users that nobody names any more, as when one is deleted.
    fn cut_off(&self) {
        let fault = Fault::connection(
            ReplyCode::ConnectionForced,
            "the user is not in the configuration any more",
        );
        let authenticator = &self.authenticator;
        self.connections.close_some(&fault, |_, about| authenticator.tags(&about.user).is_none());
    }
}

fn named(settings: &[(&'static str, bool)]) -> Vec<&'static str> {
    settings.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
}
