//! lapin under measurement.

use super::{PREFETCH, Subject, UNCONFIRMED_MAX};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use std::collections::VecDeque;

pub(super) struct Theirs {
    connection: Connection,
    channel: Channel,
    queue: String,
}

impl Subject for Theirs {
    async fn open(url: &str, queue: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
        Self { connection, channel, queue: queue.to_owned() }
    }

    async fn publish(&mut self, messages: usize, size: usize) {
        let channel = self.connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let body = vec![b'x'; size];
        let mut confirms = VecDeque::with_capacity(UNCONFIRMED_MAX);
        for _ in 0..messages {
            if confirms.len() == UNCONFIRMED_MAX {
                acked(confirms.pop_front().unwrap()).await;
            }
            let properties = BasicProperties::default().with_delivery_mode(2);
            let options = BasicPublishOptions::default();
            let published = channel.basic_publish(
                "".into(),
                self.queue.as_str().into(),
                options,
                &body,
                properties,
            );
            confirms.push_back(published.await.unwrap());
        }
        for confirm in confirms {
            acked(confirm).await;
        }
    }

    async fn consume(&mut self, messages: usize) {
        self.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.unwrap();
        let options = BasicConsumeOptions::default();
        let consumer = self.channel.basic_consume(
            self.queue.as_str().into(),
            "bench".into(),
            options,
            FieldTable::default(),
        );
        let mut consumer = consumer.await.unwrap();
        for _ in 0..messages {
            let delivery = consumer.next().await.unwrap().unwrap();
            delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
        self.channel.basic_cancel("bench".into(), BasicCancelOptions::default()).await.unwrap();
    }

    async fn close(self) {
        let options = QueueDeleteOptions::default();
        self.channel.queue_delete(self.queue.as_str().into(), options).await.unwrap();
        self.connection.close(200, "bye".into()).await.unwrap();
    }
}

async fn acked(confirm: impl Future<Output = lapin::Result<Confirmation>>) {
    assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(_)));
}
