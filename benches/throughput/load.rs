//! The load: a producer with a window of unconfirmed messages, a consumer that acknowledges
//! several at once, each on a connection and a thread of its own.

use crate::wire::{CHANNEL, FRAME_SIZE_MAX, Wire};
use bytes::Bytes;
use forebay_wire::method::BasicAck;
use forebay_wire::{Frame, Method, Properties, SendBuffer};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) messages: u64,
    /// Bytes.
    pub(crate) body_size: usize,
    /// Published and not confirmed, at most.
    pub(crate) unconfirmed_max: u64,
    /// Deliveries that one acknowledgement settles.
    pub(crate) ack_every: u64,
}

impl Load {
    /// From the first publish until all is confirmed, delivered and acknowledged.
    pub(crate) fn run(&self, address: SocketAddr, queue: &str) -> Duration {
        let mut consumer = Wire::open(address).unwrap();
        consumer.declare(queue);
        consumer.consume(queue);
        let mut producer = Wire::open(address).unwrap();
        producer.select_confirms();
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| self.consume(consumer));
            scope.spawn(|| self.produce(producer, queue));
        });
        start.elapsed()
    }

    fn produce(&self, mut wire: Wire, queue: &str) {
        let properties = Properties { delivery_mode: Some(2), ..Properties::default() }.encode();
        let properties = properties.as_bytes();
        let body = Bytes::from(vec![b'x'; self.body_size]);
        let mut buffer = SendBuffer::new();
        let mut published = 0;
        let mut confirms = Confirms::default();
        while confirms.count() < self.messages {
            while published < self.messages && published - confirms.count() < self.unconfirmed_max {
                let key = queue.as_bytes();
                buffer.put_publish(CHANNEL, b"", key, false, properties, &body, FRAME_SIZE_MAX);
                published += 1;
            }
            wire.write(&mut buffer).unwrap();
            let mut frame = Some(wire.frame().unwrap());
            while let Some(received) = frame {
                confirms.take(&received);
                frame = wire.received();
            }
        }
        wire.close();
    }

    fn consume(&self, mut wire: Wire) {
        let mut delivered = 0;
        let mut buffer = SendBuffer::new();
        while delivered < self.messages {
            let mut frame = Some(wire.frame().unwrap());
            while let Some(received) = frame {
                if let Frame::Method { method: Method::BasicDeliver(deliver), .. } = received {
                    delivered += 1;
                    let delivery_tag = deliver.delivery_tag;
                    if delivered % self.ack_every == 0 || delivered == self.messages {
                        buffer.put_method(CHANNEL, &BasicAck { delivery_tag, multiple: true });
                    }
                }
                frame = wire.received();
            }
            wire.write(&mut buffer).unwrap();
        }
        // The rest of the last message, and the acknowledgements on their way.
        wire.close();
    }
}

/// Which messages are confirmed: brokers may confirm out of order.
#[derive(Default)]
struct Confirms {
    /// All up to this one are.
    up_to: u64,
    /// And these.
    above: BTreeSet<u64>,
}

impl Confirms {
    fn take(&mut self, frame: &Frame) {
        let Frame::Method { method: Method::BasicAck(ack), .. } = frame else {
            panic!("no confirm: {frame:?}");
        };
        if ack.multiple {
            self.up_to = self.up_to.max(ack.delivery_tag);
            self.above = self.above.split_off(&(self.up_to + 1));
        } else {
            self.above.insert(ack.delivery_tag);
        }
        while self.above.remove(&(self.up_to + 1)) {
            self.up_to += 1;
        }
    }

    fn count(&self) -> u64 {
        self.up_to + self.above.len() as u64
    }
}
