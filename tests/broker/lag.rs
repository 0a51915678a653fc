//! The figures are what clients did, exactly: what came into a queue and has not left is its lag,
//! under our names and under RabbitMQ's, for each queue and in sum.

use crate::accounts::{Account, Accounts, check};
use crate::harness::broker::{Broker, http_get, is_ours};
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::random::Random;
use crate::harness::session::{
    Session, confirmed, consume_with, declare_named, fill, get, next, number, prefetch, publish,
    string, table,
};
use lapin::Confirmation;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicQosOptions,
    BasicRecoverOptions, BasicRejectOptions, QueueDeclareOptions, QueueDeleteOptions,
    QueuePurgeOptions,
};
use lapin::types::FieldTable;
use std::collections::{BTreeMap, VecDeque};
use tempfile::TempDir;

/// A queue, and how often each of its messages has failed, in order.
#[derive(Default)]
struct Walker {
    queues: BTreeMap<&'static str, VecDeque<u64>>,
    accounts: Accounts,
}

const QUEUES: [(&str, &str); 2] = [("left", "left.dlq"), ("right", "right.dlq")];

impl Walker {
    fn account(&mut self, queue: &'static str) -> &mut Account {
        self.accounts.entry(queue).or_default()
    }

    fn enqueue(&mut self, queue: &'static str) {
        self.account(queue).published += 1;
        self.queues.entry(queue).or_default().push_back(0);
    }

    fn die(&mut self, queue: &'static str, dead: &'static str, reason: &'static str) {
        *self.account(queue).dead.entry(reason).or_default() += 1;
        self.enqueue(dead);
    }

    /// The message at the front failed once more.
    fn fail(&mut self, queue: &'static str, dead: &'static str, failures: u64) {
        if failures + 1 < 3 {
            self.queues.entry(queue).or_default().push_front(failures + 1);
        } else {
            self.account(queue).delivery_limit += 1;
            self.die(queue, dead, "delivery_limit");
        }
    }

    /// One step of somebody who publishes, gets, and does what consumers do with what they got.
    async fn step(&mut self, session: &Session, random: &mut Random) {
        let (queue, dead) = QUEUES[random.below(2) as usize];
        let action = random.below(14);
        if action < 4 {
            let confirms = session.confirm_channel().await;
            publish(&confirms, "", queue, "x").await.await.unwrap();
            must("close", confirms.close(200, "".into())).await.unwrap();
            return self.enqueue(queue);
        }
        let channel = session.channel().await;
        let options = BasicGetOptions { no_ack: action == 4 };
        let got = must("get", channel.basic_get(queue.into(), options)).await.unwrap();
        let Some(failures) = self.queues.entry(queue).or_default().pop_front() else {
            assert!(got.is_none());
            return must("close", channel.close(200, "".into())).await.unwrap();
        };
        let got = got.unwrap();
        self.account(queue).delivered += 1;
        let nack = |requeue| BasicNackOptions { requeue, multiple: false };
        match action {
            4 => self.account(queue).acked += 1,
            5..=7 => {
                must("ack", got.ack(BasicAckOptions::default())).await.unwrap();
                self.account(queue).acked += 1;
            }
            8 => {
                must("nack", got.nack(nack(true))).await.unwrap();
                self.account(queue).nack += 1;
                self.fail(queue, dead, failures);
            }
            9 => {
                must("nack", got.nack(nack(false))).await.unwrap();
                self.account(queue).acked += 1;
                self.die(queue, dead, "rejected");
            }
            10 => {
                must("reject", got.reject(BasicRejectOptions { requeue: true })).await.unwrap();
                self.account(queue).reject += 1;
                self.fail(queue, dead, failures);
            }
            11 => {
                let options = BasicRecoverOptions { requeue: true };
                must("recover", channel.basic_recover(options)).await.unwrap();
                self.account(queue).recover += 1;
                self.queues.entry(queue).or_default().push_front(failures);
            }
            12 => {
                // A mistake: the broker closes the channel.
                let tag = u64::MAX;
                channel.basic_ack(tag, BasicAckOptions::default()).await.unwrap();
                let qos = channel.basic_qos(1, BasicQosOptions::default());
                assert!(must("an error", qos).await.is_err());
                self.account(queue).disconnect += 1;
                return self.fail(queue, dead, failures);
            }
            _ => {
                self.account(queue).close += 1;
                self.queues.entry(queue).or_default().push_front(failures);
            }
        }
        must("close", channel.close(200, "".into())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_what_was_published_and_is_not_done_through_restarts() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let seed = Random::seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut walker = Walker::default();
    for is_killed in [true, false, true] {
        let mut broker = Broker::start(data.path());
        let session = Session::open_at(broker.address).await;
        for (queue, _) in QUEUES {
            declare_named(&session.channel, queue, FieldTable::default()).await;
            walker.account(queue);
        }
        check(&broker, &walker.accounts).await;
        for _ in 0..100 {
            walker.step(&session, &mut random).await;
        }
        check(&broker, &walker.accounts).await;

        // A confirm makes durable what was acknowledged before it.
        let confirms = session.confirm_channel().await;
        for _ in 0..2 {
            confirmed(publish(&confirms, "", "left", "x").await).await;
            walker.enqueue("left");
        }
        must("close", confirms.close(200, "".into())).await.unwrap();
        if is_killed {
            let held = session.channel().await;
            for _ in 0..2 {
                assert!(get(&held, "left").await.is_some());
            }
            let left = walker.account("left");
            (left.delivered, left.unacked) = (left.delivered + 2, 2);
            check(&broker, &walker.accounts).await;
            broker.kill();
        } else {
            session.close().await;
            broker.terminate();
            assert!(broker.wait().success());
        }
        walker.accounts.values_mut().for_each(|account| *account = account.carried_over());
    }
}

/// A broker with a queue of each kind, and what happened to them.
struct Ways {
    broker: Broker,
    session: Session,
    accounts: Accounts,
    _data: TempDir,
}

impl Ways {
    async fn open(queues: &[(&'static str, FieldTable)]) -> Self {
        let data = TempDir::new().unwrap();
        let broker = Broker::start(data.path());
        let session = Session::open_at(broker.address).await;
        let mut accounts = Accounts::new();
        for (queue, arguments) in queues {
            declare_named(&session.channel, queue, arguments.clone()).await;
            accounts.insert(*queue, Account::default());
        }
        Self { broker, session, accounts, _data: data }
    }

    fn account(&mut self, queue: &'static str) -> &mut Account {
        self.accounts.entry(queue).or_default()
    }

    /// Publishes so many; returns how many the queue refused.
    async fn publish(&mut self, queue: &'static str, count: u64) -> u64 {
        let channel = self.session.confirm_channel().await;
        let mut refused = 0;
        for _ in 0..count {
            let confirm = publish(&channel, "", queue, "x").await;
            let confirmation = must("confirm", confirm).await.unwrap();
            refused += u64::from(matches!(confirmation, Confirmation::Nack(_)));
        }
        self.account(queue).published += count - refused;
        refused
    }

    /// So many became dead letters of a queue.
    fn bury(&mut self, queue: &'static str, dead: &'static str, reason: &'static str, count: u64) {
        *self.account(queue).dead.entry(reason).or_default() += count;
        self.account(dead).published += count;
    }

    async fn check(&self) {
        check(&self.broker, &self.accounts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_or_has_no_room_is_counted_where_it_left() {
    if !is_ours() {
        return;
    }
    let with_dead_letters = |name, value| {
        let mut arguments = table(name, number(value));
        arguments.insert("x-dead-letter-exchange".into(), string(""));
        arguments.insert("x-dead-letter-routing-key".into(), string("dead"));
        arguments
    };
    let mut refusing = table("x-max-length", number(3));
    refusing.insert("x-overflow".into(), string("reject-publish"));
    let mut ways = Ways::open(&[
        ("dead", FieldTable::default()),
        ("short-lived", with_dead_letters("x-message-ttl", 1)),
        ("short", with_dead_letters("x-max-length", 3)),
        ("refusing", refusing),
    ])
    .await;
    ways.publish("short-lived", 4).await;
    ways.account("short-lived").expired = 4;
    ways.bury("short-lived", "dead", "expired", 4);
    ways.check().await;

    ways.publish("short", 5).await;
    ways.account("short").maxlen = 2;
    ways.bury("short", "dead", "maxlen", 2);
    ways.check().await;

    let refused = ways.publish("refusing", 5).await;
    assert_eq!(refused, 2);
    ways.account("refusing").refused = refused;
    ways.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_a_deletion_and_a_failure_without_dead_letters_are_counted() {
    if !is_ours() {
        return;
    }
    let mut fragile = table("x-delivery-limit", number(1));
    fragile.insert("x-dead-letter-exchange".into(), string("nowhere"));
    let mut ways = Ways::open(&[
        ("purged", <_>::default()),
        ("deleted", <_>::default()),
        ("fragile", fragile),
    ])
    .await;
    for queue in ["purged", "deleted", "fragile"] {
        ways.publish(queue, 5).await;
    }
    let channel = ways.session.channel().await;
    assert!(get(&channel, "purged").await.is_some());
    let purged = channel.queue_purge("purged".into(), QueuePurgeOptions::default());
    assert_eq!(must("purge", purged).await.unwrap(), 4);
    let account = ways.account("purged");
    (account.delivered, account.unacked, account.purged) = (1, 1, 4);

    let got = get(&channel, "fragile").await.unwrap();
    let requeue = BasicNackOptions { requeue: true, multiple: false };
    must("nack", got.nack(requeue)).await.unwrap();
    let account = ways.account("fragile");
    (account.delivered, account.nack, account.delivery_limit) = (1, 1, 1);
    account.dead.insert("delivery_limit", 1);

    // One that has no place for dead letters.
    let options = QueueDeclareOptions { exclusive: true, ..<_>::default() };
    let arguments = table("x-delivery-limit", number(1));
    let declared = channel.queue_declare("own".into(), options, arguments);
    must("declare", declared).await.unwrap();
    ways.publish("own", 2).await;
    let got = get(&channel, "own").await.unwrap();
    must("nack", got.nack(requeue)).await.unwrap();
    let account = ways.account("own");
    (account.delivered, account.nack, account.delivery_limit) = (1, 1, 1);
    ways.check().await;

    let deleted = channel.queue_delete("deleted".into(), QueueDeleteOptions::default());
    assert_eq!(must("delete", deleted).await.unwrap(), 5);
    let page = http_get(ways.broker.metrics, "/metrics");
    assert!(!page.contains("queue=\"deleted\""), "{page}");
    assert_eq!(ways.broker.metric("forebay_queues"), 3.0);
    // A counter over all queues does not fall with one of them.
    assert_eq!(ways.broker.metric("forebay_messages_enqueued_total"), 17.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_counted_while_consumers_hold_them_and_when_they_hold_them_too_long() {
    if !is_ours() {
        return;
    }
    let held_too_long = table("x-consumer-timeout", number(1000));
    let mut ways =
        Ways::open(&[("work", <_>::default()), ("slow", held_too_long), ("sent", <_>::default())])
            .await;
    for queue in ["work", "slow", "sent"] {
        ways.publish(queue, 5).await;
    }
    let channel = ways.session.channel().await;
    prefetch(&channel, 3).await;
    let mut consumer = consume_with(&channel, "work", BasicConsumeOptions::default()).await;
    for _ in 0..3 {
        next(&mut consumer).await;
    }
    let account = ways.account("work");
    (account.delivered, account.unacked, account.consumers) = (3, 3, 1);

    let automatic = BasicConsumeOptions { no_ack: true, ..<_>::default() };
    let sending = ways.session.channel().await;
    let mut sent = consume_with(&sending, "sent", automatic).await;
    for _ in 0..5 {
        next(&mut sent).await;
    }
    let account = ways.account("sent");
    (account.delivered, account.acked, account.consumers) = (5, 5, 1);

    let holding = ways.session.channel().await;
    assert!(get(&holding, "slow").await.is_some());
    let account = ways.account("slow");
    (account.delivered, account.timeout) = (1, 1);
    ways.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_beyond_the_limit_are_added_up_and_their_number_is_told() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let launch = Launch::on(data.path()).argument("--metrics-queues-max").argument("2");
    let broker = Broker::launch(&launch);
    let session = Session::open_at(broker.address).await;
    for (queue, count) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        declare_named(&session.channel, queue, FieldTable::default()).await;
        fill(&session, queue, &vec!["x"; count]).await;
    }
    let lag = |labels: &str| broker.metric(&format!("forebay_queue_lag_messages{{{labels}}}"));
    assert_eq!(lag("vhost=\"/\",queue=\"b\""), 2.0);
    assert_eq!(lag("vhost=\"(others)\",queue=\"(others)\""), 7.0);
    assert_eq!(broker.metric("forebay_queues_without_metrics"), 2.0);
    assert_eq!(broker.metric("rabbitmq_queue_messages"), 10.0);
    let page = http_get(broker.metrics, "/metrics");
    assert!(!page.contains("queue=\"c\""), "{page}");
    let page = http_get(broker.metrics, "/metrics/per-object");
    assert!(page.contains("rabbitmq_queue_messages{vhost=\"/\",queue=\"d\"} 4\n"), "{page}");
}
