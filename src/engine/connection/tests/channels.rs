use super::*;

fn flow(active: bool) -> ChannelFlow {
    ChannelFlow { active }
}

#[test]
fn a_fault_closes_only_its_channel_and_what_is_on_its_way_is_dropped() {
    let mut client = Client::open();
    client.open_channel(2);
    let missing = BasicPublish { exchange: name("nox"), ..BasicPublish::default() };
    client.publish(missing.clone(), &Properties::default(), b"x");
    let methods = client.methods();
    let [(1, Method::ChannelClose(close))] = &methods[..] else { panic!("{methods:?}") };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (404, 60, 40));
    assert_eq!(close.reply_text, "NOT_FOUND - no exchange 'nox' in vhost '/'");

    // The shard is asked first, then the rest of the input is read.
    client.publish(missing, &Properties::default(), &[b'y'; 10_000]);
    client.send(1, QueueDeclare { queue: name("q"), ..QueueDeclare::default() });
    client.send(2, BasicQos::default());
    assert!(client.frames().is_empty());
    let commands = client.answered();
    assert!(matches!(commands[..], [Command::CloseChannel { channel: ChannelId(1), .. }]));
    assert_eq!(client.methods(), [(2, BasicQosOk {}.into())]);

    client.send(1, ChannelCloseOk {});
    client.open_channel(1);
    client.send(1, flow(true));
    assert_eq!(client.methods(), [(1, ChannelFlowOk { active: true }.into())]);
}

#[test]
fn a_close_that_crosses_ours_is_answered() {
    let mut client = Client::open();
    client.send(1, BasicAck { delivery_tag: 42, multiple: false });
    client.answered();
    assert_eq!(
        client.outcome(),
        ("chclose:406".to_owned(), "PRECONDITION_FAILED - unknown delivery tag 42".to_owned())
    );
    client.send(1, ChannelClose::default());
    client.send(1, ChannelCloseOk {});
    assert_eq!(client.methods(), [(1, ChannelCloseOk {}.into())]);
    client.open_channel(1);
}

#[test]
fn a_channel_that_the_client_closed_is_gone_when_close_ok_arrives() {
    let mut client = Client::open();
    client.send(1, ChannelClose::default());
    assert!(client.frames().is_empty());
    assert_eq!(client.connection.count_channels(), 0);
    client.answered();
    assert_eq!(client.methods(), [(1, ChannelCloseOk {}.into())]);
    client.open_channel(1);
}

#[test]
fn confirms_leave_before_the_channel_does() {
    let mut client = Client::open();
    client.send(1, ConfirmSelect { no_wait: true });
    client.publish(to("nowhere"), &Properties::default(), b"x");
    client.send(1, ChannelClose::default());
    client.answered();
    let ack = BasicAck { delivery_tag: 1, multiple: false };
    assert_eq!(client.methods(), [(1, ack.into()), (1, ChannelCloseOk {}.into())]);
}

#[test]
fn news_for_a_closed_channel_is_dropped_but_its_bytes_return_to_the_budget() {
    let mut client = Client::open();
    client.send(1, ChannelClose::default());
    let size = delivery(1).budget_size();
    client.event(deliver(QueueId(1), "t", vec![delivery(1)]));
    client.answered();
    assert_eq!(client.methods(), [(1, ChannelCloseOk {}.into())]);
    let commands = client.take_commands();
    assert!(
        matches!(commands[..], [Command::DeliveriesWritten { bytes }] if bytes == size),
        "{commands:?}"
    );
}

#[test]
fn an_answer_that_is_a_fault_closes_the_channel_in_the_name_of_the_request() {
    let mut client = Client::open();
    client.send(1, QueueDeclare { queue: name("no"), passive: true, ..QueueDeclare::default() });
    client.answered();
    let methods = client.methods();
    let [(1, Method::ChannelClose(close))] = &methods[..] else { panic!("{methods:?}") };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (404, 50, 10));
}

#[test]
fn channels_beyond_the_limit_are_refused() {
    let mut client = Client::connected(&client_properties("test"), 5, 131_072, 0);
    // Any number is taken: RabbitMQ counts channels, and clients rely on it.
    for channel in [65_535, 1, 2, 3, 4] {
        client.open_channel(channel);
    }
    client.send(6, ChannelOpen {});
    assert_eq!(client.outcome().0, "close:530");
}

#[test]
fn a_slow_reader_of_answers_is_not_read_from() {
    let mut client = Client::open();
    let flood = method_bytes(1, BasicQos::default()).repeat(200_000);
    client.feed(&flood);
    assert!(client.connection.is_paused());
    assert!(client.connection.output().len() < 3 << 20);
    let mut answers = client.frames().len();
    while !client.input.is_empty() {
        client.feed(&[]);
        answers += client.frames().len();
    }
    assert_eq!(answers, 200_000);
}

#[test]
fn an_empty_name_means_the_queue_last_declared() {
    let mut client = Client::open();
    client.send(1, QueueDeclare::default());
    client.answered();
    client.send(1, QueueBind { exchange: name("amq.direct"), ..QueueBind::default() });
    let commands = client.answered();
    let [Command::Topology { request: TopologyRequest::Bind(binding), .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    let crate::model::Destination::Queue(queue) = &binding.destination else { panic!() };
    assert!(queue.as_bytes().starts_with(b"amq.gen-"), "{queue}");
    assert_eq!(*queue, binding.routing_key);
    client.send(1, QueuePurge::default());
    client.send(1, QueueDelete { no_wait: true, ..QueueDelete::default() });
    client.answered();
    let methods = client.methods();
    assert!(matches!(
        &methods[..],
        [
            (1, Method::QueueDeclareOk(_)),
            (1, Method::QueueBindOk(_)),
            (1, Method::QueuePurgeOk(QueuePurgeOk { message_count: 3 })),
        ]
    ));
}
