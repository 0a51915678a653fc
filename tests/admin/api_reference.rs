//! RabbitMQ's published list of paths of its management API (3.10.8, with what 3.13 and 4.x added), and of
//! what it answers: each is here, or left out for a reason. Tools read the answers into types, so a field
//! that is named here is there with the type that RabbitMQ's has.

use crate::harness::broker::Broker;
use crate::harness::session::{Session, consume, declare_named, publish};
use crate::http::Admin;
use lapin::Consumer;
use lapin::types::FieldTable;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Type {
    Bool,
    List,
    Number,
    Object,
    Text,
    /// Text, or null.
    MaybeText,
}
use Type::{Bool, List, MaybeText, Number, Object, Text};

impl Type {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Bool => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Number => value.is_number(),
            Self::Object => value.is_object(),
            Self::Text => value.is_string(),
            Self::MaybeText => value.is_string() || value.is_null(),
        }
    }
}

/// What becomes of a field that RabbitMQ documents.
type Fields = &'static [(&'static str, Type)];

/// What a path answers.
enum Answer {
    /// An object with these fields, and those that are left out.
    One(Fields, &'static [&'static str]),
    /// A list of such objects, of which there is at least one.
    Many(Fields, &'static [&'static str]),
    /// A list that is empty, and why it always is.
    Nothing(&'static str),
    /// Something of its own, looked at in another test.
    Status(u16),
}
use Answer::{Many, Nothing, One, Status};

/// What RabbitMQ counts of Erlang's machine, of its own store and of its garbage collector.
const ERLANG: &[&str] = &["garbage_collection", "reductions"];

const OVERVIEW: Answer = One(
    &[
        ("churn_rates.channel_closed", Number),
        ("churn_rates.channel_created", Number),
        ("churn_rates.connection_closed", Number),
        ("churn_rates.connection_created", Number),
        ("churn_rates.connection_created_details.rate", Number),
        ("churn_rates.queue_created", Number),
        ("churn_rates.queue_declared", Number),
        ("churn_rates.queue_deleted", Number),
        ("cluster_name", Text),
        ("contexts", List),
        ("disable_stats", Bool),
        ("enable_queue_totals", Bool),
        ("erlang_full_version", Text),
        ("erlang_version", Text),
        ("exchange_types", List),
        ("listeners", List),
        ("management_version", Text),
        ("message_stats.ack", Number),
        ("message_stats.confirm", Number),
        ("message_stats.confirm_details.rate", Number),
        ("message_stats.deliver", Number),
        ("message_stats.deliver_get", Number),
        ("message_stats.deliver_no_ack", Number),
        ("message_stats.drop_unroutable", Number),
        ("message_stats.get", Number),
        ("message_stats.get_empty", Number),
        ("message_stats.get_no_ack", Number),
        ("message_stats.publish", Number),
        ("message_stats.publish_details.rate", Number),
        ("message_stats.redeliver", Number),
        ("message_stats.return_unroutable", Number),
        ("node", Text),
        ("object_totals.channels", Number),
        ("object_totals.connections", Number),
        ("object_totals.consumers", Number),
        ("object_totals.exchanges", Number),
        ("object_totals.queues", Number),
        ("product_name", Text),
        ("product_version", Text),
        ("queue_totals.messages", Number),
        ("queue_totals.messages_details.rate", Number),
        ("queue_totals.messages_ready", Number),
        ("queue_totals.messages_ready_details.rate", Number),
        ("queue_totals.messages_unacknowledged", Number),
        ("queue_totals.messages_unacknowledged_details.rate", Number),
        ("rabbitmq_version", Text),
        ("rates_mode", Text),
        ("statistics_db_event_queue", Number),
    ],
    // There is one age of every rate; support is not RabbitMQ's.
    &[
        "sample_retention_policies",
        "release_series_support_status",
        "message_stats.disk_reads",
        "message_stats.disk_writes",
    ],
);

const NODE_FIELDS: Fields = &[
    ("applications", List),
    ("auth_mechanisms", List),
    ("being_drained", Bool),
    ("channel_closed", Number),
    ("channel_created", Number),
    ("cluster_links", List),
    ("connection_closed", Number),
    ("connection_created", Number),
    ("connection_created_details.rate", Number),
    ("contexts", List),
    ("db_dir", Text),
    ("disk_free", Number),
    ("disk_free_alarm", Bool),
    ("disk_free_limit", Number),
    ("enabled_plugins", List),
    ("exchange_types", List),
    ("fd_total", Number),
    ("fd_used", Number),
    ("log_files", List),
    ("mem_alarm", Bool),
    ("mem_calculation_strategy", Text),
    ("mem_limit", Number),
    ("mem_used", Number),
    ("name", Text),
    ("os_pid", Text),
    ("partitions", List),
    ("proc_total", Number),
    ("proc_used", Number),
    ("processors", Number),
    ("queue_created", Number),
    ("queue_declared", Number),
    ("queue_deleted", Number),
    ("rates_mode", Text),
    ("run_queue", Number),
    ("running", Bool),
    ("sockets_total", Number),
    ("sockets_used", Number),
    ("type", Text),
    ("uptime", Number),
];

/// Erlang's machine, Mnesia, RabbitMQ's store and its statistics' own queues; where the configuration was
/// read from is not known any more; memory is not told apart.
const NODE_LEFT_OUT: &[&str] = &[
    "config_files",
    "context_switches",
    "disk_free_details",
    "fd_used_details",
    "gc_bytes_reclaimed",
    "gc_num",
    "io_file_handle_open_attempt_avg_time",
    "io_read_avg_time",
    "io_read_bytes",
    "io_read_count",
    "io_reopen_count",
    "io_seek_avg_time",
    "io_seek_count",
    "io_sync_avg_time",
    "io_sync_count",
    "io_write_avg_time",
    "io_write_bytes",
    "io_write_count",
    "mem_used_details",
    "memory",
    "metrics_gc_queue_length",
    "mnesia_disk_tx_count",
    "mnesia_ram_tx_count",
    "msg_store_read_count",
    "msg_store_write_count",
    "net_ticktime",
    "proc_used_details",
    "queue_index_read_count",
    "queue_index_write_count",
    "ra_open_file_metrics",
    "sockets_used_details",
];

const CONNECTION_FIELDS: Fields = &[
    ("auth_mechanism", Text),
    ("channel_max", Number),
    ("channels", Number),
    ("client_properties", Object),
    ("client_properties.capabilities", Object),
    ("connected_at", Number),
    ("frame_max", Number),
    ("host", Text),
    ("name", Text),
    ("node", Text),
    ("peer_cert_issuer", MaybeText),
    ("peer_cert_subject", MaybeText),
    ("peer_cert_validity", MaybeText),
    ("peer_host", Text),
    ("peer_port", Number),
    ("port", Number),
    ("protocol", Text),
    ("recv_cnt", Number),
    ("recv_oct", Number),
    ("recv_oct_details.rate", Number),
    ("send_cnt", Number),
    ("send_oct", Number),
    ("send_oct_details.rate", Number),
    ("send_pend", Number),
    ("ssl", Bool),
    ("ssl_cipher", MaybeText),
    ("ssl_hash", MaybeText),
    ("ssl_key_exchange", MaybeText),
    ("ssl_protocol", MaybeText),
    ("state", Text),
    ("timeout", Number),
    ("type", Text),
    ("user", Text),
    ("user_who_performed_action", Text),
    ("vhost", Text),
];

const CHANNEL_FIELDS: Fields = &[
    ("acks_uncommitted", Number),
    ("confirm", Bool),
    ("connection_details.name", Text),
    ("connection_details.peer_host", Text),
    ("connection_details.peer_port", Number),
    ("consumer_count", Number),
    ("global_prefetch_count", Number),
    ("messages_unacknowledged", Number),
    ("messages_uncommitted", Number),
    ("messages_unconfirmed", Number),
    ("name", Text),
    ("node", Text),
    ("number", Number),
    ("prefetch_count", Number),
    ("state", Text),
    ("transactional", Bool),
    ("user", Text),
    ("user_who_performed_action", Text),
    ("vhost", Text),
];

/// Messages are counted by queue and exchange, not by channel; nobody notes when a channel was idle; Raft
/// has no part here.
const CHANNEL_LEFT_OUT: &[&str] =
    &["garbage_collection", "idle_since", "message_stats", "pending_raft_commands", "reductions"];

const CONSUMER_FIELDS: Fields = &[
    ("ack_required", Bool),
    ("active", Bool),
    ("activity_status", Text),
    ("arguments", Object),
    ("channel_details.connection_name", Text),
    ("channel_details.name", Text),
    ("channel_details.node", Text),
    ("channel_details.number", Number),
    ("channel_details.peer_host", Text),
    ("channel_details.peer_port", Number),
    ("channel_details.user", Text),
    ("consumer_tag", Text),
    ("consumer_timeout", Number),
    ("exclusive", Bool),
    ("prefetch_count", Number),
    ("queue.name", Text),
    ("queue.vhost", Text),
];

const EXCHANGE_FIELDS: Fields = &[
    ("arguments", Object),
    ("auto_delete", Bool),
    ("durable", Bool),
    ("internal", Bool),
    ("message_stats.publish_in", Number),
    ("message_stats.publish_in_details.rate", Number),
    ("message_stats.publish_out", Number),
    ("message_stats.publish_out_details.rate", Number),
    ("name", Text),
    ("type", Text),
    ("vhost", Text),
];

/// Who declared it is not kept; what channels and queues each had a part in is counted in RabbitMQ's detailed
/// mode only.
const EXCHANGE_LEFT_OUT: &[&str] = &["incoming", "outgoing", "user_who_performed_action"];

const QUEUE_FIELDS: Fields = &[
    ("arguments", Object),
    ("auto_delete", Bool),
    ("consumer_capacity", Number),
    ("consumer_utilisation", Number),
    ("consumers", Number),
    ("durable", Bool),
    ("effective_policy_definition", Object),
    ("exclusive", Bool),
    ("message_bytes", Number),
    ("message_stats.ack", Number),
    ("message_stats.ack_details.rate", Number),
    ("message_stats.deliver", Number),
    ("message_stats.deliver_get", Number),
    ("message_stats.deliver_no_ack", Number),
    ("message_stats.get", Number),
    ("message_stats.get_empty", Number),
    ("message_stats.get_no_ack", Number),
    ("message_stats.publish", Number),
    ("message_stats.publish_details.rate", Number),
    ("message_stats.redeliver", Number),
    ("messages", Number),
    ("messages_details.rate", Number),
    ("messages_ready", Number),
    ("messages_ready_details.rate", Number),
    ("messages_unacknowledged", Number),
    ("messages_unacknowledged_details.rate", Number),
    ("name", Text),
    ("node", Text),
    ("operator_policy", MaybeText),
    ("policy", MaybeText),
    ("state", Text),
    ("type", Text),
    ("vhost", Text),
];

/// Every backlog is on the disk, and a message has no second place in memory that could be counted; bodies
/// are not added up by what became of them; nobody notes when a queue was idle; there are no mirrors.
const QUEUE_LEFT_OUT: &[&str] = &[
    "backing_queue_status",
    "deliveries",
    "garbage_collection",
    "head_message_timestamp",
    "idle_since",
    "incoming",
    "memory",
    "message_bytes_paged_out",
    "message_bytes_persistent",
    "message_bytes_ram",
    "message_bytes_ready",
    "message_bytes_unacknowledged",
    "messages_paged_out",
    "messages_persistent",
    "messages_ram",
    "messages_ready_ram",
    "messages_unacknowledged_ram",
    "recoverable_slaves",
    "reductions",
];

const VHOST_FIELDS: Fields = &[
    ("cluster_state", Object),
    ("default_queue_type", Text),
    ("description", Text),
    ("message_stats.publish", Number),
    ("messages", Number),
    ("messages_details.rate", Number),
    ("messages_ready", Number),
    ("messages_unacknowledged", Number),
    ("metadata.description", Text),
    ("metadata.tags", List),
    ("name", Text),
    ("tags", List),
    ("tracing", Bool),
];

/// Bytes are counted by connection, and confirms of the broker as a whole.
const VHOST_LEFT_OUT: &[&str] = &["message_stats.confirm", "recv_oct", "send_oct"];

const BINDING_FIELDS: Fields = &[
    ("arguments", Object),
    ("destination", Text),
    ("destination_type", Text),
    ("properties_key", Text),
    ("routing_key", Text),
    ("source", Text),
    ("vhost", Text),
];

const USER_FIELDS: Fields = &[
    ("hashing_algorithm", Text),
    ("limits", Object),
    ("name", Text),
    ("password_hash", Text),
    ("tags", List),
];

const PERMISSION_FIELDS: Fields =
    &[("configure", Text), ("read", Text), ("user", Text), ("vhost", Text), ("write", Text)];

const POLICY_FIELDS: Fields = &[
    ("apply-to", Text),
    ("definition", Object),
    ("name", Text),
    ("pattern", Text),
    ("priority", Number),
    ("vhost", Text),
];

const PARAMETER_FIELDS: Fields =
    &[("component", Text), ("name", Text), ("value", Object), ("vhost", Text)];

const DEFINITION_FIELDS: Fields = &[
    ("bindings", List),
    ("exchanges", List),
    ("global_parameters", List),
    ("parameters", List),
    ("permissions", List),
    ("policies", List),
    ("product_name", Text),
    ("product_version", Text),
    ("queues", List),
    ("rabbit_version", Text),
    ("rabbitmq_version", Text),
    ("topic_permissions", List),
    ("users", List),
    ("vhosts", List),
];

const NO_TOPICS: &str = "there are no topic permissions";

/// Every GET of the list, `CONNECTION`, `CHANNEL` and `NODE` standing for names.
const PATHS: &[(&str, Answer)] = &[
    ("overview", OVERVIEW),
    ("cluster-name", One(&[("name", Text)], &[])),
    ("nodes", Many(NODE_FIELDS, NODE_LEFT_OUT)),
    ("nodes/NODE", One(NODE_FIELDS, NODE_LEFT_OUT)),
    ("extensions", Nothing("there is no web page that could be extended")),
    ("definitions", One(DEFINITION_FIELDS, &[])),
    (
        "definitions/%2F",
        One(&[("bindings", List), ("exchanges", List), ("policies", List), ("queues", List)], &[]),
    ),
    ("connections", Many(CONNECTION_FIELDS, ERLANG)),
    ("vhosts/%2F/connections", Many(CONNECTION_FIELDS, ERLANG)),
    ("connections/CONNECTION", One(CONNECTION_FIELDS, ERLANG)),
    ("connections/username/guest", Many(CONNECTION_FIELDS, ERLANG)),
    ("connections/CONNECTION/channels", Many(CHANNEL_FIELDS, CHANNEL_LEFT_OUT)),
    ("channels", Many(CHANNEL_FIELDS, CHANNEL_LEFT_OUT)),
    ("vhosts/%2F/channels", Many(CHANNEL_FIELDS, CHANNEL_LEFT_OUT)),
    ("channels/CHANNEL", One(CHANNEL_FIELDS, CHANNEL_LEFT_OUT)),
    ("consumers", Many(CONSUMER_FIELDS, &[])),
    ("consumers/%2F", Many(CONSUMER_FIELDS, &[])),
    ("exchanges", Many(EXCHANGE_FIELDS, EXCHANGE_LEFT_OUT)),
    ("exchanges/%2F", Many(EXCHANGE_FIELDS, EXCHANGE_LEFT_OUT)),
    ("exchanges/%2F/x", One(EXCHANGE_FIELDS, EXCHANGE_LEFT_OUT)),
    ("exchanges/%2F/x/bindings/source", Many(BINDING_FIELDS, &[])),
    ("exchanges/%2F/y/bindings/destination", Many(BINDING_FIELDS, &[])),
    ("queues", Many(QUEUE_FIELDS, QUEUE_LEFT_OUT)),
    ("queues/%2F", Many(QUEUE_FIELDS, QUEUE_LEFT_OUT)),
    ("queues/%2F/q", One(QUEUE_FIELDS, QUEUE_LEFT_OUT)),
    (
        "queues/%2F/q",
        One(
            &[
                ("consumer_details", List),
                ("exclusive_consumer_tag", MaybeText),
                ("single_active_consumer_tag", MaybeText),
            ],
            &[],
        ),
    ),
    ("queues/%2F/q/bindings", Many(BINDING_FIELDS, &[])),
    ("bindings", Many(BINDING_FIELDS, &[])),
    ("bindings/%2F", Many(BINDING_FIELDS, &[])),
    ("bindings/%2F/e/x/q/q", Many(BINDING_FIELDS, &[])),
    ("bindings/%2F/e/x/q/q/key", One(BINDING_FIELDS, &[])),
    ("bindings/%2F/e/x/e/y", Many(BINDING_FIELDS, &[])),
    ("bindings/%2F/e/x/e/y/~", One(BINDING_FIELDS, &[])),
    ("vhosts", Many(VHOST_FIELDS, VHOST_LEFT_OUT)),
    ("vhosts/%2F", One(VHOST_FIELDS, VHOST_LEFT_OUT)),
    ("vhosts/%2F/permissions", Many(PERMISSION_FIELDS, &[])),
    ("vhosts/%2F/topic-permissions", Nothing(NO_TOPICS)),
    ("users", Many(USER_FIELDS, &[])),
    ("users/without-permissions", Many(USER_FIELDS, &[])),
    ("users/stranger", One(USER_FIELDS, &[])),
    ("users/guest/permissions", Many(PERMISSION_FIELDS, &[])),
    ("users/guest/topic-permissions", Nothing(NO_TOPICS)),
    ("user-limits", Many(&[("user", Text), ("value", Object)], &[])),
    ("user-limits/stranger", Many(&[("user", Text), ("value", Object)], &[])),
    ("whoami", One(&[("name", Text), ("tags", List)], &[])),
    ("permissions", Many(PERMISSION_FIELDS, &[])),
    ("permissions/%2F/guest", One(PERMISSION_FIELDS, &[])),
    ("topic-permissions", Nothing(NO_TOPICS)),
    ("topic-permissions/%2F/guest", Nothing(NO_TOPICS)),
    ("parameters", Many(PARAMETER_FIELDS, &[])),
    ("parameters/operator_policy", Many(PARAMETER_FIELDS, &[])),
    ("parameters/operator_policy/%2F", Many(PARAMETER_FIELDS, &[])),
    ("parameters/operator_policy/%2F/op", One(PARAMETER_FIELDS, &[])),
    ("global-parameters", Nothing("nothing here reads global parameters")),
    ("policies", Many(POLICY_FIELDS, &[])),
    ("policies/%2F", Many(POLICY_FIELDS, &[])),
    ("policies/%2F/p", One(POLICY_FIELDS, &[])),
    ("operator-policies", Many(POLICY_FIELDS, &[])),
    ("operator-policies/%2F", Many(POLICY_FIELDS, &[])),
    ("operator-policies/%2F/op", One(POLICY_FIELDS, &[])),
    ("aliveness-test/%2F", One(&[("status", Text)], &[])),
    ("healthchecks/node", One(&[("status", Text)], &[])),
    ("healthchecks/node/NODE", One(&[("status", Text)], &[])),
    ("health/checks/alarms", One(&[("status", Text)], &[])),
    ("health/checks/local-alarms", One(&[("status", Text)], &[])),
    ("health/checks/certificate-expiration/1/months", One(&[("status", Text)], &[])),
    ("health/checks/protocol-listener/amqp", One(&[("status", Text), ("protocol", Text)], &[])),
    ("health/checks/virtual-hosts", One(&[("status", Text)], &[])),
    ("health/checks/node-is-mirror-sync-critical", One(&[("status", Text)], &[])),
    ("health/checks/node-is-quorum-critical", One(&[("status", Text)], &[])),
    // Which port it is differs from broker to broker.
    ("health/checks/port-listener/1", Status(503)),
    ("vhost-limits", Many(&[("value", Object), ("vhost", Text)], &[])),
    ("vhost-limits/%2F", Many(&[("value", Object), ("vhost", Text)], &[])),
    ("auth", One(&[("enable_uaa", Bool)], &["uaa_client_id", "uaa_location"])),
    (
        "auth/attempts/NODE",
        Many(
            &[
                ("auth_attempts", Number),
                ("auth_attempts_failed", Number),
                ("auth_attempts_succeeded", Number),
                ("protocol", Text),
            ],
            &[],
        ),
    ),
    (
        "auth/attempts/NODE/source",
        Many(
            &[
                ("auth_attempts", Number),
                ("auth_attempts_failed", Number),
                ("auth_attempts_succeeded", Number),
                ("remote_address", Text),
            ],
            // Logins are counted by address: names can be made up.
            &["protocol", "username"],
        ),
    ),
    ("feature-flags", Nothing("there is no feature that could be switched on")),
    ("deprecated-features", Nothing("nothing is deprecated")),
    ("deprecated-features/used", Nothing("nothing is deprecated")),
];

/// Paths of the list that are not here, each with the reason. They answer 404, or 405 where another method
/// of the path is known.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    ("GET", "federation-links", "federation is a plugin's"),
    ("GET", "federation-links/%2F", "federation is a plugin's"),
    ("GET", "shovels", "shovels are a plugin's"),
    ("GET", "stream/connections", "there are no streams"),
    ("GET", "stream/consumers", "there are no streams"),
    ("GET", "all-configuration", "deprecated in favour of definitions"),
    ("GET", "nodes/NODE/memory", "memory is not told apart by use"),
    ("PUT", "cluster-name", "the name is what clients are told in the handshake, and fixed"),
    ("GET", "global-parameters/x", "nothing here reads global parameters"),
];

/// What changes something: method, path, body, and what it answers.
const CHANGES: &[(&str, &str, &str, u16)] = &[
    ("PUT", "vhosts/shop", r#"{"description": "d", "tags": "a,b"}"#, 201),
    ("POST", "vhosts/shop/start/NODE", "", 204),
    ("POST", "vhosts/shop/start/other", "", 404),
    ("PUT", "queues/shop/q", "{}", 201),
    ("POST", "queues/shop/q/actions", r#"{"action": "sync"}"#, 204),
    ("POST", "queues/shop/q/actions", r#"{"action": "fly"}"#, 400),
    ("DELETE", "queues/shop/q/contents", "", 204),
    (
        "POST",
        "queues/shop/q/get",
        r#"{"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}"#,
        200,
    ),
    ("DELETE", "queues/shop/q", "", 204),
    ("PUT", "exchanges/shop/x", r#"{"type": "topic"}"#, 201),
    (
        "POST",
        "exchanges/shop/x/publish",
        r#"{"routing_key": "k", "payload": "p", "payload_encoding": "string", "properties": {}}"#,
        200,
    ),
    ("DELETE", "exchanges/shop/x", "", 204),
    ("PUT", "policies/shop/p", r#"{"pattern": "", "definition": {"max-length": 1}}"#, 201),
    ("DELETE", "policies/shop/p", "", 204),
    ("PUT", "operator-policies/shop/p", r#"{"pattern": "", "definition": {"max-length": 1}}"#, 201),
    ("DELETE", "operator-policies/shop/p", "", 204),
    ("PUT", "vhost-limits/shop/max-queues", r#"{"value": 1}"#, 204),
    ("DELETE", "vhost-limits/shop/max-queues", "", 204),
    (
        "PUT",
        "parameters/operator_policy/shop/p",
        r#"{"value": {"pattern": "", "definition": {"max-length": 1}, "apply-to": "queues"}}"#,
        201,
    ),
    (
        "PUT",
        "parameters/operator_policy/shop/p",
        r#"{"value": {"pattern": "", "definition": {"max-length": 2}, "apply-to": "queues"}}"#,
        204,
    ),
    ("DELETE", "parameters/operator_policy/shop/p", "", 204),
    ("PUT", "parameters/vhost-limits/shop/limits", r#"{"value": {"max-queues": 5}}"#, 204),
    ("DELETE", "parameters/vhost-limits/shop/limits", "", 204),
    ("PUT", "parameters/shovel/shop/s", r#"{"value": {}}"#, 400),
    ("PUT", "global-parameters/x", r#"{"value": 1}"#, 400),
    ("PUT", "topic-permissions/shop/guest", r#"{"exchange": "x", "write": "", "read": ""}"#, 400),
    ("DELETE", "topic-permissions/shop/guest", "", 404),
    ("PUT", "users/a", r#"{"password": "secret-a", "tags": ""}"#, 201),
    ("PUT", "users/b", r#"{"password": "secret-b", "tags": ""}"#, 201),
    ("PUT", "permissions/shop/a", r#"{"configure": "", "write": "", "read": ""}"#, 201),
    ("DELETE", "permissions/shop/a", "", 204),
    ("PUT", "user-limits/a/max-channels", r#"{"value": 1}"#, 204),
    ("DELETE", "user-limits/a/max-channels", "", 204),
    ("POST", "users/bulk-delete", r#"{"users": ["a", "b"]}"#, 204),
    ("GET", "users/a", "", 404),
    ("GET", "users/b", "", 404),
    ("POST", "rebalance/queues", "", 204),
    ("DELETE", "auth/attempts/NODE", "", 204),
    ("DELETE", "auth/attempts/NODE/source", "", 204),
    ("POST", "definitions", "{}", 204),
    ("POST", "definitions/shop", "{}", 204),
    ("DELETE", "connections/username/nobody", "", 204),
    ("DELETE", "vhosts/shop", "", 204),
];

/// A broker with one of everything, as long as the consumer lives.
async fn filled(broker: &Broker, admin: &Admin) -> (Session, Consumer) {
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "q", <_>::default()).await;
    admin.done("PUT", "/api/exchanges/%2F/x", &json!({ "type": "topic" }));
    admin.done("PUT", "/api/exchanges/%2F/y", &json!({ "type": "fanout" }));
    admin.done("POST", "/api/bindings/%2F/e/x/q/q", &json!({ "routing_key": "key" }));
    admin.done("POST", "/api/bindings/%2F/e/x/e/y", &json!({ "routing_key": "" }));
    let policy =
        json!({ "pattern": "^q", "definition": { "max-length": 9 }, "apply-to": "queues" });
    admin.done("PUT", "/api/policies/%2F/p", &policy);
    admin.done("PUT", "/api/operator-policies/%2F/op", &policy);
    admin.done("PUT", "/api/users/stranger", &json!({ "password": "strange-one", "tags": "" }));
    admin.done("PUT", "/api/user-limits/stranger/max-channels", &json!({ "value": 3 }));
    admin.done("PUT", "/api/vhost-limits/%2F/max-queues", &json!({ "value": 30 }));
    publish(&session.channel, "x", "key", "hello").await;
    let consumer = consume(&session.channel, "q").await;
    (session, consumer)
}

fn field<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, part| value.get(part))
}

fn check_fields(path: &str, shown: &Value, fields: Fields, left_out: &[&str]) {
    for (name, expected) in fields {
        let found = field(shown, name);
        assert!(
            found.is_some_and(|it| expected.is_of(it)),
            "{path}: {name} is {found:?}: {shown:#}"
        );
    }
    for name in left_out {
        assert_eq!(field(shown, name), None, "{path}: {name} is there, take it off the list");
    }
}

struct Names {
    connection: String,
    channel: String,
    node: String,
}

impl Names {
    fn of(admin: &Admin) -> Self {
        let escaped = |name: &Value| {
            let name = name.as_str().unwrap().replace(' ', "%20").replace('>', "%3E");
            name.replace('(', "%28").replace(')', "%29")
        };
        Self {
            connection: escaped(&admin.get("/api/connections")[0]["name"]),
            channel: escaped(&admin.get("/api/channels")[0]["name"]),
            node: admin.get("/api/overview")["node"].as_str().unwrap().to_owned(),
        }
    }

    fn path(&self, path: &str) -> String {
        let path = path.replace("CONNECTION", &self.connection).replace("CHANNEL", &self.channel);
        format!("/api/{}", path.replace("NODE", &self.node))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_path_of_the_list_answers_with_its_fields() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let _session = filled(&broker, &admin).await;
    let names = Names::of(&admin);
    for (path, answer) in PATHS {
        // With and without a slash at its end.
        for path in [names.path(path), format!("{}/", names.path(path))] {
            let shown = admin.ask("GET", &path, &Value::Null);
            let status = if let Status(status) = answer { *status } else { 200 };
            assert_eq!(shown.status, status, "{path}: {shown:?}");
            match answer {
                One(fields, left_out) => check_fields(&path, &shown.json, fields, left_out),
                Many(fields, left_out) => {
                    let list = shown.json.as_array().unwrap_or_else(|| panic!("{path}: no list"));
                    assert!(!list.is_empty(), "{path}");
                    list.iter().for_each(|one| check_fields(&path, one, fields, left_out));
                }
                Nothing(reason) => assert_eq!(shown.json, json!([]), "{path}: {reason}"),
                Status(_) => assert!(shown.json.is_object(), "{path}"),
            }
        }
    }
    for (method, path, reason) in LEFT_OUT {
        let (status, _) = admin.refused(method, &names.path(path), &json!({}));
        assert!(matches!(status, 404 | 405), "{method} {path} ({reason}): {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_the_list_is_made() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let _session = filled(&broker, &admin).await;
    let names = Names::of(&admin);
    for (method, path, body, status) in CHANGES {
        let answer = admin.send(method, &names.path(path), body.as_bytes());
        assert_eq!(answer.status, *status, "{method} {path}: {answer:?}");
        if *status >= 400 {
            let (error, reason) = (&answer.json["error"], &answer.json["reason"]);
            assert!(error.is_string() && reason.is_string(), "{method} {path}: {answer:?}");
        }
    }
}

#[test]
fn what_is_not_understood_is_answered_in_json() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    for (method, path, status) in [
        ("GET", "queues?page=x", 400),
        ("GET", "queues?page=1&page_size=10000", 400),
        ("GET", "queues?page=1&page_size=10&use_regex=true&name=%28", 400),
        ("GET", "health/checks/port-listener/x", 400),
        ("GET", "nothing", 404),
        ("PATCH", "queues", 405),
        ("PUT", "overview", 405),
        ("GET", "nodes/other", 404),
        ("GET", "vhosts/none/connections", 404),
        ("GET", "exchanges/%2F/none/bindings/source", 404),
        ("GET", "bindings/%2F/e/none/q/none", 404),
        ("POST", "definitions?skip_unsupported=perhaps", 400),
    ] {
        let answer = admin.ask(method, &format!("/api/{path}"), &Value::Null);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.json["reason"].is_string(), "{path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_channel_holds_back_is_counted_as_it_is_now() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    let channel = &session.channel;
    declare_named(channel, "q", <_>::default()).await;
    publish(channel, "", "q", "one").await;
    channel.tx_select().await.unwrap();
    let got = channel.basic_get("q".into(), <_>::default()).await.unwrap().unwrap();
    publish(channel, "", "q", "two").await;
    publish(channel, "", "q", "three").await;
    got.delivery.acker.ack(<_>::default()).await.unwrap();
    // What was sent before an answer has been read.
    channel.basic_qos(1, <_>::default()).await.unwrap();
    let shown = &admin.get("/api/channels")[0];
    let held = ["messages_uncommitted", "acks_uncommitted", "messages_unacknowledged"];
    assert_eq!(held.map(|field| shown[field].clone()), [json!(2), json!(1), json!(0)], "{shown:#}");
    assert_eq!(shown["transactional"], json!(true));
    channel.tx_commit().await.unwrap();
    let shown = &admin.get("/api/channels")[0];
    assert_eq!(held.map(|field| shown[field].clone()), [json!(0), json!(0), json!(0)], "{shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_single_active_consumers_only_one_is_active() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-single-active-consumer".into(), true.into());
    declare_named(&session.channel, "single", arguments).await;
    let _first = consume(&session.channel, "single").await;
    let other = session.connection.create_channel().await.unwrap();
    let _second = consume(&other, "single").await;
    let queue = admin.get("/api/queues/%2F/single");
    let consumers = queue["consumer_details"].as_array().unwrap();
    let active: Vec<_> = consumers
        .iter()
        .map(|consumer| (consumer["active"].clone(), consumer["activity_status"].clone()))
        .collect();
    assert_eq!(active, [(json!(true), json!("single_active")), (json!(false), json!("waiting"))]);
    assert_eq!(queue["single_active_consumer_tag"], consumers[0]["consumer_tag"]);
    assert_eq!(admin.get("/api/consumers/%2F").as_array(), Some(consumers));
}

#[test]
fn a_policy_and_an_operators_policy_are_shown_together() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/queues/%2F/q", &json!({}));
    assert_eq!(admin.get("/api/queues/%2F/q")["effective_policy_definition"], json!({}));
    let policy = json!({
        "pattern": "^q$", "definition": { "max-length": 100, "message-ttl": 5, "overflow": "drop-head" }
    });
    admin.done("PUT", "/api/policies/%2F/p", &policy);
    let operators = json!({ "pattern": "", "definition": { "max-length": 10, "message-ttl": 50 } });
    admin.done("PUT", "/api/operator-policies/%2F/op", &operators);
    let queue = admin.get("/api/queues/%2F/q");
    let expected = json!({ "max-length": 10, "message-ttl": 5, "overflow": "drop-head" });
    assert_eq!(queue["effective_policy_definition"], expected);
    assert_eq!((&queue["policy"], &queue["operator_policy"]), (&json!("p"), &json!("op")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_through_an_exchange_is_counted() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    admin.done("PUT", "/api/exchanges/%2F/fan", &json!({ "type": "fanout" }));
    for queue in ["a", "b"] {
        declare_named(&session.channel, queue, <_>::default()).await;
        admin.done("POST", &format!("/api/bindings/%2F/e/fan/q/{queue}"), &json!({}));
    }
    for _ in 0..3 {
        publish(&session.channel, "fan", "", "x").await;
    }
    publish(&session.channel, "", "a", "x").await;
    session.channel.basic_qos(1, <_>::default()).await.unwrap();
    let counted = |exchange: &str| {
        let stats = admin.get(&format!("/api/exchanges/%2F/{exchange}"))["message_stats"].clone();
        (stats["publish_in"].clone(), stats["publish_out"].clone())
    };
    assert_eq!(counted("fan"), (json!(3), json!(6)));
    assert_eq!(counted("amq.default"), (json!(1), json!(1)));
    assert_eq!(counted("amq.topic"), (json!(0), json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_keeps_what_is_said_of_it_and_its_queues_take_its_type() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let said = json!({
        "description": "apples and pears", "tags": ["fruit"], "default_queue_type": "quorum"
    });
    assert_eq!(admin.ask("PUT", "/api/vhosts/orchard", &said).status, 201);
    broker.kill();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let check = |admin: &Admin| {
        let shown = admin.get("/api/vhosts/orchard");
        for field in ["description", "tags", "default_queue_type"] {
            assert_eq!((&shown[field], &shown["metadata"][field]), (&said[field], &said[field]));
        }
    };
    check(&admin);
    // What is not said stays.
    assert_eq!(admin.ask("PUT", "/api/vhosts/orchard", &json!({})).status, 204);
    check(&admin);
    for (name, body, kind) in [
        ("plain", json!({}), "quorum"),
        ("classic", json!({ "arguments": { "x-queue-type": "classic" } }), "classic"),
        // A quorum queue can't be so.
        ("passing", json!({ "durable": false }), "classic"),
        ("auto", json!({ "auto_delete": true }), "classic"),
    ] {
        let path = format!("/api/queues/orchard/{name}");
        assert_eq!(admin.ask("PUT", &path, &body).status, 201);
        assert_eq!(admin.ask("PUT", &path, &body).status, 204, "{name} is there as declared");
        assert_eq!(admin.get(&path)["type"], kind, "{name}");
    }
    // What was made before the virtual host had another default is still there as declared.
    admin.done("PUT", "/api/vhosts/orchard", &json!({ "default_queue_type": "classic" }));
    admin.done("PUT", "/api/queues/orchard/old", &json!({}));
    admin.done("PUT", "/api/vhosts/orchard", &said);
    assert_eq!(admin.ask("PUT", "/api/queues/orchard/old", &json!({})).status, 204);
    let stream = json!({ "default_queue_type": "stream" });
    assert_eq!(admin.refused("PUT", "/api/vhosts/orchard", &stream).0, 400);
    assert_eq!(admin.refused("PUT", "/api/vhosts/orchard", &json!({ "tracing": true })).0, 400);
}
