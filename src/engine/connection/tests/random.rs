//! Anything in any order: nothing panics, and how the bytes are cut makes no difference.

use super::*;
use proptest::prelude::*;

fn short() -> impl Strategy<Value = ShortStr> {
    prop_oneof![
        Just(name("")),
        Just(name("q")),
        Just(name("t")),
        Just(name("amq.rabbitmq.reply-to")),
        Just(name("amq.topic")),
    ]
}

fn step() -> impl Strategy<Value = Vec<u8>> {
    let channel = prop_oneof![8 => Just(1u16), 3 => Just(2), 1 => Just(0)];
    let publish = (short(), short(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..6000))
        .prop_map(|(exchange, routing_key, mandatory, body)| {
            let exchange = if exchange == "amq.topic" { exchange } else { name("") };
            let properties =
                Properties { reply_to: Some(routing_key.clone()), ..Default::default() };
            let publish = BasicPublish { exchange, routing_key, mandatory, immediate: false };
            publish_bytes(1, &publish, &properties, &body).to_vec()
        });
    let bytes = |(channel, method): (u16, Method)| method_bytes(channel, method).to_vec();
    prop_oneof![
        4 => publish,
        12 => (channel, method()).prop_map(bytes),
        1 => prop::collection::vec(any::<u8>(), 1..30),
    ]
}

fn method() -> impl Strategy<Value = Method> {
    let flags = any::<(bool, bool)>();
    let tag = 0u64..6;
    prop_oneof![
        4 => Just(ChannelOpen {}.into()),
        1 => Just(ChannelClose::default().into()),
        2 => Just(ChannelCloseOk {}.into()),
        4 => (short(), flags).prop_map(|(queue, (passive, no_wait))| {
            QueueDeclare { queue, passive, no_wait, ..QueueDeclare::default() }.into()
        }),
        3 => (short(), short(), flags).prop_map(
            |(queue, consumer_tag, (no_ack, no_wait))| {
                BasicConsume { queue, consumer_tag, no_ack, no_wait, ..Default::default() }.into()
            }
        ),
        1 => (short(), any::<bool>())
            .prop_map(|(consumer_tag, no_wait)| BasicCancel { consumer_tag, no_wait }.into()),
        3 => (tag.clone(), any::<bool>())
            .prop_map(|(delivery_tag, multiple)| BasicAck { delivery_tag, multiple }.into()),
        2 => (tag, flags).prop_map(|(delivery_tag, (multiple, requeue))| {
            BasicNack { delivery_tag, multiple, requeue }.into()
        }),
        1 => short().prop_map(|queue| BasicGet { queue, no_ack: false }.into()),
        1 => Just(BasicRecover { requeue: true }.into()),
        1 => Just(ConfirmSelect::default().into()),
        1 => Just(TxSelect {}.into()),
        1 => Just(TxCommit {}.into()),
        1 => Just(TxRollback {}.into()),
        1 => Just(BasicQos::default().into()),
        1 => short().prop_map(|queue| QueueDelete { queue, ..QueueDelete::default() }.into()),
        1 => Just(ConnectionClose::default().into()),
    ]
}

/// Answers all, delivers something now and then, gives all frames.
fn serve(client: &mut Client, deliveries: u64) -> Vec<Frame> {
    let mut written = BytesMut::new();
    client.answered();
    for offset in 0..deliveries {
        client.event(deliver(QueueId(offset % 2), "t", vec![delivery(offset)]));
    }
    written.extend(bytes(client.connection.output()));
    client.connection.handle_written();
    decode_all(&mut written)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_sequence_of_methods_is_survived(
        steps in prop::collection::vec((step(), 0u64..3), 1..40),
    ) {
        let mut client = Client::open();
        for (bytes, deliveries) in steps {
            client.feed(&bytes);
            serve(&mut client, deliveries);
        }
        client.connection.handle_end_of_input(client.now);
        client.feed(&[]);
        client.answered();
        prop_assert!(client.connection.is_finished());
    }

    #[test]
    fn how_the_bytes_are_cut_makes_no_difference(
        steps in prop::collection::vec(step(), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = steps.concat();
        let cut = cut.index(bytes.len());
        let mut whole = Client::open();
        whole.feed(&bytes);
        let expected = serve(&mut whole, 0);
        let mut parts = Client::open();
        parts.feed(&bytes[..cut]);
        parts.answered();
        parts.feed(&bytes[cut..]);
        let frames = serve(&mut parts, 0);
        prop_assert_eq!(without_acks(frames), without_acks(expected));
    }
}

/// Confirms are as coarse as the batches that they answer.
fn without_acks(mut frames: Vec<Frame>) -> Vec<Frame> {
    frames.retain(|frame| !matches!(frame, Frame::Method { method: Method::BasicAck(_), .. }));
    frames
}
