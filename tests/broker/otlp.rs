//! Spans of messages at a collector. The collector here takes HTTP and protobuf apart by itself, by the field
//! numbers of OTLP's schema.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::session::{
    Session, confirmed, consume, declare_named, get, next, persistent, publish_with, string, table,
};
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";
const EXPORTED: &str = "forebay_otlp_spans_exported_total";
const DROPPED: &str = "forebay_otlp_spans_dropped_total";

/// A span as it arrived.
#[derive(Clone, Debug, Default)]
struct Span {
    trace_id: String,
    span_id: String,
    parent_id: String,
    name: String,
    kind: u64,
    start: u64,
    end: u64,
    attributes: BTreeMap<String, String>,
    /// Code and message.
    status: Option<(u64, String)>,
}

/// What a collector does with requests.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Takes,
    Refuses,
    /// Reads, and never answers.
    Hangs,
}

/// A collector.
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (spans, services) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
        let collector =
            Self { address, spans: Arc::clone(&spans), services: Arc::clone(&services) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (spans, services) = (Arc::clone(&spans), Arc::clone(&services));
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some((head, body)) = request(&mut reader) {
                        assert!(head[0].starts_with("POST /v1/traces HTTP/1.1"), "{head:?}");
                        let is_protobuf = |line: &String| {
                            line.eq_ignore_ascii_case("content-type: application/x-protobuf")
                        };
                        assert!(head.iter().any(is_protobuf), "{head:?}");
                        let status = match manner {
                            Manner::Takes => "200 OK",
                            Manner::Refuses => "503 Service Unavailable",
                            Manner::Hangs => loop {
                                std::thread::park();
                            },
                        };
                        if manner == Manner::Takes {
                            let (service, arrived) = spans_of(&body);
                            spans.lock().unwrap().extend(arrived);
                            services.lock().unwrap().push(service);
                        }
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                        (&stream).write_all(answer.as_bytes()).unwrap();
                    }
                });
            }
        });
        collector
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until so many spans have arrived.
    async fn await_spans(&self, count: usize) -> Vec<Span> {
        let arrived = async {
            loop {
                let spans = self.spans.lock().unwrap().clone();
                if spans.len() >= count {
                    return spans;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        must(&format!("{count} spans"), arrived).await
    }
}

/// One request: the lines of its head, and its body.
fn request(reader: &mut impl BufRead) -> Option<(Vec<String>, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.expect("a content-length")];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A field of a protobuf message.
#[derive(Debug)]
enum Field<'a> {
    Integer(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Integer(_) => panic!("{self:?}"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn integer(&self) -> u64 {
        match self {
            Self::Integer(value) => *value,
            Self::Bytes(_) => panic!("{self:?}"),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}

/// The fields of a message with their numbers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Integer(varint(&mut bytes)),
            1 => {
                let (value, rest) = bytes.split_at(8);
                bytes = rest;
                Field::Integer(u64::from_le_bytes(value.try_into().unwrap()))
            }
            5 => {
                let (value, rest) = bytes.split_at(4);
                bytes = rest;
                Field::Integer(u64::from(u32::from_le_bytes(value.try_into().unwrap())))
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value)
            }
            kind => panic!("wire type {kind}"),
        };
        found.push((key >> 3, field));
    }
    found
}

/// All of a message's fields with a number.
fn all(bytes: &[u8], number: u64) -> impl Iterator<Item = Field<'_>> {
    fields(bytes).into_iter().filter(move |(found, _)| *found == number).map(|(_, field)| field)
}

/// `KeyValue`.
fn attribute(bytes: &[u8]) -> (String, String) {
    let key = all(bytes, 1).next().unwrap().text();
    let value = all(bytes, 2).next().unwrap();
    let value = match fields(value.bytes()).remove(0) {
        (1, text) => text.text(),
        (3, integer) => integer.integer().to_string(),
        other => panic!("{other:?}"),
    };
    (key, value)
}

/// The service and the spans of an `ExportTraceServiceRequest`.
fn spans_of(body: &[u8]) -> (String, Vec<Span>) {
    let resource_spans = all(body, 1).next().unwrap();
    let resource = all(resource_spans.bytes(), 1).next().unwrap();
    let attributes: BTreeMap<_, _> =
        all(resource.bytes(), 1).map(|field| attribute(field.bytes())).collect();
    let scopes = all(resource_spans.bytes(), 2);
    let spans = scopes.flat_map(|scope| {
        let spans = all(scope.bytes(), 2);
        spans.map(|field| span(field.bytes())).collect::<Vec<_>>()
    });
    (attributes["service.name"].clone(), spans.collect())
}

fn span(bytes: &[u8]) -> Span {
    let hex = |field: &Field<'_>| field.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut span = Span::default();
    for (number, field) in fields(bytes) {
        match number {
            1 => span.trace_id = hex(&field),
            2 => span.span_id = hex(&field),
            4 => span.parent_id = hex(&field),
            5 => span.name = field.text(),
            6 => span.kind = field.integer(),
            7 => span.start = field.integer(),
            8 => span.end = field.integer(),
            9 => span.attributes.extend([attribute(field.bytes())]),
            15 => {
                let message = all(field.bytes(), 2).next().map(|text| text.text());
                let code = all(field.bytes(), 3).next().map_or(0, |code| code.integer());
                span.status = Some((code, message.unwrap_or_default()));
            }
            16 => assert_eq!(field.integer(), 1),
            other => panic!("field {other}"),
        }
    }
    span
}

/// Of a message whose publisher records its trace, or does not.
fn traced(flags: &str) -> BasicProperties {
    let parent = format!("00-{TRACE_ID}-{PARENT_ID}-{flags}");
    let headers = table("traceparent", string(&parent));
    persistent().with_message_id("order-4711".into()).with_headers(headers)
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[tokio::test]
async fn publish_and_consume_are_spans_of_the_publishers_trace_and_headers_stay_as_they_are() {
    if !is_ours() {
        return;
    }
    let collector = Collector::start(Manner::Takes);
    let data = TempDir::new().unwrap();
    let launch = Launch::on(data.path())
        .argument("--otlp-endpoint")
        .argument(collector.url())
        .argument("--otlp-service-name")
        .argument("queue");
    let broker = Broker::launch(&launch);
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    let channel = session.confirm_channel().await;
    confirmed(publish_with(&channel, "", "orders", b"not recorded", traced("00")).await).await;
    confirmed(publish_with(&channel, "", "orders", b"no trace", persistent()).await).await;
    confirmed(publish_with(&channel, "", "orders", b"two books", traced("01")).await).await;
    let mut consumer = consume(&session.channel, "orders").await;
    for _ in 0..2 {
        must("basic.ack", next(&mut consumer).await.acker.ack(<_>::default())).await.unwrap();
    }
    let delivery = next(&mut consumer).await;
    let nack = BasicNackOptions { requeue: true, multiple: false };
    must("basic.nack", delivery.acker.nack(nack)).await.unwrap();
    let delivery = next(&mut consumer).await;
    let headers = delivery.properties.headers().clone().unwrap();
    let parent = headers.inner().get("traceparent").unwrap().as_long_string().unwrap();
    assert_eq!(parent.to_string(), format!("00-{TRACE_ID}-{PARENT_ID}-01"));
    must("basic.ack", delivery.acker.ack(BasicAckOptions::default())).await.unwrap();

    let spans = collector.await_spans(3).await;
    assert_eq!(spans.len(), 3, "{spans:?}");
    assert!(spans.iter().all(|span| span.trace_id == TRACE_ID), "{spans:?}");
    let published = named(&spans, "publish orders")[0];
    assert_eq!((published.parent_id.as_str(), published.kind), (PARENT_ID, 2));
    let deliveries = named(&spans, "deliver orders");
    assert_eq!(deliveries.len(), 2);
    for delivered in &deliveries {
        assert_eq!((&delivered.parent_id, delivered.kind), (&published.span_id, 5));
        assert!(delivered.start >= published.start && delivered.end >= delivered.start);
    }
    assert_ne!(deliveries[0].span_id, deliveries[1].span_id);
    assert_eq!(deliveries[0].status, Some((2, "nacked".to_owned())));
    assert_eq!(deliveries[1].status, None);
    for (span, name, value) in [
        (published, "messaging.system", "forebay"),
        (published, "messaging.destination.name", "orders"),
        (published, "messaging.message.id", "order-4711"),
        (published, "messaging.message.body.size", "9"),
        (published, "messaging.operation.type", "send"),
        (published, "forebay.user", "guest"),
        (deliveries[0], "forebay.outcome", "nacked"),
        (deliveries[0], "forebay.attempt", "1"),
        (deliveries[1], "forebay.outcome", "acknowledged"),
        (deliveries[1], "forebay.attempt", "2"),
        (deliveries[1], "messaging.operation.type", "process"),
    ] {
        assert_eq!(span.attributes[name], value, "{name} of {span:?}");
    }
    assert_eq!(collector.services.lock().unwrap()[0], "queue");
    broker.await_metric(EXPORTED, 3.0).await;
    assert!(broker.metric(DROPPED) == 0.0);
    session.close().await;
}

#[tokio::test]
async fn the_last_spans_leave_before_the_broker_ends_and_variables_of_opentelemetry_count() {
    if !is_ours() {
        return;
    }
    let collector = Collector::start(Manner::Takes);
    let data = TempDir::new().unwrap();
    let launch =
        Launch::on(data.path()).variable("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url() + "/");
    let mut broker = Broker::launch(&launch);
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    let channel = session.confirm_channel().await;
    confirmed(publish_with(&channel, "", "orders", b"two books", traced("01")).await).await;
    let delivery = get(&session.channel, "orders").await.unwrap();
    must("basic.reject", delivery.acker.reject(<_>::default())).await.unwrap();
    session.close().await;
    broker.terminate();
    assert!(broker.wait().success());
    // Published, delivered, and the dead letter.
    let spans = collector.spans.lock().unwrap().clone();
    assert_eq!(named(&spans, "publish orders.dlq").len(), 1, "{spans:?}");
    assert_eq!(named(&spans, "deliver orders")[0].attributes["forebay.outcome"], "rejected");
    assert_eq!(collector.services.lock().unwrap()[0], "forebay");
}

#[tokio::test]
async fn a_collector_that_is_gone_refuses_or_hangs_costs_its_spans_and_nothing_else() {
    if !is_ours() {
        return;
    }
    let (refusing, hanging) = (Collector::start(Manner::Refuses), Collector::start(Manner::Hangs));
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("http://{gone}"), refusing.url(), hanging.url()] {
        let data = TempDir::new().unwrap();
        let launch = Launch::on(data.path()).argument("--otlp-endpoint").argument(url.clone());
        let broker = Broker::launch(&launch);
        let session = Session::open_at(broker.address).await;
        declare_named(&session.channel, "orders", <_>::default()).await;
        let channel = session.confirm_channel().await;
        let mut consumer = consume(&session.channel, "orders").await;
        // More than wait at any place, so that a hang shows as drops.
        let count = if url == hanging.url() { 20_000 } else { 10 };
        let mut last = None;
        for _ in 0..count {
            last = Some(publish_with(&channel, "", "orders", b"x", traced("01")).await);
        }
        confirmed(last.unwrap()).await;
        for _ in 0..count {
            let delivery = next(&mut consumer).await;
            must("basic.ack", delivery.acker.ack(<_>::default())).await.unwrap();
        }
        let dropped = async {
            while broker.metric(DROPPED) == 0.0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        must("dropped spans", dropped).await;
        broker.log_line(|line| line.contains("does not take spans"));
        let warnings = broker.log().matches("does not take spans").count();
        assert_eq!(warnings, 1, "{}", broker.log());
        assert!(broker.metric(EXPORTED) == 0.0);
        session.close().await;
    }
}

#[test]
fn an_endpoint_that_is_none_is_named_wherever_it_stands() {
    let data = TempDir::new().unwrap();
    let said = |launch: Launch| {
        let output = launch.output();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let flag = Launch::on(data.path()).argument("--otlp-endpoint").argument("localhost:4317");
    let text = said(flag);
    assert!(text.contains("--otlp-endpoint") && text.contains("http://127.0.0.1:4318"), "{text}");
    let otel = Launch::on(data.path()).variable("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317");
    let text = said(otel);
    assert!(text.contains("OTEL_EXPORTER_OTLP_ENDPOINT: \"localhost:4317\""), "{text}");
    let file = data.path().join("forebay.toml");
    std::fs::write(&file, "otlp_endpoint = \"grpc://localhost:4317\"\n").unwrap();
    let config = Launch::on(data.path()).argument("--config").argument(file.to_str().unwrap());
    let text = said(config);
    assert!(text.contains("line 1") && text.contains("http://127.0.0.1:4318"), "{text}");
}
