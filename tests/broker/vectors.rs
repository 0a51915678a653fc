//! Every malformed vector of the protocol's specification, sent to the real broker, is answered
//! with the `connection.close` that it names.

use crate::harness::broker::{is_ours, shared};
use crate::harness::python::project;
use crate::harness::raw::{FRAME_SIZE_MAX, Raw, short};
use crate::harness::session::Session;
use forebay_wire::method::{ChannelOpen, ConnectionOpen, ConnectionTuneOk};

/// One `vector` of the file; see its own header for the form.
#[derive(Debug, Default)]
struct Malformed {
    name: String,
    frame_size_max: Option<u32>,
    bytes: Vec<u8>,
    /// Reply code, class and method.
    close: (u16, u16, u16),
}

#[tokio::test]
async fn every_malformed_vector_gets_its_reply_code() {
    if !is_ours() {
        return;
    }
    let vectors = read();
    assert!(vectors.len() > 200, "the file was not understood: {} vectors", vectors.len());
    let mut faults = Vec::new();
    for vector in &vectors {
        let mut raw = open(vector.frame_size_max.unwrap_or(FRAME_SIZE_MAX)).await;
        raw.send_bytes(&vector.bytes).await;
        let close = raw.connection_close().await;
        let answer = (close.reply_code, close.class_id, close.method_id);
        if answer != vector.close {
            faults.push(format!("{}: {answer:?} instead of {:?}", vector.name, vector.close));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Session::open().await;
}

async fn open(frame_max: u32) -> Raw {
    let (mut raw, tune) = Raw::log_in(shared()).await;
    let channel_max = tune.channel_max;
    raw.send(0, &ConnectionTuneOk { channel_max, frame_max, heartbeat: 0 }).await;
    raw.send(0, &ConnectionOpen { virtual_host: short("/") }).await;
    raw.method().await;
    raw.send(1, &ChannelOpen {}).await;
    raw.method().await;
    raw
}

fn read() -> Vec<Malformed> {
    let path = project().join("protocol-spec/vectors/malformed.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut vectors: Vec<Malformed> = Vec::new();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "vector" {
            vectors.push(Malformed { name: rest.to_owned(), ..Malformed::default() });
        }
        let Some(vector) = vectors.last_mut() else { continue };
        match word {
            "limit" => vector.frame_size_max = Some(rest.parse().unwrap()),
            "octets" => vector.bytes.extend(hexadecimal(rest)),
            "close" => {
                let numbers: Vec<u16> =
                    rest.split(' ').map(|number| number.parse().unwrap()).collect();
                vector.close = (numbers[0], numbers[1], numbers[2]);
            }
            _ => {}
        }
    }
    vectors
}

fn hexadecimal(text: &str) -> Vec<u8> {
    let digits: String = text.split(' ').collect();
    (0..digits.len())
        .step_by(2)
        .map(|place| u8::from_str_radix(&digits[place..place + 2], 16).unwrap())
        .collect()
}
