//! What a message costs on its way through the codec: `basic.publish` and `basic.deliver` with
//! content, encoded into a send buffer and decoded from a read buffer, in batches as sockets
//! give and take them.
#![allow(missing_docs, reason = "criterion's macros")]

use bytes::{Buf, Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use forebay_wire::limits::FRAME_SIZE_DEFAULT_MAX;
use forebay_wire::method::BasicAck;
use forebay_wire::{Frame, FrameDecoder, Properties, RawProperties, SendBuffer, ShortStr};
use std::hint::black_box;

/// Messages in one batch.
const BATCH: usize = 100;
const BODY_SIZES: [usize; 2] = [100, 16 * 1024];

struct Message {
    consumer_tag: ShortStr,
    properties: RawProperties,
    body: Bytes,
}

impl Message {
    fn of_size(size: usize) -> Self {
        let properties = Properties {
            content_type: Some(ShortStr::from_static("application/json")),
            delivery_mode: Some(2),
            message_id: Some(ShortStr::from_static("0f0c6f53-8d0c-4f07-a9b2-6d1f0a4d3c11")),
            ..Properties::default()
        };
        Self {
            consumer_tag: ShortStr::from_static("ctag1.0f0c6f538d0c4f07a9b26d1f0a4d3c11"),
            properties: properties.encode(),
            body: Bytes::from(vec![b'x'; size]),
        }
    }

    fn publish(&self, out: &mut SendBuffer) {
        let properties = self.properties.as_bytes();
        out.put_publish(1, b"", b"orders", false, properties, &self.body, FRAME_SIZE_DEFAULT_MAX);
    }

    fn deliver(&self, out: &mut SendBuffer, tag: u64) {
        out.put_deliver(
            1,
            &self.consumer_tag,
            tag,
            false,
            b"",
            b"orders",
            self.properties.as_bytes(),
            &self.body,
            FRAME_SIZE_DEFAULT_MAX,
        );
    }
}

fn ack(out: &mut SendBuffer, tag: u64) {
    out.put_method(1, &BasicAck { delivery_tag: tag, multiple: false });
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut out = SendBuffer::new();
    for size in BODY_SIZES {
        let message = Message::of_size(size);
        group.bench_function(BenchmarkId::new("publish", size), |bencher| {
            bencher.iter(|| batch(&mut out, |out, _| message.publish(out)));
        });
        group.bench_function(BenchmarkId::new("deliver", size), |bencher| {
            bencher.iter(|| batch(&mut out, |out, tag| message.deliver(out, tag)));
        });
    }
    group.bench_function("ack", |bencher| bencher.iter(|| batch(&mut out, ack)));
}

/// Fills the buffer with a batch and takes it away again, as a write of all of it does.
fn batch(out: &mut SendBuffer, put: impl Fn(&mut SendBuffer, u64)) {
    for tag in 0..BATCH as u64 {
        put(out, tag);
    }
    black_box(out.chunk());
    out.advance(out.len());
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(BATCH as u64));
    for size in BODY_SIZES {
        let message = Message::of_size(size);
        let cases: [(&str, Bytes); 2] = [
            ("publish", stream(|out, _| message.publish(out))),
            ("deliver", stream(|out, tag| message.deliver(out, tag))),
        ];
        for (name, stream) in cases {
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter_batched(
                    || BytesMut::from(&stream[..]),
                    consume,
                    BatchSize::LargeInput,
                );
            });
        }
    }
    let acks = stream(ack);
    group.bench_function("ack", |bencher| {
        bencher.iter_batched(|| BytesMut::from(&acks[..]), consume, BatchSize::LargeInput);
    });
}

fn stream(put: impl Fn(&mut SendBuffer, u64)) -> Bytes {
    let mut out = SendBuffer::new();
    for tag in 0..BATCH as u64 {
        put(&mut out, tag);
    }
    out.copy_to_bytes(out.len())
}

/// Decodes all of it and hands the emptied buffer back, so that freeing it is not measured.
fn consume(mut input: BytesMut) -> BytesMut {
    let mut decoder = FrameDecoder::new(FRAME_SIZE_DEFAULT_MAX);
    while let Ok(Some(frame)) = decoder.decode(&mut input) {
        if let Frame::Header { header, .. } = &frame {
            black_box(header.properties.delivery_mode());
        }
        black_box(frame);
    }
    input
}

criterion_group!(benches, encode, decode);
criterion_main!(benches);
