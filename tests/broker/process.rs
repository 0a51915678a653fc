//! The program: how it starts, refuses to start, and stops.

use crate::harness::broker::{Broker, http_get, is_ours};
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::python::project;
use crate::harness::session::{Session, confirmed, connect, declare_named, drain, fill, publish};
use futures_util::StreamExt;
use lapin::{Connection, ConnectionProperties, ErrorKind};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// Starts a broker that must refuse, and returns what it says.
fn refusal(launch: &Launch) -> String {
    let output = launch.output();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!output.status.success(), "it ended as if all were well:\n{text}");
    assert!(output.status.code().is_some(), "it ended by a signal:\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn contains_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_taken_port_is_named() {
    if !is_ours() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = TempDir::new().unwrap();
    let text = refusal(
        &Launch::bare()
            .argument("--data-dir")
            .argument(data.path().to_str().unwrap())
            .argument("--listen")
            .argument(address.as_str())
            .argument("--metrics-listen")
            .argument("127.0.0.1:0")
            .argument("--admin-listen")
            .argument("127.0.0.1:0"),
    );
    contains_all(&text, &[&address, "--listen"]);
}

#[test]
fn a_data_directory_in_use_is_named() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let _broker = Broker::start(data.path());
    let text = refusal(&Launch::on(data.path()));
    contains_all(&text, &[data.path().to_str().unwrap()]);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    if !is_ours() {
        return;
    }
    let place = TempDir::new().unwrap();
    let file = write(place.path(), "file", "in the way");
    let text = refusal(&Launch::on(&Path::new(&file).join("data")));
    contains_all(&text, &[&file]);
}

#[test]
fn an_unreadable_configuration_is_named_with_line_and_key() {
    if !is_ours() {
        return;
    }
    let place = TempDir::new().unwrap();
    let launch = |config: &str| Launch::on(place.path()).argument("--config").argument(config);
    let missing = place.path().join("missing.toml");
    contains_all(&refusal(&launch(missing.to_str().unwrap())), &["missing.toml"]);
    let unknown = write(place.path(), "unknown.toml", "product = \"x\"\nlisten_on = \"y\"\n");
    contains_all(&refusal(&launch(&unknown)), &["unknown.toml", "line 2", "listen_on"]);
    let broken = write(place.path(), "broken.toml", "\n\nlisten = [\n");
    contains_all(&refusal(&launch(&broken)), &["broken.toml", "line"]);
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    if !is_ours() {
        return;
    }
    let place = TempDir::new().unwrap();
    let directory = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let config = write(
        place.path(),
        "forebay.toml",
        &format!("data_dir = {:?}\nlisten = [\"127.0.0.1:0\"]\n", directory("file")),
    );
    let from_file = Launch::bare()
        .variable("FOREBAY_CONFIG", config.as_str())
        .variable("FOREBAY_METRICS_LISTEN", "127.0.0.1:0");
    drop(Broker::launch(&from_file));
    assert!(place.path().join("file").is_dir());
    let from_environment = from_file.variable("FOREBAY_DATA_DIR", directory("environment"));
    drop(Broker::launch(&from_environment));
    assert!(place.path().join("environment").is_dir());
    let from_flag = from_environment.argument("--data-dir").argument(directory("flag"));
    drop(Broker::launch(&from_flag));
    assert!(place.path().join("flag").is_dir());
}

#[tokio::test]
async fn the_first_user_and_virtual_host_can_be_named_as_for_rabbitmq() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::launch(
        &Launch::on(data.path())
            .variable("RABBITMQ_DEFAULT_USER", "owner")
            .variable("RABBITMQ_DEFAULT_PASS", "secret")
            .variable("RABBITMQ_DEFAULT_VHOST", "shop"),
    );
    let connect = async |login: &str| {
        let uri = format!("amqp://{login}@{}/shop", broker.address);
        must("connect", Connection::connect(&uri, ConnectionProperties::default())).await
    };
    let connection = connect("owner:secret").await.unwrap();
    connection.create_channel().await.unwrap();
    assert!(connect("owner:wrong").await.is_err());
    assert!(connect("guest:guest").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_closes_connections_with_320_and_loses_nothing() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let mut broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "kept", <_>::default()).await;
    fill(&session, "kept", &["a", "b"]).await;
    let mut events = Box::pin(session.connection.events_listener());
    broker.terminate();
    let reason = must("connection.close", async {
        loop {
            if let Some(lapin::Event::Error(error)) = events.next().await {
                return error;
            }
        }
    });
    let reason = reason.await;
    match reason.kind() {
        ErrorKind::ProtocolError(error) => assert_eq!(error.get_id(), 320),
        other => panic!("{other:?}"),
    }
    let status = broker.wait();
    assert_eq!(status.code(), Some(0), "{}", broker.log());

    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    assert_eq!(drain(&session.channel, "kept").await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_cannot_hold_the_end_up() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let mut broker = Broker::start(data.path());
    let _silent = TcpStream::connect(broker.address).unwrap();
    let mut greeted = TcpStream::connect(broker.address).unwrap();
    greeted.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
    greeted.read_exact(&mut [0; 8]).unwrap();
    broker.signal(Signal::INT);
    assert_eq!(broker.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_broker_listens_no_more() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let mut broker = Broker::start(data.path());
    let connection = connect(broker.address).await;
    broker.terminate();
    broker.wait();
    assert!(TcpStream::connect(broker.address).is_err());
    drop(connection);
}

#[tokio::test]
async fn the_data_directory_is_made_for_its_owner_alone() {
    if !is_ours() {
        return;
    }
    let place = TempDir::new().unwrap();
    let data = place.path().join("a/b/data");
    let broker = Broker::start(&data);
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "q", <_>::default()).await;
    confirmed(publish(&channel, "", "q", "m").await).await;
    let mode = std::fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "mode {mode:o}: messages are nobody else's business");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_happens() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "measured", <_>::default()).await;
    fill(&session, "measured", &["a", "b", "c"]).await;
    let metrics = http_get(broker.metrics, "/metrics");
    contains_all(&metrics, &["200 OK", "# HELP"]);
    let is_ready = |line: &str| {
        line.starts_with("forebay_queue_messages_ready") && line.contains("queue=\"measured\"")
    };
    let line = metrics.lines().find(|line| is_ready(line)).expect("the queue's messages");
    assert!(line.ends_with(" 3"), "{line}");
    for name in documented_metrics() {
        assert!(metrics.contains(&name), "docs/operate/operations.md speaks of {name}:\n{metrics}");
    }
    contains_all(&http_get(broker.metrics, "/health/ready"), &["200 OK"]);
}

/// The names of metrics in the operator's handbook.
fn documented_metrics() -> Vec<String> {
    let text = std::fs::read_to_string(project().join("docs/operate/operations.md")).unwrap();
    let words = text.split(|character: char| !(character.is_alphanumeric() || character == '_'));
    words.filter(|word| word.starts_with("forebay_")).map(str::to_owned).collect()
}

/// A directory that was there before, for everybody to read: what is written into it is not.
#[tokio::test]
async fn files_are_for_their_owner_only_wherever_they_lie() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "private", <_>::default()).await;
    confirmed(publish(&channel, "", "private", "body").await).await;
    let mut directories = vec![data.path().to_owned()];
    let mut count = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            let mode = metadata.permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?} has the mode {mode:o}", entry.path());
            count += 1;
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    assert!(count > 3, "{count} files");
}
