//! Bytes that break the rules, with the outcome that RabbitMQ 3.10 gives or, where it closes the
//! socket or stays silent, a clear close.

use super::*;
use forebay_wire::limits;

/// A frame by hand.
fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes.push(0xce);
    bytes
}

fn method(channel: u16, class: u16, id: u16, arguments: &[u8]) -> Vec<u8> {
    let payload = [&class.to_be_bytes()[..], &id.to_be_bytes(), arguments].concat();
    frame(1, channel, &payload)
}

fn header(channel: u16, class: u16, size: u64) -> Vec<u8> {
    let payload = [&class.to_be_bytes()[..], &[0, 0], &size.to_be_bytes(), &[0, 0]].concat();
    frame(2, channel, &payload)
}

fn begun() -> Vec<u8> {
    method_bytes(1, to("x")).to_vec()
}

fn begun_with(size: u64) -> Vec<u8> {
    [begun(), header(1, 60, size)].concat()
}

fn check(cases: Vec<(&str, Vec<u8>, &str)>) {
    for (what, bytes, expected) in cases {
        let mut client = Client::open();
        client.feed(&bytes);
        client.answered();
        assert_eq!(client.outcome().0, expected, "{what}");
        // Whatever was wrong, the shard hears of the end.
        client.connection.handle_end_of_input(client.now);
        client.feed(&[]);
        client.answered();
        assert!(client.connection.is_finished(), "{what}");
    }
}

#[test]
fn frames_that_are_none() {
    let mut bad_end = method(1, 60, 10, &[0; 7]);
    *bad_end.last_mut().unwrap() = 0xcd;
    check(vec![
        ("length of 4 GiB", vec![1, 0, 1, 255, 255, 255, 255], "close:501"),
        ("bad frame end", bad_end, "close:501"),
        ("unknown type", frame(9, 1, b"abc"), "close:501"),
        ("zeroes", vec![0; 64], "close:501"),
        ("heartbeat on channel 1", frame(8, 1, b""), "close:505"),
        ("heartbeat with payload", frame(8, 0, b"abc"), "close:501"),
        ("empty method", frame(1, 1, b""), "close:501"),
        ("three bytes of method", frame(1, 1, &[0, 50, 0]), "close:501"),
        ("short string cut off", method(1, 50, 10, b"\0\0\xc8abc"), "close:501"),
        ("missing arguments", method(1, 50, 10, b"\0\0"), "close:501"),
        ("garbage after arguments", method(1, 60, 10, b"\0\0\0\0\0\0\0garbage"), "close:501"),
        ("short content header", [begun(), frame(2, 1, &[0, 60, 0, 0])].concat(), "close:501"),
    ]);
}

#[test]
fn frames_larger_than_agreed() {
    let mut client = Client::connected(&client_properties("test"), 0, 4096, 0);
    client.open_channel(1);
    client.feed(&frame(3, 1, &[b'x'; 6000]));
    assert_eq!(client.outcome().0, "close:501");
}

#[test]
fn methods_where_they_do_not_belong() {
    let declare = b"\0\0\x01q\0\0\0\0\0";
    check(vec![
        ("method on an unopened channel", method(7, 50, 10, declare), "close:504"),
        ("close-ok on an unopened channel", method(9, 20, 41, b""), "close:504"),
        ("body on an unopened channel", frame(3, 7, b"abc"), "close:505"),
        ("channel opened twice", method(1, 20, 10, b"\0"), "close:504"),
        ("close-ok that nobody waits for", method(1, 20, 41, b""), "close:503"),
        ("unknown class", method(1, 99, 10, b""), "close:540"),
        ("unknown method", method(1, 50, 99, b""), "close:540"),
        ("a broker's method", method(1, 50, 11, b"\x01q\0\0\0\0\0\0\0\0"), "close:503"),
        ("cancel-ok", method(1, 60, 31, b"\x01t"), "close:503"),
        ("flow-ok", method(1, 20, 21, b"\x01"), "close:503"),
        ("declare on channel 0", method(0, 50, 10, declare), "close:504"),
        ("channel.open on channel 0", method(0, 20, 10, b"\0"), "close:504"),
        ("connection.close on channel 1", method(1, 10, 50, b"\0\xc8\0\0\0\0\0"), "close:503"),
        ("close-ok on channel 0", method(0, 10, 51, b""), "close:504"),
        ("second open", method(0, 10, 40, b"\x01/\0\0"), "close:504"),
    ]);
    let mut client = Client::open();
    client.send(0, start_ok(&client_properties("test"), "PLAIN", b"\0guest\0guest"));
    assert_eq!(client.outcome().0, "close:504");
}

#[test]
fn content_out_of_order() {
    let qos = method(1, 60, 10, &[0; 7]);
    check(vec![
        ("header without a method", header(1, 60, 3), "close:505"),
        ("body without a header", frame(3, 1, b"abc"), "close:505"),
        ("body after the method", [begun(), frame(3, 1, b"abc")].concat(), "close:505"),
        ("method after the method", [begun(), qos.clone()].concat(), "close:505"),
        ("method after the header", [begun_with(10), qos].concat(), "close:505"),
        ("two headers", [begun_with(10), header(1, 60, 10)].concat(), "close:505"),
        ("header of another class", [begun(), header(1, 50, 3)].concat(), "close:505"),
        ("header on channel 0", header(0, 60, 3), "close:505"),
        ("body on channel 0", frame(3, 0, b"abc"), "close:505"),
        ("too long a body", [begun_with(3), frame(3, 1, b"abcdef")].concat(), "close:501"),
        (
            "too long a second body",
            [begun_with(10), frame(3, 1, b"abcdef"), frame(3, 1, b"abcdef")].concat(),
            "close:501",
        ),
        ("too large a message", begun_with(1 << 63), "chclose:406"),
        (
            "an empty body frame",
            [begun_with(3), frame(3, 1, b""), frame(3, 1, b"abc")].concat(),
            "open",
        ),
    ]);
}

#[test]
fn content_faults_name_the_publish() {
    let mut client = Client::open();
    client.feed(&[begun(), method(1, 60, 10, &[0; 7])].concat());
    let methods = client.methods();
    let [(0, Method::ConnectionClose(close))] = &methods[..] else { panic!("{methods:?}") };
    assert_eq!((close.class_id, close.method_id), (60, 40));
    assert_eq!(
        close.reply_text,
        "UNEXPECTED_FRAME - expected content header for class 60, got a method frame instead"
    );
}

#[test]
fn interleaved_channels_are_legal() {
    let mut client = Client::open();
    client.declare("q");
    client.open_channel(2);
    let mut bytes = Vec::new();
    for channel in [1, 2] {
        bytes.extend(method_bytes(channel, to("q")));
    }
    for channel in [2, 1] {
        bytes.extend(header(channel, 60, 6));
    }
    for _ in 0..3 {
        bytes.extend([frame(3, 1, b"ab"), frame(3, 2, b"ab")].concat());
    }
    client.feed(&bytes);
    let commands = client.take_commands();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let Command::Publish(publish) = command else { panic!("{command:?}") };
        assert_eq!(publish.messages[0].body(), "ababab");
    }
}

#[test]
fn requests_that_break_a_rule() {
    let bytes = |method: Method| method_bytes(1, method).to_vec();
    let twice = |a: Method, b: Method| [bytes(a), bytes(b)].concat();
    let ack = |delivery_tag, multiple| bytes(BasicAck { delivery_tag, multiple }.into());
    let internal = [
        bytes(
            ExchangeDeclare {
                exchange: name("i"),
                kind: name("direct"),
                internal: true,
                ..ExchangeDeclare::default()
            }
            .into(),
        ),
        publish_bytes(
            1,
            &BasicPublish { exchange: name("i"), ..BasicPublish::default() },
            &Properties::default(),
            b"x",
        )
        .to_vec(),
    ]
    .concat();
    let unnamed = Method::from(BasicConsume::default());
    let size = BasicQos { prefetch_size: 100, prefetch_count: 0, global: false };
    check(vec![
        ("unknown tag", ack(42, false), "chclose:406"),
        ("tag 0", ack(0, false), "chclose:406"),
        ("cumulative beyond", ack(5, true), "chclose:406"),
        ("all of none", ack(0, true), "open"),
        ("internal exchange", internal, "chclose:403"),
        ("immediate", bytes(BasicPublish { immediate: true, ..to("q") }.into()), "close:540"),
        ("prefetch size", bytes(size.into()), "close:540"),
        ("flow off", bytes(ChannelFlow { active: false }.into()), "close:540"),
        ("flow on", bytes(ChannelFlow { active: true }.into()), "open"),
        ("recover to the same", bytes(BasicRecover { requeue: false }.into()), "close:540"),
        ("commit without select", bytes(TxCommit {}.into()), "chclose:406"),
        ("rollback without select", bytes(TxRollback {}.into()), "chclose:406"),
        (
            "tx on confirms",
            twice(ConfirmSelect::default().into(), TxSelect {}.into()),
            "chclose:406",
        ),
        (
            "confirms on tx",
            twice(TxSelect {}.into(), ConfirmSelect::default().into()),
            "chclose:406",
        ),
        ("no queue declared", bytes(unnamed), "chclose:404"),
        ("no queue to bind", bytes(QueueBind::default().into()), "chclose:404"),
        (
            "passive without a name",
            bytes(QueueDeclare { passive: true, ..QueueDeclare::default() }.into()),
            "chclose:404",
        ),
        ("cancel of an unknown tag", bytes(BasicCancel::default().into()), "open"),
        (
            "unknown exchange type",
            bytes(
                ExchangeDeclare { exchange: name("x"), kind: name("?"), ..Default::default() }
                    .into(),
            ),
            "close:503",
        ),
    ]);
}

/// Two messages of the largest size, and a little more.
fn too_much() -> impl Iterator<Item = Vec<u8>> {
    const PIECE: usize = 8 << 20;
    let pieces = 2 * limits::MESSAGE_SIZE_MAX as usize / PIECE;
    (0..=pieces).map(|_| vec![7; PIECE])
}

#[test]
fn a_transaction_without_end_is_ended() {
    let mut client = Client::open();
    client.declare("q");
    client.send(1, TxSelect {});
    client.frames();
    for body in too_much() {
        assert!(!client.connection.is_finished());
        client.publish(to("q"), &Properties::default(), &body);
    }
    let (outcome, text) = client.outcome();
    assert_eq!(outcome, "close:506");
    assert!(text.contains("not committed"), "{text}");
    // What is committed or undone counts no longer, on whichever channel it was.
    let mut client = Client::open();
    client.declare("q");
    client.send(1, TxSelect {});
    for body in too_much() {
        client.publish(to("q"), &Properties::default(), &body);
        client.send(1, TxRollback {});
        client.answered();
    }
    assert!(
        client.methods().iter().all(|(_, method)| !matches!(method, Method::ConnectionClose(_)))
    );
}

#[test]
fn bodies_that_never_end_are_ended() {
    let mut client = Client::open();
    let mut channels = 2..;
    let mut outcome = String::new();
    for _ in 0..3 {
        let channel = channels.next().unwrap();
        client.open_channel(channel);
        client.send(channel, to("x"));
        client.feed(&header(channel, 60, limits::MESSAGE_SIZE_MAX));
        for _ in 0..limits::MESSAGE_SIZE_MAX / 131_000 {
            client.feed(&frame(3, channel, &vec![7; 131_000]));
        }
        outcome = client.outcome().0;
    }
    assert_eq!(outcome, "close:506");
}

#[test]
fn whoever_keeps_much_of_memory_that_is_short_is_closed() {
    for (is_memory_short, body, expected) in [
        (true, vec![7; 200_000], "close:506"),
        (true, vec![7; 100], "open"),
        (false, vec![7; 200_000], "open"),
    ] {
        let mut client = Client::open();
        client.declare("q");
        client.send(1, TxSelect {});
        client.publish(to("q"), &Properties::default(), &body);
        client.frames();
        client.event(Event::Blocked { reason: name("low"), is_memory_short });
        assert_eq!(client.outcome().0, expected, "{is_memory_short} {}", body.len());
    }
}
