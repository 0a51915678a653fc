//! The commands of docs/operate/hardening.md, as they stand there, one after the other in one shell.

use crate::harness::broker::Broker;
use crate::harness::python::project;
use crate::http::Admin;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The lines between fences of `sh`.
fn commands(page: &str) -> String {
    let mut script = String::from("set -eu\n");
    let mut is_inside = false;
    for line in page.lines() {
        match line {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            line if is_inside => script.extend([line, "\n"]),
            _ => {}
        }
    }
    script
}

/// A certificate of its own, for the step with TLS.
fn write_certificate(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("broker.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("broker.key"), made.signing_key.serialize_pem()).unwrap();
}

fn run(script: &str, directory: &Path, admin: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_forebay")).parent().unwrap().to_owned();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(directory).env("PATH", path);
    command.env("FOREBAY_ADMIN", admin).stdin(Stdio::null()).output().unwrap()
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    let is_there = found.is_ok_and(|output| output.status.success())
        // This one says it otherwise.
        || program == "openssl" && Command::new(program).arg("version").output().is_ok();
    if !is_there {
        eprintln!("passed over: needs {program}");
    }
    is_there
}

#[test]
fn every_command_of_the_page_works_as_it_is() {
    if !["curl", "openssl"].into_iter().all(has) {
        return;
    }
    let (data, place) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let broker = Broker::start(data.path());
    write_certificate(place.path());
    let page = std::fs::read_to_string(project().join("docs/operate/hardening.md")).unwrap();
    // The default port may be somebody else's.
    let admin = broker.admin.to_string();
    let script = commands(&page).replace("127.0.0.1:15672", &admin);
    let output = run(&script, place.path(), &admin);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for expected in ["forebay.toml: can be used", "\n401\n", "\nops   administrator\n", "\nshop\n"]
    {
        assert!(text.contains(expected), "{text}");
    }
    let status = |name: &str, password: &str| {
        Admin::user(&broker, name, password).ask("GET", "/api/whoami", &Value::Null).status
    };
    assert_eq!(status("guest", "guest"), 401);
    let password = std::fs::read_to_string(place.path().join("ops.password")).unwrap();
    let ops = Admin::user(&broker, "ops", password.trim_end());
    assert_eq!(ops.get("/api/users").as_array().map(Vec::len), Some(2));
    assert_eq!(ops.get("/api/user-limits/shop")[0]["value"]["max-connections"], 100);
}
