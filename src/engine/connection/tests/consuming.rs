use super::*;
use crate::model::{ConsumerNumber, OffsetRange, PublishSeq, RequeueMethod, Settle, Settlement};

fn consume(client: &mut Client, queue: &str, tag: &str) -> Vec<Command> {
    client.send(
        1,
        BasicConsume { queue: name(queue), consumer_tag: name(tag), ..BasicConsume::default() },
    );
    client.answered()
}

fn ack(delivery_tag: u64, multiple: bool) -> BasicAck {
    BasicAck { delivery_tag, multiple }
}

fn settles(client: &mut Client) -> Vec<Settle> {
    let settle = |command| match command {
        Command::Settle(settle) => Some(settle),
        _ => None,
    };
    client.take_commands().into_iter().filter_map(settle).collect()
}

fn run(first: u64, last: u64) -> OffsetRange {
    OffsetRange { level: Level(0), first: Offset(first), last: Offset(last) }
}

#[test]
fn deliveries_carry_tags_and_acks_lead_back_to_places() {
    let mut client = Client::open();
    consume(&mut client, "q", "t");
    assert_eq!(client.methods(), [(1, BasicConsumeOk { consumer_tag: name("t") }.into())]);
    let deliveries = (10..15).map(delivery).collect();
    client.event(deliver(QueueId(3), "t", deliveries));
    let tags: Vec<u64> = client
        .methods()
        .into_iter()
        .map(|(_, method)| match method {
            Method::BasicDeliver(deliver) => deliver.delivery_tag,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(tags, [1, 2, 3, 4, 5]);
    client.take_commands();
    let acks = [ack(1, false), ack(2, false), ack(4, false)];
    client.feed(&acks.map(|ack| method_bytes(1, ack)).concat());
    let settled = settles(&mut client);
    assert_eq!(settled.len(), 1);
    assert_eq!((settled[0].queue, settled[0].settlement), (QueueId(3), Settlement::Ack));
    assert_eq!(settled[0].runs, [run(10, 11), run(13, 13)]);
    client.send(1, ack(5, true));
    assert_eq!(settles(&mut client)[0].runs, [run(12, 12), run(14, 14)]);
    client.send(1, ack(5, true));
    assert_eq!(client.outcome().0, "chclose:406");
}

#[test]
fn a_cumulative_ack_over_two_queues_is_one_request_for_each() {
    let mut client = Client::open();
    for offset in 0..6 {
        client.event(deliver(QueueId(offset % 2), "t", vec![delivery(offset / 2)]));
    }
    client.frames();
    client.take_commands();
    client.send(1, ack(0, true));
    let settled = settles(&mut client);
    let shape: Vec<_> = settled.iter().map(|settle| (settle.queue, settle.runs.clone())).collect();
    assert_eq!(shape, [(QueueId(0), vec![run(0, 2)]), (QueueId(1), vec![run(0, 2)])]);
    client.send(1, ack(0, true));
    assert_eq!(client.outcome().0, "open");
}

#[test]
fn refusals_say_whether_the_message_goes_back() {
    let mut client = Client::open();
    client.event(deliver(QueueId(1), "t", (0..4).map(delivery).collect()));
    client.frames();
    client.take_commands();
    client.send(1, BasicReject { delivery_tag: 1, requeue: true });
    client.send(1, BasicReject { delivery_tag: 2, requeue: false });
    client.send(1, BasicNack { delivery_tag: 3, multiple: true, requeue: true });
    client.send(1, BasicRecover { requeue: true });
    let how: Vec<_> = settles(&mut client).iter().map(|settle| settle.settlement).collect();
    assert_eq!(
        how,
        [
            Settlement::Requeue(RequeueMethod::Reject),
            Settlement::Reject,
            Settlement::Requeue(RequeueMethod::Nack),
            Settlement::Recover
        ]
    );
    assert_eq!(client.methods(), [(1, BasicRecoverOk {}.into())]);
    client.send(1, ack(4, false));
    assert_eq!(client.outcome().0, "chclose:406");
}

#[test]
fn a_delivery_without_ack_can_not_be_acknowledged() {
    let mut client = Client::open();
    let mut event = deliver(QueueId(1), "t", vec![delivery(1)]);
    if let Event::Deliver { no_ack, .. } = &mut event {
        *no_ack = true;
    }
    client.event(event);
    client.send(1, ack(1, false));
    assert_eq!(client.outcome().0, "chclose:406");
}

#[test]
fn failed_deliveries_are_counted_in_a_header() {
    let mut client = Client::open();
    let mut failed = delivery(1);
    failed.failures = 2;
    failed.redelivered = true;
    client.event(deliver(QueueId(1), "t", vec![failed, delivery(2)]));
    let frames = client.frames();
    let header = |index: usize| match &frames[index] {
        Frame::Header { header, .. } => header.properties.decode().headers,
        other => panic!("{other:?}"),
    };
    let headers = header(1).unwrap();
    assert_eq!(headers.get("x-delivery-count"), Some(&FieldValue::I64(2)));
    assert_eq!(header(4), None);
}

#[test]
fn written_deliveries_return_to_the_budget() {
    let mut client = Client::open();
    client.event(deliver(QueueId(1), "t", vec![delivery(1), delivery(2)]));
    assert!(client.take_commands().is_empty());
    client.frames();
    let commands = client.take_commands();
    let expected = 2 * delivery(1).budget_size();
    assert!(
        matches!(commands[..], [Command::DeliveriesWritten { bytes }] if bytes == expected),
        "{commands:?}"
    );
    client.frames();
    assert!(client.take_commands().is_empty());
}

#[test]
fn tags_are_made_up_when_none_is_given_and_never_used_twice() {
    let mut client = Client::open();
    consume(&mut client, "q", "");
    consume(&mut client, "q", "");
    let tags: Vec<_> = client.methods().into_iter().map(|(_, method)| method).collect();
    let [Method::BasicConsumeOk(first), Method::BasicConsumeOk(second)] = &tags[..] else {
        panic!("{tags:?}")
    };
    assert!(first.consumer_tag.as_str().unwrap().starts_with("amq.ctag-"));
    assert_eq!(first.consumer_tag.len(), "amq.ctag-".len() + 22);
    assert_ne!(first, second);
    let again = first.consumer_tag.to_string();
    consume(&mut client, "q", &again);
    assert_eq!(client.outcome().0, "close:530");
}

#[test]
fn a_cancelled_consumer_frees_its_tag() {
    let mut client = Client::open();
    consume(&mut client, "q", "t");
    client.frames();
    for no_wait in [true, false] {
        client.send(1, BasicCancel { consumer_tag: name("t"), no_wait });
        let commands = client.answered();
        assert_eq!(matches!(commands[..], [Command::Cancel { .. }]), no_wait);
    }
    assert_eq!(client.methods(), [(1, BasicCancelOk { consumer_tag: name("t") }.into())]);
    consume(&mut client, "q", "t");
    assert_eq!(client.methods().len(), 1);
}

#[test]
fn only_who_understands_it_is_told_that_a_queue_is_gone() {
    for (properties, told) in [(client_properties("test"), 1), (FieldTable::new(), 0)] {
        let mut client = Client::connected(&properties, 0, 0, 0);
        client.open_channel(1);
        consume(&mut client, "q", "t");
        client.frames();
        for _ in 0..2 {
            let number = ConsumerNumber(1);
            client.event(Event::ConsumerCancelled { channel: ChannelId(1), number });
        }
        assert_eq!(client.methods().len(), told);
    }
}

#[test]
fn a_late_notice_leaves_a_new_consumer_alone_that_has_the_same_tag() {
    let mut client = Client::connected(&client_properties("test"), 0, 0, 0);
    client.open_channel(1);
    let commands = consume(&mut client, "q", "t");
    let Some(Command::Subscribe(first)) = commands.first() else { panic!("{commands:?}") };
    let number = first.number;
    client.send(1, BasicCancel { consumer_tag: name("t"), no_wait: false });
    client.answered();
    consume(&mut client, "r", "t");
    client.frames();
    client.event(Event::ConsumerCancelled { channel: ChannelId(1), number });
    assert!(client.methods().is_empty());
    // It can still be cancelled.
    client.send(1, BasicCancel { consumer_tag: name("t"), no_wait: false });
    assert!(matches!(client.answered()[..], [Command::Cancel { .. }]));
}

#[test]
fn the_shard_hears_of_the_next_use_of_a_channel_that_is_overdue() {
    let mut client = Client::connected(&client_properties("test"), 0, 0, 0);
    client.open_channel(1);
    client.open_channel(2);
    client.event(Event::Overdue { channel: ChannelId(1) });
    client.send(2, ConfirmSelect { no_wait: true });
    assert!(client.take_commands().is_empty());
    for _ in 0..2 {
        client.send(1, ConfirmSelect { no_wait: true });
    }
    assert!(matches!(client.take_commands()[..], [Command::Heard { channel: ChannelId(1) }]));
}

fn qos(product: &'static str, global: bool) -> Vec<Command> {
    let mut client = Client::connected(&client_properties(product), 0, 0, 0);
    client.open_channel(1);
    client.send(1, BasicQos { prefetch_size: 0, prefetch_count: 9, global });
    assert_eq!(client.methods(), [(1, BasicQosOk {}.into())]);
    let mut commands = client.take_commands();
    commands.extend(consume(&mut client, "q", "t"));
    commands
}

#[test]
fn prefetch_is_for_new_consumers_or_for_the_channel() {
    let [Command::Subscribe(subscribe)] = &qos("test", false)[..] else { panic!() };
    assert_eq!(subscribe.prefetch, 9);
    let commands = qos("test", true);
    let [Command::SetPrefetch { count: 9, .. }, Command::Subscribe(subscribe)] = &commands[..]
    else {
        panic!("{commands:?}")
    };
    assert_eq!(subscribe.prefetch, 0);
}

#[test]
fn for_celery_prefetch_is_for_all_consumers_of_the_channel_together() {
    let commands = qos("py-amqp", false);
    let [Command::SetPrefetch { count: 9, .. }, Command::Subscribe(subscribe)] = &commands[..]
    else {
        panic!("{commands:?}")
    };
    assert_eq!(subscribe.prefetch, 0);
}

/// nameko sets a prefetch for each of its consumers before the first consumes. All of them together
/// would stand still once its workers wait for replies that its last consumer is to take.
#[test]
fn for_kombu_prefetch_that_is_said_again_before_the_first_consumer_is_for_each() {
    let mut client = Client::connected(&client_properties("py-amqp"), 0, 0, 0);
    client.open_channel(1);
    let qos = |count| BasicQos { prefetch_size: 0, prefetch_count: count, global: false };
    client.send(1, qos(9));
    client.send(1, qos(9));
    let commands = client.take_commands();
    let Some(Command::SetPrefetch { count: 0, .. }) = commands.last() else {
        panic!("the channel still has a limit: {commands:?}")
    };
    for tag in ["first", "second"] {
        let commands = consume(&mut client, "q", tag);
        let [Command::Subscribe(subscribe)] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!(subscribe.prefetch, 9);
    }
    // It stays so: what comes later is for consumers that come later.
    client.send(1, qos(3));
    let commands = consume(&mut client, "q", "third");
    let [Command::Subscribe(subscribe)] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(subscribe.prefetch, 3);
}

/// Celery raises its prefetch while tasks with an ETA wait in the worker.
#[test]
fn for_celery_prefetch_that_is_said_again_after_the_first_consumer_is_for_the_channel() {
    let mut client = Client::connected(&client_properties("py-amqp"), 0, 0, 0);
    client.open_channel(1);
    for count in [4, 5, 6] {
        client.send(1, BasicQos { prefetch_size: 0, prefetch_count: count, global: false });
        let commands = client.take_commands();
        let [Command::SetPrefetch { count: set, .. }] = &commands[..] else {
            panic!("{commands:?}")
        };
        assert_eq!(*set, count);
        consume(&mut client, "q", &format!("t{count}"));
        // A worker may give up every queue that it consumes (`cancel_consumer`).
        let consumer_tag = name(&format!("t{count}"));
        client.send(1, BasicCancel { consumer_tag, no_wait: false });
        client.answered();
    }
}

#[test]
fn get_gives_a_message_or_none() {
    let mut client = Client::open();
    client.send(1, BasicGet { queue: name("q"), no_ack: false });
    client.answered();
    assert_eq!(client.methods(), [(1, BasicGetEmpty {}.into())]);
    client.send(1, BasicGet { queue: name("q"), no_ack: false });
    client.take_commands();
    let (queue, delivery) = (QueueId(5), delivery(9));
    client.reply(1, Ok(Reply::Got { queue, delivery, remaining: 4 }));
    let frames = client.frames();
    let [Frame::Method { method: Method::BasicGetOk(ok), .. }, _, Frame::Body { body, .. }] =
        &frames[..]
    else {
        panic!("{frames:?}")
    };
    assert_eq!((ok.delivery_tag, ok.message_count, body), (1, 4, &Bytes::from("hello")));
    client.take_commands();
    client.send(1, ack(1, false));
    assert_eq!(settles(&mut client)[0].runs, [run(9, 9)]);
}

fn extension(tag: impl Into<FieldValue>, lease: impl Into<FieldValue>) -> Properties {
    let headers = [(name("x-delivery-tag"), tag.into()), (name("x-lease"), lease.into())];
    Properties { headers: Some(headers.into_iter().collect()), ..Properties::default() }
}

#[test]
fn an_extension_names_a_delivery_that_stays_and_is_answered_by_the_shard() {
    let mut client = Client::open();
    client.event(deliver(QueueId(3), "t", vec![delivery(7), delivery(9)]));
    client.send(1, ConfirmSelect { no_wait: false });
    client.frames();
    client.take_commands();
    for _ in 0..2 {
        client.publish(to("amq.forebay.extend"), &extension(2_u8, 60_000_i64), b"");
    }
    let extensions = client.take_commands().into_iter().map(|command| match command {
        Command::Extend(extend) => {
            (extend.queue, extend.position.offset, extend.lease, extend.confirm)
        }
        other => panic!("{other:?}"),
    });
    let expected = |seq| (QueueId(3), Offset(9), 60_000, Some(PublishSeq(seq)));
    assert_eq!(extensions.collect::<Vec<_>>(), [expected(1), expected(2)]);
    let (channel, first, last) = (ChannelId(1), PublishSeq(2), PublishSeq(2));
    client.event(Event::Refuse { channel, first, last });
    let nack = BasicNack { delivery_tag: 2, multiple: false, requeue: false };
    assert_eq!(client.methods(), [(1, nack.into())]);
    client.send(1, ack(2, false));
    assert_eq!(settles(&mut client)[0].runs, [run(9, 9)]);
}

#[test]
fn an_extension_that_says_too_little_or_too_much_closes_the_channel() {
    for (key, properties, body, says) in [
        ("amq.forebay.extend", extension(2_u8, 1_i64), "", "unknown delivery tag 2"),
        ("amq.forebay.extend", extension(1_u8, 0_i64), "", "'x-lease' is '0'"),
        ("amq.forebay.extend", extension(1_u8, i64::MAX), "", "expected an integer from 1 to"),
        ("amq.forebay.extend", extension("1", 1_i64), "", "'x-delivery-tag' is '1' of type"),
        ("amq.forebay.extend", Properties::default(), "", "'x-delivery-tag' is missing"),
        ("amq.forebay.extend", extension(1_u8, 1_i64), "x", "1 bytes of body; expected none"),
        ("amq.forebay.forget", extension(1_u8, 1_i64), "", "'amq.forebay.forget'; expected"),
    ] {
        let mut client = Client::open();
        client.event(deliver(QueueId(3), "t", vec![delivery(7)]));
        client.frames();
        client.publish(to(key), &properties, body.as_bytes());
        let (outcome, text) = client.outcome();
        assert_eq!(outcome, "chclose:406");
        assert!(text.contains(says), "{text}");
    }
}
