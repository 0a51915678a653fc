//! What a message takes in memory is more than its bytes: very many very small ones, and those that
//! arrive among others that nobody keeps, must not take more than large ones do.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::raw::{FRAME_SIZE_MAX, Raw, short};
use bytes::{Buf, Bytes};
use forebay_wire::method::{BasicGet, QueueDeclare};
use forebay_wire::{Frame, Method, Properties, SendBuffer};
use tempfile::TempDir;

const MIB: u64 = 1024 * 1024;

/// What the broker may take: its budget for messages that are in memory alone, journals and tables in
/// the making for those that it writes to the store instead, and what is on its way.
const SMALL_SIZE_MAX: u64 = 224 * MIB;

/// The same with the receive buffers that may be kept alive, and what the allocator has in between.
const SCATTERED_SIZE_MAX: u64 = 512 * MIB;

/// Messages of one byte; when only their bytes were counted, they took 300 MiB.
const SMALL_MESSAGES: usize = 1_600_000;

/// Messages that come among others; when each kept the buffer alive that it was received in, they took
/// two GiB.
const SCATTERED_MESSAGES: usize = 8_000;

/// The bytes around each of them, of messages that go nowhere.
const AROUND_SIZE: usize = 128 * 1024;

/// The bytes of publishes to these queues.
fn publishes(messages: &[(&str, &Bytes)]) -> Bytes {
    let transient = Properties::default().encode();
    let mut buffer = SendBuffer::new();
    for (queue, body) in messages {
        let bytes = transient.as_bytes();
        buffer.put_publish(1, b"", queue.as_bytes(), false, bytes, body, FRAME_SIZE_MAX);
    }
    buffer.copy_to_bytes(buffer.remaining())
}

/// The number of messages in the queue, when all that was sent before has been taken.
async fn declare(raw: &mut Raw, queue: &str) -> u32 {
    raw.send(1, &QueueDeclare { queue: short(queue), ..<_>::default() }).await;
    let Method::QueueDeclareOk(declared) = raw.method().await else { panic!("not declared") };
    declared.message_count
}

fn assert_bounded(broker: &Broker, most: u64) {
    let peak = broker.resident_peak_size();
    eprintln!("{} MiB resident", peak / MIB);
    assert!(peak < most, "{} MiB resident", peak / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn millions_of_very_small_transient_messages_take_no_more_memory_than_large_ones() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let broker = Broker::start(data.path());
    let mut raw = Raw::open_channel(broker.address).await;
    declare(&mut raw, "small").await;
    let body = Bytes::from_static(b"x");
    let batch = publishes(&[("small", &body); 1_000]);
    for _ in 0..SMALL_MESSAGES / 1_000 {
        raw.send_bytes(&batch).await;
    }
    assert_eq!(declare(&mut raw, "small").await as usize, SMALL_MESSAGES);
    assert_bounded(&broker, SMALL_SIZE_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_stays_does_not_keep_what_came_with_it() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let broker = Broker::start(data.path());
    let mut raw = Raw::open_channel(broker.address).await;
    declare(&mut raw, "kept").await;
    let (body, around) = (Bytes::from_static(b"x"), Bytes::from(vec![7; AROUND_SIZE]));
    let batch = publishes(&[("kept", &body), ("nowhere", &around)]);
    for _ in 0..SCATTERED_MESSAGES {
        raw.send_bytes(&batch).await;
    }
    assert_eq!(declare(&mut raw, "kept").await as usize, SCATTERED_MESSAGES);
    assert_bounded(&broker, SCATTERED_SIZE_MAX);
    raw.send(1, &BasicGet { queue: short("kept"), no_ack: true }).await;
    assert!(matches!(raw.method().await, Method::BasicGetOk(_)));
    assert!(matches!(raw.frame().await, Some(Frame::Header { .. })));
    let Some(Frame::Body { body: got, .. }) = raw.frame().await else { panic!("no body") };
    assert_eq!(got, body);
}
