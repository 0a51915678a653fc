//! What each operation needs permission for, as a table. Also runs against RabbitMQ:
//! `FOREBAY_TEST_ADDR=127.0.0.1:5672 FOREBAY_TEST_ADMIN_ADDR=127.0.0.1:15672`.

use crate::harness::broker::{Broker, attached};
use crate::harness::raw::{Raw, frame_bytes, method_bytes, short};
use crate::http::Admin;
use forebay_wire::method::{
    BasicConsume, BasicGet, BasicPublish, ExchangeBind, ExchangeDeclare, ExchangeDelete,
    ExchangeUnbind, QueueBind, QueueDeclare, QueueDelete, QueuePurge, QueueUnbind,
};
use forebay_wire::{FieldTable, FieldValue};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tempfile::TempDir;

const VHOST: &str = "permissions-test";
const USER: &str = "permissions-test";
const PASSWORD: &str = "secret";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Access {
    Configure,
    Write,
    Read,
}

use Access::{Configure, Read, Write};

/// Access to a kind of object of this name.
type Need = (Access, &'static str, &'static str);

struct Operation {
    name: &'static str,
    bytes: Vec<u8>,
    needs: &'static [Need],
}

fn operation(name: &'static str, bytes: Vec<u8>, needs: &'static [Need]) -> Operation {
    Operation { name, bytes, needs }
}

fn naming(argument: &str, exchange: &str) -> FieldTable {
    let value = FieldValue::LongStr(exchange.to_owned().into());
    [(short(argument), value)].into_iter().collect()
}

fn declare(queue: &str) -> QueueDeclare {
    QueueDeclare { queue: short(queue), durable: true, ..<_>::default() }
}

fn declare_exchange(exchange: &str) -> ExchangeDeclare {
    let kind = short("topic");
    ExchangeDeclare { exchange: short(exchange), kind, durable: true, ..<_>::default() }
}

fn publish(exchange: &str) -> Vec<u8> {
    let publish =
        BasicPublish { exchange: short(exchange), routing_key: short("k"), ..<_>::default() };
    // No body, no properties.
    let header = frame_bytes(2, 1, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    [method_bytes(&publish), header].concat()
}

fn queue_operations() -> Vec<Operation> {
    let (queue, exchange, routing_key) = (short("q"), short("source"), short("k"));
    let dead_letters = QueueDeclare {
        arguments: naming("x-dead-letter-exchange", "target"),
        ..declare("new-with-dead-letters")
    };
    let bind = QueueBind {
        queue: queue.clone(),
        exchange: exchange.clone(),
        routing_key: routing_key.clone(),
        ..<_>::default()
    };
    let unbind =
        QueueUnbind { queue: queue.clone(), exchange, routing_key, arguments: FieldTable::new() };
    let nobody = QueueDeclare { exclusive: true, ..<_>::default() };
    let passive = QueueDeclare { passive: true, ..declare("q") };
    vec![
        operation("declare", method_bytes(&declare("new")), &[(Configure, "queue", "new")]),
        operation("declare again", method_bytes(&declare("q")), &[(Configure, "queue", "q")]),
        operation(
            "declare without a name",
            method_bytes(&nobody),
            &[(Configure, "queue", "amq.gen-")],
        ),
        operation(
            "declare with dead letters",
            method_bytes(&dead_letters),
            &[
                (Configure, "queue", "new-with-dead-letters"),
                (Read, "queue", "new-with-dead-letters"),
                (Write, "exchange", "target"),
            ],
        ),
        operation("declare passively", method_bytes(&passive), &[]),
        operation(
            "bind",
            method_bytes(&bind),
            &[(Write, "queue", "q"), (Read, "exchange", "source")],
        ),
        operation(
            "unbind",
            method_bytes(&unbind),
            &[(Write, "queue", "q"), (Read, "exchange", "source")],
        ),
        operation(
            "purge",
            method_bytes(&QueuePurge { queue: queue.clone(), ..<_>::default() }),
            &[(Read, "queue", "q")],
        ),
        operation(
            "get",
            method_bytes(&BasicGet { queue: queue.clone(), ..<_>::default() }),
            &[(Read, "queue", "q")],
        ),
        operation(
            "consume",
            method_bytes(&BasicConsume { queue: queue.clone(), ..<_>::default() }),
            &[(Read, "queue", "q")],
        ),
        operation(
            "delete",
            method_bytes(&QueueDelete { queue: short("new"), ..<_>::default() }),
            &[(Configure, "queue", "new")],
        ),
    ]
}

fn exchange_operations() -> Vec<Operation> {
    let (source, destination, routing_key) = (short("source"), short("target"), short("k"));
    let alternate = ExchangeDeclare {
        arguments: naming("alternate-exchange", "target"),
        ..declare_exchange("new-with-alternate")
    };
    let bind = ExchangeBind {
        destination: destination.clone(),
        source: source.clone(),
        routing_key: routing_key.clone(),
        ..<_>::default()
    };
    let unbind = ExchangeUnbind { destination, source, routing_key, ..<_>::default() };
    let passive = ExchangeDeclare { passive: true, ..declare_exchange("source") };
    let both: &[Need] = &[(Write, "exchange", "target"), (Read, "exchange", "source")];
    vec![
        operation(
            "declare an exchange",
            method_bytes(&declare_exchange("new")),
            &[(Configure, "exchange", "new")],
        ),
        operation(
            "declare with an alternate",
            method_bytes(&alternate),
            &[
                (Configure, "exchange", "new-with-alternate"),
                (Read, "exchange", "new-with-alternate"),
                (Write, "exchange", "target"),
            ],
        ),
        operation("declare an exchange passively", method_bytes(&passive), &[]),
        operation("bind exchanges", method_bytes(&bind), both),
        operation("unbind exchanges", method_bytes(&unbind), both),
        operation(
            "delete an exchange",
            method_bytes(&ExchangeDelete { exchange: short("new"), ..<_>::default() }),
            &[(Configure, "exchange", "new")],
        ),
        operation("publish", publish("source"), &[(Write, "exchange", "source")]),
        operation(
            "publish to the default exchange",
            publish(""),
            &[(Write, "exchange", "amq.default")],
        ),
        operation(
            "consume replies",
            method_bytes(&BasicConsume {
                queue: short("amq.rabbitmq.reply-to"),
                no_ack: true,
                ..<_>::default()
            }),
            &[],
        ),
    ]
}

/// Where it runs: a broker of ours, or the one that the tests were pointed at.
struct Place {
    address: SocketAddr,
    admin: Admin,
    ours: Option<(Broker, TempDir)>,
}

impl Place {
    fn new() -> Self {
        let admin = std::env::var("FOREBAY_TEST_ADMIN_ADDR").ok();
        let (address, admin, ours) = match (attached(), admin) {
            (Some(address), Some(admin)) => (address, admin.parse().unwrap(), None),
            _ => {
                let data = TempDir::new().unwrap();
                let broker = Broker::start(data.path());
                (broker.address, broker.admin, Some((broker, data)))
            }
        };
        let place = Self { address, admin: Admin::at(admin, "guest", "guest"), ours };
        place.clear();
        place.admin.done("PUT", &format!("/api/vhosts/{VHOST}"), &Value::Null);
        let user = json!({ "password": PASSWORD, "tags": "" });
        place.admin.done("PUT", &format!("/api/users/{USER}"), &user);
        let everything = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        place.admin.done("PUT", &format!("/api/permissions/{VHOST}/guest"), &everything);
        let durable = json!({ "durable": true });
        place.admin.done("PUT", &format!("/api/queues/{VHOST}/q"), &durable);
        for exchange in ["source", "target"] {
            let topic = json!({ "type": "topic", "durable": true });
            place.admin.done("PUT", &format!("/api/exchanges/{VHOST}/{exchange}"), &topic);
        }
        place
    }

    fn clear(&self) {
        self.admin.ask("DELETE", &format!("/api/vhosts/{VHOST}"), &Value::Null);
        self.admin.ask("DELETE", &format!("/api/users/{USER}"), &Value::Null);
    }

    /// Allows the user just this.
    fn allow(&self, needs: &[Need]) {
        let pattern = |access| {
            let names = needs.iter().filter(|need| need.0 == access);
            let names: Vec<String> = names.map(|need| need.2.replace('.', "\\.")).collect();
            if names.is_empty() { String::new() } else { format!("^({})", names.join("|")) }
        };
        let permission = json!({
            "configure": pattern(Configure), "write": pattern(Write), "read": pattern(Read)
        });
        self.admin.done("PUT", &format!("/api/permissions/{VHOST}/{USER}"), &permission);
    }

    /// The text with which an operation is refused.
    async fn refusal(&self, operation: &Operation) -> Option<String> {
        let mut raw = Raw::open_as(self.address, USER, PASSWORD, VHOST).await;
        let close = raw.channel_close(&operation.bytes).await?;
        (close.reply_code == 403).then(|| close.reply_text.to_string())
    }

    /// With everything that it needs it is allowed, and with all but one thing it is refused for
    /// want of that.
    async fn check(&self, operation: &Operation) {
        let Operation { name, needs, .. } = operation;
        for (index, (access, kind, object)) in needs.iter().enumerate() {
            let others: Vec<Need> = [&needs[..index], &needs[index + 1..]].concat();
            self.allow(&others);
            let text = self.refusal(operation).await.unwrap_or_else(|| {
                panic!("{name} is allowed without {access:?} of {kind} '{object}'")
            });
            // RabbitMQ says which access from version 4 on.
            let verb = match self.ours {
                Some(_) => format!("{} ", format!("{access:?}").to_lowercase()),
                None => String::new(),
            };
            let start = format!("{verb}access to {kind} '{object}");
            let end = format!("' in vhost '{VHOST}' refused for user '{USER}'");
            assert!(text.contains(&start) && text.ends_with(&end), "{name}: {text}");
        }
        self.allow(needs);
        assert_eq!(self.refusal(operation).await, None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_needs_just_what_rabbitmq_asks_for() {
    let place = Place::new();
    for operation in queue_operations().iter().chain(&exchange_operations()) {
        place.check(operation).await;
    }
    place.clear();
}
