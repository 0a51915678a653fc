//! The page in the browser, as a browser's requests: its files, sessions, and what keeps pages of others
//! out.

use crate::harness::PATIENCE;
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::http::Admin;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An answer with its headers.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(there, _)| there.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends a request as it stands, with `Host` and what else is given.
fn send(address: SocketAddr, request: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = format!("{request} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A browser that has logged in.
struct Browser {
    address: SocketAddr,
    cookie: String,
    csrf: String,
}

impl Browser {
    fn log_in(address: SocketAddr, name: &str, password: &str) -> Self {
        let answer = try_log_in(address, name, password);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let cookie = answer.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let csrf = answer.json()["csrf"].as_str().unwrap().to_owned();
        Self { address, cookie, csrf }
    }

    fn send(&self, request: &str, body: &str) -> Answer {
        let headers = [("Cookie", &*self.cookie), ("X-Forebay-Csrf", &*self.csrf)];
        send(self.address, request, &headers, body)
    }
}

fn try_log_in(address: SocketAddr, name: &str, password: &str) -> Answer {
    let body = json!({ "name": name, "password": password }).to_string();
    send(address, "POST /api/forebay/session", &[("X-Forebay-Csrf", "none")], &body)
}

#[test]
fn the_page_and_its_files_come_with_headers_that_shut_others_out() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let page = send(broker.admin, "GET /", &[], "");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let named = page.body.split('"').filter(|part| part.starts_with("/console/"));
    let mut count = 0;
    for path in named {
        let file = send(broker.admin, &format!("GET {path}"), &[], "");
        assert_eq!(file.status, 200, "{path}");
        let etag = file.header("etag").unwrap();
        let known = send(broker.admin, &format!("GET {path}"), &[("If-None-Match", etag)], "");
        assert_eq!((known.status, known.body.len()), (304, 0), "{path}");
        count += 1;
    }
    assert!(count >= 3);
    assert_eq!(send(broker.admin, "GET /console/none.js", &[], "").status, 404);
}

#[test]
fn a_session_stands_for_name_and_password_until_it_ends() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let wrong = try_log_in(broker.admin, "guest", "wrong");
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.header("www-authenticate"), None, "a browser would ask by itself");
    assert_eq!(wrong.header("set-cookie"), None);
    let answer = try_log_in(broker.admin, "guest", "guest");
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let browser = Browser::log_in(broker.admin, "guest", "guest");
    let shown = browser.send("GET /api/forebay/session", "").json();
    assert_eq!((&shown["name"], &shown["csrf"]), (&json!("guest"), &json!(browser.csrf)));
    assert_eq!(browser.send("GET /api/whoami", "").json()["name"], "guest");
    assert_eq!(browser.send("DELETE /api/forebay/session", "").status, 204);
    assert_eq!(browser.send("GET /api/whoami", "").status, 401);
}

#[test]
fn a_change_needs_the_second_secret() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let browser = Browser::log_in(broker.admin, "guest", "guest");
    let put = "PUT /api/queues/%2F/q";
    let other = Browser::log_in(broker.admin, "guest", "guest");
    for csrf in [None, Some("none"), Some(&*other.csrf)] {
        let mut headers = vec![("Cookie", &*browser.cookie)];
        headers.extend(csrf.map(|csrf| ("X-Forebay-Csrf", csrf)));
        assert_eq!(send(broker.admin, put, &headers, "{}").status, 403, "{csrf:?}");
    }
    assert_eq!(send(broker.admin, "POST /api/forebay/session", &[], "{}").status, 403);
    assert_eq!(browser.send(put, "{}").status, 201);
    let parts = ["page: change", "user=\"guest\"", "method=PUT", "/api/queues/%2F/q", "status=201"];
    broker.log_line(|line| parts.iter().all(|part| line.contains(part)));
}

#[test]
fn the_page_is_not_served_under_names_of_others() {
    let data = TempDir::new().unwrap();
    let launch = Launch::on(data.path()).argument("--admin-hosts=mq.example.com");
    let broker = Broker::launch(&launch);
    let browser = Browser::log_in(broker.admin, "guest", "guest");
    let cookie =
        format!("{}; forebay={}", browser.cookie, browser.cookie.split_once('=').unwrap().1);
    for (host, status) in [
        ("mq.example.com", 200),
        ("localhost", 200),
        ("[::1]", 200),
        ("elsewhere.example", 403),
        ("mq.example.com.elsewhere.example", 403),
    ] {
        assert_eq!(send(broker.admin, "GET /", &[("Host", host)], "").status, status, "{host}");
        let asked = [("Host", host), ("Cookie", &*cookie)];
        assert_eq!(send(broker.admin, "GET /api/whoami", &asked, "").status, status, "{host}");
        let body = json!({ "name": "guest", "password": "guest" }).to_string();
        let asked = [("Host", host), ("X-Forebay-Csrf", "none")];
        let opened = send(broker.admin, "POST /api/forebay/session", &asked, &body);
        assert_eq!(opened.status, status, "{host}");
    }
    // Programs that send name and password call the broker what they like.
    assert_eq!(Admin::guest(&broker).get("/api/whoami")["name"], "guest");
}

#[test]
fn a_session_ends_with_its_user_or_its_password() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let guest = Admin::guest(&broker);
    let user = json!({ "password": "first", "tags": "monitoring" });
    guest.done("PUT", "/api/users/ops", &user);
    let first = Browser::log_in(broker.admin, "ops", "first");
    guest.done("PUT", "/api/users/ops", &json!({ "password": "second", "tags": "monitoring" }));
    assert_eq!(first.send("GET /api/whoami", "").status, 401);
    let second = Browser::log_in(broker.admin, "ops", "second");
    assert_eq!(second.send("GET /api/nodes", "").status, 200);
    assert_eq!(second.send("GET /api/users", "").status, 401, "monitoring sees no users");
    guest.done("DELETE", "/api/users/ops", &Value::Null);
    assert_eq!(second.send("GET /api/whoami", "").status, 401);
    guest.done("PUT", "/api/users/app", &json!({ "password": "app", "tags": "" }));
    assert_eq!(try_log_in(broker.admin, "app", "app").status, 401, "no tag, no page");
}

#[test]
fn what_is_shown_live_comes_when_it_changes() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let browser = Browser::log_in(broker.admin, "guest", "guest");
    let mut stream = TcpStream::connect(broker.admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let watch = "%5B%22/api/queues?columns=name%22%2C%22/api/queues/%252F/none%22%5D";
    let request = format!(
        "GET /api/forebay/live?watch={watch} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n",
        broker.admin, browser.cookie
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut told = String::new();
    let mut until = |part: &str| {
        let mut bytes = [0; 4096];
        while !told.contains(part) {
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the stream ended: {told}");
            told.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    };
    until("text/event-stream");
    until(r#"data: {"at":0,"status":200,"body":[]}"#);
    until(r#"data: {"at":1,"status":404"#);
    assert_eq!(browser.send("PUT /api/queues/%2F/q", "{}").status, 201);
    until(r#"data: {"at":0,"status":200,"body":[{"name":"q"}]}"#);
    assert_eq!(browser.send("DELETE /api/forebay/session", "").status, 204);
    until(r#"data: {"at":0,"status":401"#);
}

#[test]
fn only_paths_of_the_api_are_watched() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let browser = Browser::log_in(broker.admin, "guest", "guest");
    let many = format!("[{}]", ["\"/api/whoami\""; 9].join(","));
    for watch in ["", "[]", "x", "[\"/\"]", "[\"/api/forebay/live?watch=[]\"]", "[1]", &many] {
        let watch = watch.replace('"', "%22").replace('[', "%5B").replace(']', "%5D");
        let request = format!("GET /api/forebay/live?watch={watch}");
        assert_eq!(browser.send(&request, "").status, 400, "{watch}");
    }
    let stranger =
        send(broker.admin, "GET /api/forebay/live?watch=%5B%22/api/whoami%22%5D", &[], "");
    assert_eq!(stranger.status, 401);
}

#[test]
fn the_worst_queue_comes_first() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let guest = Admin::guest(&broker);
    for name in ["a", "b", "b.dlq", "c"] {
        guest.done("PUT", &format!("/api/queues/%2F/{name}"), &json!({}));
    }
    let publish = |queue: &str, count: usize| {
        let message = json!({ "properties": {}, "routing_key": queue, "payload": "x", "payload_encoding": "string" });
        for _ in 0..count {
            guest.done("POST", "/api/exchanges/%2F/amq.default/publish", &message);
        }
    };
    publish("b.dlq", 3);
    publish("a", 1);
    publish("c", 2);
    let list = || {
        let path = "/api/queues?sort=attention&sort_reverse=true&page=1&columns=name,attention";
        let listed = guest.get(path)["items"].as_array().unwrap().clone();
        let shown = listed.iter().map(|it| {
            let reason = it["attention"]["reason"].as_str().map(str::to_owned);
            (it["name"].as_str().unwrap().to_owned(), reason)
        });
        shown.collect::<Vec<_>>()
    };
    let reason = |queue: &str, reason: &str| (queue.to_owned(), Some(reason.to_owned()));
    // Of the same level: the one with more messages first.
    let expected = [
        reason("b.dlq", "dead_letters"),
        reason("c", "no_consumers"),
        reason("a", "no_consumers"),
        ("b".to_owned(), None),
    ];
    // The watch over lag looks at queues by itself.
    let deadline = Instant::now() + PATIENCE;
    while list() != expected {
        assert!(Instant::now() < deadline, "{:?}", list());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_queue_says_what_holds_for_it_and_why() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let guest = Admin::guest(&broker);
    let policy = json!({ "pattern": "^q$", "apply-to": "queues", "definition": { "max-length": 10, "delivery-limit": 7 } });
    guest.done("PUT", "/api/policies/%2F/short", &policy);
    guest.done("PUT", "/api/queues/%2F/q", &json!({ "arguments": { "x-delivery-limit": 5 } }));
    let settings = guest.get("/api/queues/%2F/q")["settings"].clone();
    let of =
        |name: &str| settings.as_array().unwrap().iter().find(|row| row["name"] == name).cloned();
    assert_eq!(
        of("delivery-limit"),
        Some(json!({ "name": "delivery-limit", "value": 5, "source": "argument", "policy": null }))
    );
    assert_eq!(
        of("max-length"),
        Some(json!({ "name": "max-length", "value": 10, "source": "policy", "policy": "short" }))
    );
    assert_eq!(of("consumer-timeout").unwrap()["source"], "default");
    assert_eq!(of("dead-letter-queue").unwrap()["value"], "q.dlq");
    assert_eq!(of("message-ttl"), None);
}

#[test]
fn a_route_is_told_without_a_message() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let guest = Admin::guest(&broker);
    for (queue, key) in [("one", "a.*"), ("two", "#"), ("three", "b")] {
        guest.done("PUT", &format!("/api/queues/%2F/{queue}"), &json!({}));
        let binding = format!("/api/bindings/%2F/e/amq.topic/q/{queue}");
        guest.done("POST", &binding, &json!({ "routing_key": key }));
    }
    let route = |exchange: &str, body: Value| {
        guest.done("POST", &format!("/api/forebay/route/%2F/{exchange}"), &body)["queues"].clone()
    };
    assert_eq!(route("amq.topic", json!({ "routing_key": "a.b" })), json!(["one", "two"]));
    assert_eq!(route("amq.default", json!({ "routing_key": "three" })), json!(["three"]));
    assert_eq!(route("amq.default", json!({ "routing_key": "none" })), json!([]));
    let headers = json!({ "arguments": { "x-match": "all", "kind": "sale" } });
    guest.done("POST", "/api/bindings/%2F/e/amq.headers/q/one", &headers);
    assert_eq!(route("amq.headers", json!({ "headers": { "kind": "sale" } })), json!(["one"]));
    assert_eq!(route("amq.headers", json!({ "headers": { "kind": "gift" } })), json!([]));
    assert_eq!(guest.refused("POST", "/api/forebay/route/%2F/none", &json!({})).0, 404);
    assert_eq!(guest.get("/api/queues/%2F/one")["messages"], 0);
}

#[test]
fn what_a_user_may_do_is_told() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let guest = Admin::guest(&broker);
    guest.done("PUT", "/api/users/dev", &json!({ "password": "dev", "tags": "management" }));
    let permission = json!({ "configure": "", "write": "^amq\\.default$", "read": "^q$" });
    guest.done("PUT", "/api/permissions/%2F/dev", &permission);
    let browser = Browser::log_in(broker.admin, "dev", "dev");
    let may = browser.send("GET /api/forebay/access/%2F/queue/q", "").json();
    let expected =
        json!({ "configure": false, "publish_to_queues": true, "read": true, "write": false });
    assert_eq!(may, expected);
    let may = browser.send("GET /api/forebay/access/%2F/exchange/amq.default", "").json();
    assert_eq!(may["write"], true);
}

#[test]
fn a_page_that_is_opened_can_look_back() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let guest = Admin::guest(&broker);
    guest.done("PUT", "/api/queues/%2F/q", &json!({}));
    let message = json!({
        "properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"
    });
    guest.done("POST", "/api/exchanges/%2F/amq.default/publish", &message);
    let asked = json!({ "queues": [["/", "q"], ["/", "none"]] });
    let begin = Instant::now();
    let past = loop {
        let past = guest.done("POST", "/api/forebay/past", &asked);
        if past["queues"][0] != json!([]) {
            break past;
        }
        assert!(begin.elapsed() < PATIENCE, "{past}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let last = past["queues"][0].as_array().unwrap().last().unwrap();
    assert_eq!(last[1], 1, "{past}");
    assert_eq!(past["queues"][1], json!([]));
    assert_eq!(past["total"].as_array().unwrap().last().unwrap()[1], 1, "{past}");

    let user = json!({ "password": "dev", "tags": "management" });
    guest.done("PUT", "/api/users/dev", &user);
    let past = Admin::user(&broker, "dev", "dev").done("POST", "/api/forebay/past", &asked);
    assert_eq!(past, json!({ "queues": [[], []], "total": [] }), "not in its virtual hosts");
    let wrong = json!({ "queues": [["/"]] });
    assert_eq!(guest.refused("POST", "/api/forebay/past", &wrong).0, 400);
}
