//! Settings: from where they come, what is refused, and what a hangup changes. The data directory is
//! judged before it is touched; the log can't be forged.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::http::Admin;
use crate::harness::launch::Launch;
use crate::harness::raw::{Raw, plain};
use forebay_wire::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Option<Self> {
        is_ours().then(|| Self { directory: TempDir::new().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path("forebay.toml"), text).unwrap();
    }

    /// A broker with the configuration file.
    fn launch(&self) -> Launch {
        let config = self.path("forebay.toml").to_str().unwrap().to_owned();
        Launch::on(&self.path("data")).argument("--config").argument(config)
    }

    fn check(&self) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_forebay"))
            .args(["config", "check"])
            .arg(self.path("forebay.toml"))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }
}

fn hash(password: &str) -> String {
    forebay_server::auth::user::hash_password(password.as_bytes()).unwrap()
}

/// Everything that a directory holds, with modes.
fn listing(path: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let metadata = std::fs::metadata(path).unwrap();
    let mode = metadata.permissions().mode();
    let content = if metadata.is_file() { std::fs::read(path).unwrap() } else { Vec::new() };
    let mut all = vec![(path.to_owned(), mode, content)];
    if metadata.is_dir() {
        let mut entries: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        all.extend(entries.iter().flat_map(|entry| listing(entry)));
    }
    all
}

#[test]
fn settings_that_can_only_do_harm_are_refused_wherever_they_stand() {
    let Some(place) = Place::new() else { return };
    for (key, flag, variable, value, expected) in [
        (
            "memory_high_watermark",
            "--memory-high-watermark",
            "FOREBAY_MEMORY_HIGH_WATERMARK",
            "1.5",
            "share",
        ),
        (
            "memory_high_watermark",
            "--memory-high-watermark",
            "FOREBAY_MEMORY_HIGH_WATERMARK",
            "60",
            "share",
        ),
        (
            "memory_high_watermark",
            "--memory-high-watermark",
            "FOREBAY_MEMORY_HIGH_WATERMARK",
            "0",
            "share",
        ),
        ("log", "--log", "FOREBAY_LOG", "verbose", "error, warn, info"),
        ("max_message_size", "--max-message-size", "FOREBAY_MAX_MESSAGE_SIZE", "0", "bytes from 1"),
        (
            "connections_per_address_max",
            "--connections-per-address-max",
            "FOREBAY_CONNECTIONS_PER_ADDRESS_MAX",
            "0",
            "from 1",
        ),
        ("heartbeat", "--heartbeat", "FOREBAY_HEARTBEAT", "often", "seconds"),
    ] {
        place.write("");
        let from_flag = place.launch().argument(format!("{flag}={value}"));
        let from_variable = place.launch().variable(variable, value);
        let mut texts = [from_flag, from_variable]
            .map(|launch| Broker::try_launch(&launch).err().expect(value).log)
            .to_vec();
        place.write(&format!("{key} = \"{value}\"\n"));
        texts.push(Broker::try_launch(&place.launch()).err().expect(value).log);
        let (is_usable, text) = place.check();
        assert!(!is_usable && text.contains("line 1") && text.contains(key), "{text}");
        texts.push(text);
        for text in texts {
            assert!(text.contains(expected), "{key} = {value}: {text}");
        }
    }
    assert!(!place.path("data").exists());
}

#[test]
fn what_everybody_writes_first_is_taken_in_every_place() {
    let Some(place) = Place::new() else { return };
    let lines = [
        "listen = \"127.0.0.1:0\"",
        "max_message_size = \"16MiB\"",
        "heartbeat = \"30s\"",
        "idle_timeout = \"5m\"",
        "log = \"warning\"",
        "queues.consumer_timeout_ms = \"30m\"",
        "tls.admin = false",
        "loopback_users = \"none\"",
    ];
    place.write(&lines.join("\n"));
    let (is_usable, text) = place.check();
    assert!(is_usable && text.contains("can be used"), "{text}");
    place.write("");
    let launch = place
        .launch()
        .variable("FOREBAY_MAX_MESSAGE_SIZE", "16MiB")
        .variable("FOREBAY_HEARTBEAT", "30s")
        .variable("FOREBAY_TLS_ADMIN", "false")
        .argument("--queues-delivery-limit")
        .argument("-1")
        .argument("--loopback-users=none");
    Broker::launch(&launch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_changes_what_can_change_and_names_what_can_t() {
    let Some(place) = Place::new() else { return };
    let user = |name: &str, password: &str| {
        let hash = hash(password);
        format!(
            "[[users]]\nname = \"{name}\"\npassword_hash = \"{hash}\"\ntags = \"administrator\"\n"
        )
    };
    let root = user("root", "r");
    place.write(&format!("heartbeat = 60\n{root}{}", user("old", "o")));
    let broker = Broker::launch(&place.launch());
    let status = |name: &str, password: &str| {
        Admin::user(&broker, name, password).ask("GET", "/api/whoami", &Value::Null).status
    };
    assert_eq!((status("root", "r"), status("old", "o")), (200, 200));
    let mut cut_off = Raw::open_as(broker.address, "old", "o", "/").await;

    place.write(&format!(
        "heartbeat = \"7s\"\nproduct = \"Other\"\nlog = \"debug\"\n{root}{}",
        user("new", "n")
    ));
    broker.signal(Signal::HUP);
    broker.log_line(|line| line.contains("SIGHUP: changed: users, log, heartbeat"));
    broker.log_line(|line| line.contains("next start only: product"));
    assert_eq!((status("root", "r"), status("old", "o"), status("new", "n")), (200, 401, 200));
    assert_eq!(cut_off.connection_close().await.reply_code, 320);
    let mut raw = Raw::greet(broker.address).await;
    raw.send(0, &plain("new", "n")).await;
    let Method::ConnectionTune(tune) = raw.method().await else { panic!("refused") };
    assert_eq!(tune.heartbeat, 7);
    raw.abort();
    broker.log_line(|line| line.contains("DEBUG"));
    // What may be declared comes from the file, too.
    let new = Admin::user(&broker, "new", "n");
    new.done("PUT", "/api/queues/%2F/q", &json!({}));

    place.write("heartbeat = \"never\"\n");
    broker.signal(Signal::HUP);
    broker.log_line(|line| line.contains("everything stays as it was"));
    assert_eq!(status("new", "n"), 200);
}

#[test]
fn a_directory_of_somebody_else_stays_as_it_is() {
    let Some(place) = Place::new() else { return };
    let foreign = place.path("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("letter.txt"), "dear").unwrap();
    std::fs::set_permissions(&foreign, Permissions::from_mode(0o1777)).unwrap();
    let garbage = place.path("garbage");
    std::fs::create_dir(&garbage).unwrap();
    std::fs::write(garbage.join("FORMAT"), "\x1b]0;pwned\x07").unwrap();
    std::fs::set_permissions(&garbage, Permissions::from_mode(0o755)).unwrap();
    let newer = place.path("newer");
    std::fs::create_dir(&newer).unwrap();
    std::fs::write(newer.join("FORMAT"), "forebay data format 999\n").unwrap();
    std::fs::set_permissions(&newer, Permissions::from_mode(0o755)).unwrap();
    let file = place.path("file");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    for path in [foreign, garbage, newer, file.clone(), file.join("below")] {
        let top = if path.exists() { &path } else { &file };
        let before = listing(top);
        let refusal = Broker::try_launch(&Launch::on(&path)).err().unwrap();
        assert!(refusal.log.contains(path.to_str().unwrap()), "{}", refusal.log);
        assert!(!refusal.log.contains('\x1b'), "{:?}", refusal.log);
        assert!(
            !refusal.log.contains("listening") && !refusal.log.contains("http"),
            "{}",
            refusal.log
        );
        assert_eq!(listing(top), before, "{}", path.display());
    }
    // An empty one that is there is taken.
    let empty = place.path("empty");
    std::fs::create_dir(&empty).unwrap();
    drop(Broker::start(&empty));
    assert!(empty.join("FORMAT").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_writes_lines_of_its_own_into_the_log() {
    let Some(place) = Place::new() else { return };
    place.write("");
    let name =
        "eve\" reason=\"none\"\n2026-01-01T00.00.00Z  INFO login accepted\x1b[2J\u{202e}\u{9b}";
    for (format, quoted) in [("text", "user=\"eve\\\""), ("json", "\"user\":\"eve\\\"")] {
        let broker = Broker::launch(&place.launch().argument(format!("--log-format={format}")));
        // Over AMQP, over HTTP, and in the name of a mechanism.
        let mut raw = Raw::greet(broker.address).await;
        raw.send(0, &plain(name, "x")).await;
        assert_eq!(raw.connection_close().await.reply_code, 403);
        let mut raw = Raw::greet(broker.address).await;
        let mechanism = crate::harness::raw::short("A\nB\x1b[31m");
        raw.send(0, &forebay_wire::method::ConnectionStartOk { mechanism, ..plain("a", "b") })
            .await;
        assert_eq!(raw.connection_close().await.reply_code, 403);
        let admin = Admin::user(&broker, name, "x");
        assert_eq!(admin.ask("GET", "/api/whoami", &Value::Null).status, 401);
        for event in ["admin login refused", "login refused", "connection closed"] {
            broker.log_line(|line| line.contains(event));
        }
        let log = broker.log();
        assert!(log.contains(quoted), "{log}");
        for line in log.lines() {
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
            if format == "json" {
                let event: Value = serde_json::from_str(line).expect(line);
                assert!(event["timestamp"].is_string() && event["level"].is_string(), "{line}");
                assert!(event["message"].is_string(), "{line}");
                assert!(event["user"].is_null() || event["user"] == name, "{line}");
            } else {
                assert!(!line.starts_with("2026-01-01T"), "{line}");
            }
        }
    }
}

#[test]
fn passwords_that_cross_the_network_in_clear_are_warned_of() {
    let Some(place) = Place::new() else { return };
    place.write("");
    let launch =
        place.launch().argument("--listen=0.0.0.0:0").variable("FOREBAY_ADMIN_LISTEN", "0.0.0.0:0");
    let broker = Broker::launch(&launch);
    broker.log_line(|line| line.contains("WARN") && line.contains("AMQP listens on 0.0.0.0:0"));
    assert!(!broker.log().contains("admin listens on"), "the flag says the loopback address");
}

#[test]
fn a_hash_in_a_file_of_its_own_is_read_again_with_the_configuration() {
    let Some(place) = Place::new() else { return };
    let file = place.path("root.hash");
    let is_let_in = |broker: &Broker, password: &str| {
        Admin::user(broker, "root", password).ask("GET", "/api/whoami", &Value::Null).status == 200
    };
    std::fs::write(&file, format!("{}\n", hash("first"))).unwrap();
    place.write(&format!(
        "[[users]]\nname = \"root\"\npassword_hash_file = \"{}\"\ntags = \"administrator\"\n",
        file.display()
    ));
    let broker = Broker::launch(&place.launch());
    assert!(is_let_in(&broker, "first") && !is_let_in(&broker, "second"));
    std::fs::write(&file, hash("second")).unwrap();
    broker.signal(Signal::HUP);
    broker.log_line(|line| line.contains("SIGHUP: changed: users"));
    assert!(is_let_in(&broker, "second") && !is_let_in(&broker, "first"));
    std::fs::remove_file(&file).unwrap();
    broker.signal(Signal::HUP);
    broker.log_line(|line| line.contains("root.hash") && line.contains("everything stays"));
    assert!(is_let_in(&broker, "second"));
    let (is_usable, text) = place.check();
    assert!(!is_usable && text.contains("user 'root'") && text.contains("root.hash"), "{text}");
}

/// What `forebay hash-password` makes is a hash that the configuration takes.
#[test]
fn a_hash_for_the_configuration_is_made_without_an_argument() {
    use std::io::Write;
    use std::process::Stdio;
    let Some(place) = Place::new() else { return };
    let mut child = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .arg("hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"pa ss\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let hash = String::from_utf8(output.stdout).unwrap();
    let hash = hash.trim();
    assert!(hash.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{hash}");
    place.write(&format!(
        "[[users]]\nname = \"app\"\npassword_hash = \"{hash}\"\ntags = [\"management\"]\n"
    ));
    let broker = Broker::launch(&place.launch());
    let app = Admin::user(&broker, "app", "pa ss");
    assert_eq!(app.get("/api/whoami")["name"], "app");
}
