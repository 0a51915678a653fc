//! Files that can't be used are named, with what is wrong with them.

use crate::authority::{Authority, write};
use crate::harness::launch::Launch;
use std::path::Path;
use tempfile::TempDir;

fn refusal(directory: &Path, certificate: &str, key: &str, authority: Option<&str>) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    let mut launch = Launch::on(&directory.join("data"))
        .argument("--tls-listen=127.0.0.1:0")
        .argument(format!("--tls-certfile={}", path(certificate)))
        .argument(format!("--tls-keyfile={}", path(key)));
    if let Some(authority) = authority {
        launch = launch.argument(format!("--tls-cacertfile={}", path(authority)));
    }
    let output = launch.output();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    let authority = Authority::new("Test Authority");
    authority.broker("broker").write(directory, "good");
    authority.broker("broker").write(directory, "other");
    write(directory, "empty.pem", "");
    let cut = std::fs::read_to_string(directory.join("good.pem")).unwrap();
    write(directory, "cut.pem", &cut[..cut.len() / 2]);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    write(directory, "encrypted.key", encrypted);
    for (certificate, key, authority, parts) in [
        ("none.pem", "good.key", None, ["none.pem", "tls.certfile"]),
        ("empty.pem", "good.key", None, ["empty.pem", "BEGIN CERTIFICATE"]),
        ("cut.pem", "good.key", None, ["cut.pem", "expected PEM"]),
        ("good.pem", "none.key", None, ["none.key", "tls.keyfile"]),
        ("good.pem", "good.pem", None, ["good.pem", "no private key"]),
        ("good.pem", "encrypted.key", None, ["encrypted.key", "openssl pkey"]),
        ("good.pem", "other.key", None, ["other.key", "can't be used together"]),
        ("good.pem", "good.key", Some("empty.pem"), ["empty.pem", "tls.cacertfile"]),
    ] {
        let text = refusal(directory, certificate, key, authority);
        for part in parts {
            assert!(text.contains(part), "{certificate} {key} {authority:?}: {text}");
        }
    }
}
