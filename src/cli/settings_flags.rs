//! The settings of a broker as flags and as variables of the environment.

use clap::{Arg, Args};
use forebay_server::config::config_file::ConfigFile;
use forebay_server::config::config_log::{LogFilter, LogFormat};
use forebay_server::config::config_time::{HeartbeatSeconds, Milliseconds, Seconds};
use forebay_server::config::config_value::{
    Address, Addresses, ConnectionCount, Count, DeliveryLimit, FilePath, Flag, HistoryDays,
    LearnDays, LinePercent, LoopbackUsers, MemoryWatermark, MessageSize, Names, Size,
};
use forebay_server::config::lag_defaults::ConfigLag;
use forebay_server::config::otlp::{OtlpEndpoint, ServiceName};
use forebay_server::config::product::Product;
use forebay_server::config::queue_defaults::{ConfigQueues, DefaultsOf};
use forebay_server::tls::{ConfigLoginFrom, ConfigTls, SanType};

/// What a broker runs with, in the order of the configuration file.
#[derive(Clone, Debug, Args)]
#[command(mut_args = true_without_value)]
pub(crate) struct SettingsFlags {
    /// Directory for the data, made when it is not there [default: ./forebay-data]
    #[arg(long, value_name = "DIR", env = "FOREBAY_DATA_DIR")]
    data_dir: Option<FilePath>,

    /// Address for AMQP; may be repeated, or hold several separated by commas [default:
    /// 127.0.0.1:5672]
    #[arg(long, value_name = "ADDR", env = "FOREBAY_LISTEN")]
    listen: Vec<Addresses>,

    /// Clients of --listen come through a balancer that sends the PROXY protocol, version 2 [default:
    /// false]
    #[arg(long, value_name = "BOOL", env = "FOREBAY_PROXY_PROTOCOL")]
    proxy_protocol: Option<Flag>,

    /// Address of the metrics and health endpoint [default: 127.0.0.1:15692]
    #[arg(long, value_name = "ADDR", env = "FOREBAY_METRICS_LISTEN")]
    metrics_listen: Option<Address>,

    /// Queues that have metrics of their own on the metrics endpoint; the others are added up
    /// [default: 2000]
    #[arg(long, value_name = "N", env = "FOREBAY_METRICS_QUEUES_MAX")]
    metrics_queues_max: Option<Count>,

    /// Address of the admin listener [default: 127.0.0.1:15672]
    #[arg(long, value_name = "ADDR", env = "FOREBAY_ADMIN_LISTEN")]
    admin_listen: Option<Address>,

    /// Clients of --admin-listen come through a balancer that sends the PROXY protocol, version 2
    /// [default: false]
    #[arg(long, value_name = "BOOL", env = "FOREBAY_ADMIN_PROXY_PROTOCOL")]
    admin_proxy_protocol: Option<Flag>,

    /// Names that browsers may call the admin listener by, separated by commas; addresses, localhost
    /// and the machine's name are always among them [default: none]
    #[arg(long, value_name = "NAMES", env = "FOREBAY_ADMIN_HOSTS")]
    admin_hosts: Option<Names>,

    /// A file of definitions that is imported at every start
    #[arg(long, value_name = "FILE", env = "FOREBAY_LOAD_DEFINITIONS")]
    load_definitions: Option<FilePath>,

    /// Bytes a second of what is stored that are read again to find damage, as 2MiB; 0 for none
    /// [default: 2MiB]
    #[arg(long, value_name = "BYTES", env = "FOREBAY_SCRUB_RATE")]
    scrub_rate: Option<Size>,

    /// Free space on the disk of the data directory below which publishers wait, as 50MB; 0 for
    /// no limit [default: 256MiB]
    #[arg(long, value_name = "BYTES", env = "FOREBAY_DISK_FREE_LIMIT")]
    disk_free_limit: Option<Size>,

    /// Memory above which publishers wait: a share of what may be used, as 0.6, or an amount, as
    /// 2GB [default: 0.6]
    #[arg(long, value_name = "AMOUNT", env = "FOREBAY_MEMORY_HIGH_WATERMARK")]
    memory_high_watermark: Option<MemoryWatermark>,

    /// What clients are told this is: a name, or a name and a version [default: Forebay]
    #[arg(long, value_name = "NAME", env = "FOREBAY_PRODUCT")]
    product: Option<Product>,

    /// Bytes of a message's body at most, as 16MiB [default: 128MiB]
    #[arg(long, value_name = "BYTES", env = "FOREBAY_MAX_MESSAGE_SIZE")]
    max_message_size: Option<MessageSize>,

    /// Heartbeat interval that clients are offered, as 60s; 0 for none [default: 60s]
    #[arg(long, value_name = "TIME", env = "FOREBAY_HEARTBEAT")]
    heartbeat: Option<HeartbeatSeconds>,

    /// How long a client that declined heartbeats may be silent, as 5m [default: for any time]
    #[arg(long, value_name = "TIME", env = "FOREBAY_IDLE_TIMEOUT")]
    idle_timeout: Option<Seconds>,

    /// Connections of one address at once [default: any number]
    #[arg(long, value_name = "N", env = "FOREBAY_CONNECTIONS_PER_ADDRESS_MAX")]
    connections_per_address_max: Option<ConnectionCount>,

    /// Users that may log in from this machine only, separated by commas, or none [default: guest]
    #[arg(long, value_name = "NAMES", env = "FOREBAY_LOOPBACK_USERS")]
    loopback_users: Option<LoopbackUsers>,

    /// What is logged, as warn or info,forebay_server=debug [default: info]
    #[arg(long, value_name = "FILTER", env = "FOREBAY_LOG")]
    log: Option<LogFilter>,

    /// How lines of the log are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT", env = "FOREBAY_LOG_FORMAT")]
    log_format: Option<LogFormat>,

    /// A collector that takes OTLP over HTTP, as http://127.0.0.1:4318: it gets spans of messages whose
    /// header traceparent says that their trace is recorded [default: OTEL_EXPORTER_OTLP_ENDPOINT, or none]
    #[arg(long, value_name = "URL", env = "FOREBAY_OTLP_ENDPOINT")]
    otlp_endpoint: Option<OtlpEndpoint>,

    /// What the broker is called in traces [default: OTEL_SERVICE_NAME, or forebay]
    #[arg(long, value_name = "NAME", env = "FOREBAY_OTLP_SERVICE_NAME")]
    otlp_service_name: Option<ServiceName>,

    #[command(flatten)]
    tls: TlsFlags,

    #[command(flatten)]
    queues: QueueFlags,

    #[command(flatten)]
    lag: LagFlags,
}

#[derive(Clone, Debug, Args)]
struct TlsFlags {
    /// Address for AMQP with TLS; may be repeated, or hold several separated by commas [default:
    /// 127.0.0.1:5671 when there is a certificate]
    #[arg(long = "tls-listen", value_name = "ADDR", env = "FOREBAY_TLS_LISTEN")]
    tls_listen: Vec<Addresses>,

    /// Clients of --tls-listen come through a balancer that sends the PROXY protocol, version 2
    /// [default: false]
    #[arg(long, value_name = "BOOL", env = "FOREBAY_TLS_PROXY_PROTOCOL")]
    tls_proxy_protocol: Option<Flag>,

    /// The broker's certificate and those between it and its authority (PEM); read again on SIGHUP
    #[arg(long, value_name = "FILE", env = "FOREBAY_TLS_CERTFILE")]
    tls_certfile: Option<FilePath>,

    /// The private key of the certificate (PEM, not encrypted)
    #[arg(long, value_name = "FILE", env = "FOREBAY_TLS_KEYFILE")]
    tls_keyfile: Option<FilePath>,

    /// Authorities of client certificates (PEM); clients are then asked for one
    #[arg(long, value_name = "FILE", env = "FOREBAY_TLS_CACERTFILE")]
    tls_cacertfile: Option<FilePath>,

    /// The admin listener speaks HTTPS, with the broker's certificate [default: false]
    #[arg(long, value_name = "BOOL", env = "FOREBAY_TLS_ADMIN")]
    tls_admin: Option<Flag>,

    /// The metrics listener speaks HTTPS, with the broker's certificate [default: false]
    #[arg(long, value_name = "BOOL", env = "FOREBAY_TLS_METRICS")]
    tls_metrics: Option<Flag>,

    /// Clients without a certificate are refused [default: false]
    #[arg(long, value_name = "BOOL", env = "FOREBAY_TLS_FAIL_IF_NO_PEER_CERT")]
    tls_fail_if_no_peer_cert: Option<Flag>,

    /// What of a client's certificate is the user's name: distinguished_name, common_name or
    /// subject_alternative_name [default: distinguished_name]
    #[arg(long, value_name = "PART", env = "FOREBAY_TLS_CERT_LOGIN_FROM")]
    tls_cert_login_from: Option<ConfigLoginFrom>,

    /// Which alternative name: dns, ip, email or uri [default: dns]
    #[arg(long, value_name = "TYPE", env = "FOREBAY_TLS_CERT_LOGIN_SAN_TYPE")]
    tls_cert_login_san_type: Option<SanType>,
}

#[derive(Clone, Debug, Args)]
struct QueueFlags {
    /// Whose defaults queues have: forebay or rabbitmq [default: forebay]
    #[arg(long, value_name = "WHOSE", env = "FOREBAY_QUEUES_DEFAULTS")]
    queues_defaults: Option<DefaultsOf>,

    /// Failed deliveries after which a message is given up; -1 for no limit [default: 3]
    #[arg(
        long,
        value_name = "N",
        env = "FOREBAY_QUEUES_DELIVERY_LIMIT",
        allow_negative_numbers = true
    )]
    queues_delivery_limit: Option<DeliveryLimit>,

    /// What is given up goes to QUEUE.dlq [default: true]
    #[arg(long, value_name = "BOOL", env = "FOREBAY_QUEUES_DEAD_LETTER_QUEUES")]
    queues_dead_letter_queues: Option<Flag>,

    /// How long a consumer may hold a message, in ms or as 30m; -1 for no end [default: 30m]
    #[arg(
        long,
        value_name = "TIME",
        env = "FOREBAY_QUEUES_CONSUMER_TIMEOUT_MS",
        allow_negative_numbers = true
    )]
    queues_consumer_timeout_ms: Option<Milliseconds>,
}

#[derive(Clone, Debug, Args)]
struct LagFlags {
    /// What lag is normal for each queue is learnt, and told when it is not [default: true]
    #[arg(long, value_name = "BOOL", env = "FOREBAY_LAG_ENABLED")]
    lag_enabled: Option<Flag>,

    /// The alert line of a queue's lag, in hundredths of its normal peak [default: 200]
    #[arg(long, value_name = "PERCENT", env = "FOREBAY_LAG_LINE_PERCENT")]
    lag_line_percent: Option<LinePercent>,

    /// Days that a new level of lag must hold until it is normal by itself [default: 14]
    #[arg(long, value_name = "DAYS", env = "FOREBAY_LAG_LEARN_DAYS")]
    lag_learn_days: Option<LearnDays>,

    /// Days of history that are kept of each queue's lag, 7 to 35 [default: 35]
    #[arg(long, value_name = "DAYS", env = "FOREBAY_LAG_HISTORY_DAYS")]
    lag_history_days: Option<HistoryDays>,

    /// The age that no message may pass in queues that don't say themselves, in ms or as 10m; -1 for
    /// none [default: none]
    #[arg(
        long,
        value_name = "TIME",
        env = "FOREBAY_LAG_MAX_AGE_SLO_MS",
        allow_negative_numbers = true
    )]
    lag_max_age_slo_ms: Option<Milliseconds>,
}

/// A flag for true or false may stand alone, which means true.
fn true_without_value(arg: Arg) -> Arg {
    let is_bool =
        arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "BOOL"));
    if is_bool {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        arg
    }
}

impl SettingsFlags {
    /// In the form of the configuration file, over which they lie.
    pub(crate) fn layer(self) -> ConfigFile {
        ConfigFile {
            data_dir: self.data_dir,
            listen: together(self.listen),
            proxy_protocol: self.proxy_protocol,
            metrics_listen: self.metrics_listen,
            metrics_queues_max: self.metrics_queues_max,
            admin_listen: self.admin_listen,
            admin_proxy_protocol: self.admin_proxy_protocol,
            admin_hosts: self.admin_hosts,
            load_definitions: self.load_definitions,
            scrub_rate: self.scrub_rate,
            disk_free_limit: self.disk_free_limit,
            memory_high_watermark: self.memory_high_watermark,
            product: self.product,
            max_message_size: self.max_message_size,
            heartbeat: self.heartbeat,
            idle_timeout: self.idle_timeout,
            connections_per_address_max: self.connections_per_address_max,
            loopback_users: self.loopback_users,
            log: self.log,
            log_format: self.log_format,
            otlp_endpoint: self.otlp_endpoint,
            otlp_service_name: self.otlp_service_name,
            tls: self.tls.layer(),
            queues: self.queues.layer(),
            lag: self.lag.layer(),
            users: Default::default(),
        }
    }
}

impl TlsFlags {
    fn layer(self) -> ConfigTls {
        ConfigTls {
            listen: together(self.tls_listen),
            proxy_protocol: self.tls_proxy_protocol,
            certfile: self.tls_certfile,
            keyfile: self.tls_keyfile,
            cacertfile: self.tls_cacertfile,
            admin: self.tls_admin,
            metrics: self.tls_metrics,
            fail_if_no_peer_cert: self.tls_fail_if_no_peer_cert,
            cert_login_from: self.tls_cert_login_from,
            cert_login_san_type: self.tls_cert_login_san_type,
        }
    }
}

impl QueueFlags {
    fn layer(self) -> ConfigQueues {
        ConfigQueues {
            defaults: self.queues_defaults,
            delivery_limit: self.queues_delivery_limit,
            dead_letter_queues: self.queues_dead_letter_queues,
            consumer_timeout_ms: self.queues_consumer_timeout_ms,
        }
    }
}

impl LagFlags {
    fn layer(self) -> ConfigLag {
        ConfigLag {
            enabled: self.lag_enabled,
            line_percent: self.lag_line_percent,
            learn_days: self.lag_learn_days,
            history_days: self.lag_history_days,
            max_age_slo_ms: self.lag_max_age_slo_ms,
        }
    }
}

/// `None` when the flag was not given; an empty one is an empty list.
fn together(given: Vec<Addresses>) -> Option<Addresses> {
    let listed = given.into_iter().map(|Addresses(listed)| listed);
    listed.reduce(|all, more| [all, more].concat()).map(Addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        settings: SettingsFlags,
    }

    fn settings(arguments: &[&str]) -> Result<ConfigFile, clap::Error> {
        let program = Program::try_parse_from([&["forebay"], arguments].concat());
        program.map(|program| program.settings.layer())
    }

    #[test]
    fn a_flag_for_true_or_false_may_stand_alone() {
        let given = settings(&["--tls-admin", "--proxy-protocol=false", "--listen", "127.0.0.1:1"]);
        let given = given.unwrap();
        assert_eq!(given.tls.admin, Some(Flag(true)));
        assert_eq!(given.proxy_protocol, Some(Flag(false)));
        assert_eq!(given.queues.dead_letter_queues, None);
        assert!(settings(&["--tls-admin", "false"]).is_err(), "the value stands behind =");
        assert!(settings(&["--listen"]).is_err(), "other flags need their value");
    }
}
