//! What nobody else is to see: the files of the broker, and passwords.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::launch::Launch;
use crate::harness::raw::{Raw, plain};
use crate::harness::session::{Session, declare_named, fill};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// Whatever the caller's umask is, and however the directory came to be.
#[tokio::test]
async fn nobody_else_may_read_the_data() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    std::fs::set_permissions(data.path(), Permissions::from_mode(0o755)).unwrap();
    let shell = ["sh", "-c", "umask 0; exec \"$0\" \"$@\""].map(str::to_owned).to_vec();
    let broker = Broker::launch(&Launch::on(data.path()).through(shell));
    broker.log_line(|line| line.contains("was open to others (mode 0755)"));
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "q", <_>::default()).await;
    fill(&session, "q", &["1"]).await;
    let mut waiting = vec![data.path().to_owned()];
    while let Some(path) = waiting.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has the mode {mode:o}", path.display());
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
}

/// At the most talkative level, whether the login is right or wrong, with any mechanism, over AMQP and
/// over HTTP; and in no list of processes.
#[tokio::test]
async fn no_password_is_in_the_log_or_among_the_arguments() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let launch = Launch::on(data.path())
        .variable("RABBITMQ_DEFAULT_USER", "app")
        .variable("RABBITMQ_DEFAULT_PASS", "s3cr3t-right")
        .variable("FOREBAY_LOG", "trace");
    let broker = Broker::launch(&launch);
    for password in ["s3cr3t-right", "s3cr3t-wrong"] {
        let mut raw = Raw::greet(broker.address).await;
        raw.send(0, &plain("app", password)).await;
        raw.frame().await;
        let mut admin = TcpStream::connect(broker.admin).unwrap();
        let credentials = STANDARD.encode(format!("app:{password}"));
        let head = format!(
            "PUT /api/users/new HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n\
             Connection: close\r\nContent-Length: 27\r\n\r\n{{\"password\":\"s3cr3t-third\"}}"
        );
        admin.write_all(head.as_bytes()).unwrap();
        let _ = admin.read_to_end(&mut Vec::new());
    }
    for event in [" login refused ", " admin login refused "] {
        broker.log_line(|line| line.contains(event) && line.contains("user=\"app\""));
    }
    let log = broker.log();
    assert!(!log.contains("s3cr3t"), "{log}");
    assert!(!log.contains(&STANDARD.encode("app:s3cr3t-right")), "{log}");
    assert!(!broker.arguments().contains("s3cr3t"));
}
