//! Our client under measurement.

use super::{PREFETCH, Subject, UNCONFIRMED_MAX};
use bytes::Bytes;
use forebay_client::{Connection, Message, PublisherOptions, QueueOptions, ShortStr};
use std::collections::VecDeque;

pub(super) struct Ours {
    connection: Connection,
    queue: String,
}

impl Subject for Ours {
    async fn open(url: &str, queue: &str) -> Self {
        let connection = Connection::connect(url).await.unwrap();
        connection.declare_queue(queue, QueueOptions::durable()).await.unwrap();
        Self { connection, queue: queue.to_owned() }
    }

    async fn publish(&mut self, messages: usize, size: usize) {
        let options = PublisherOptions::default().window(UNCONFIRMED_MAX);
        let publisher = self.connection.publisher_with(options).await.unwrap();
        let queue = ShortStr::try_from(self.queue.as_str()).unwrap();
        let body = Bytes::from(vec![b'x'; size]);
        let mut confirms = VecDeque::with_capacity(UNCONFIRMED_MAX);
        for _ in 0..messages {
            if confirms.len() == UNCONFIRMED_MAX {
                let oldest: forebay_client::Confirm = confirms.pop_front().unwrap();
                oldest.await.unwrap();
            }
            let message = Message::to_queue(&queue, body.clone());
            confirms.push_back(publisher.publish(message).await.unwrap());
        }
        for confirm in confirms {
            confirm.await.unwrap();
        }
    }

    async fn consume(&mut self, messages: usize) {
        let mut consumer =
            self.connection.consume(&self.queue).prefetch(PREFETCH).start().await.unwrap();
        for _ in 0..messages {
            consumer.next().await.unwrap().unwrap().ack().unwrap();
        }
        consumer.close().await.unwrap();
    }

    async fn close(self) {
        self.connection.delete_queue(&self.queue).await.unwrap();
        self.connection.close().await.unwrap();
    }
}
