//! One HTTP request at a time, by hand.

use super::PATIENCE;
use super::broker::Broker;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A user at a broker's admin listener.
pub(crate) struct Admin {
    address: SocketAddr,
    credentials: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
}

impl Admin {
    pub(crate) fn guest(broker: &Broker) -> Self {
        Self::user(broker, "guest", "guest")
    }

    pub(crate) fn user(broker: &Broker, name: &str, password: &str) -> Self {
        Self::at(broker.admin, name, password)
    }

    pub(crate) fn at(address: SocketAddr, name: &str, password: &str) -> Self {
        let credentials = STANDARD.encode(format!("{name}:{password}"));
        Self { address, credentials }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, body.as_bytes())
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &Value::Null);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json
    }

    /// Asks for what must be done.
    pub(crate) fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.json
    }

    /// The status and the reason of a refusal.
    pub(crate) fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let answer = self.ask(method, path, body);
        assert!(answer.status >= 400, "{method} {path}: {answer:?}");
        (answer.status, answer.json["reason"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.try_send(method, path, body).unwrap()
    }

    /// The same of a broker that may be gone before it answers.
    pub(crate) fn try_send(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.credentials,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Answer { status, json: serde_json::from_str(body).unwrap_or(Value::Null) })
    }
}
