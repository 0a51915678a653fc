//! What a client can make the broker keep for it: answers that it does not read, content that it
//! does not finish.

use super::*;
use crate::model::PublishSeq;
use crate::session::limits::{ANSWERS_UNWRITTEN_SIZE_MAX, CONFIRMS_AHEAD_SIZE_MAX};

const BODY_SIZE: usize = 200_000;

fn large_delivery(offset: u64) -> Delivery {
    let message = message("q", &Properties::default(), vec![b'm'; BODY_SIZE].leak());
    Delivery { message, ..delivery(offset) }
}

fn read_all(client: &mut Client) {
    let output = client.connection.output();
    output.advance(output.len());
    client.connection.handle_written();
}

/// Answers every `basic.get` with a large message until the connection takes no more of them;
/// returns how many it took.
fn answer_gets(client: &mut Client) -> u64 {
    for taken in 0.. {
        client.feed(&[]);
        let commands = client.take_commands();
        let gets = commands.iter().filter(|command| matches!(command, Command::Get { .. })).count();
        if gets == 0 {
            return taken;
        }
        assert_eq!(gets, 1);
        let reply = Reply::Got { queue: QueueId(1), delivery: large_delivery(taken), remaining: 9 };
        client.reply(1, Ok(reply));
    }
    unreachable!()
}

#[test]
fn gets_of_a_client_that_does_not_read_stay_unasked() {
    let mut client = Client::open();
    client.feed(&method_bytes(1, BasicGet { queue: name("q"), no_ack: false }).repeat(1000));
    let first = answer_gets(&mut client);
    let size = client.connection.output().len();
    assert!(size <= ANSWERS_UNWRITTEN_SIZE_MAX + 2 * BODY_SIZE, "{first} messages, {size} bytes");
    assert!(client.connection.is_paused());
    // It reads: the rest is asked for, and nothing is lost.
    let mut all = first;
    while all < 1000 {
        read_all(&mut client);
        let more = answer_gets(&mut client);
        assert!(more > 0, "stuck after {all}");
        all += more;
    }
    assert_eq!(all, 1000);
}

#[test]
fn declares_of_a_client_that_does_not_read_stay_unasked() {
    let mut client = Client::open();
    let declare = QueueDeclare { queue: name(&"q".repeat(255)), ..QueueDeclare::default() };
    client.feed(&method_bytes(1, declare).repeat(20_000));
    let mut declared = 0;
    loop {
        client.feed(&[]);
        match client.answered().len() {
            0 => break,
            count => declared += count,
        }
    }
    assert!(declared < 10_000, "{declared}");
    assert!(client.connection.output().len() < ANSWERS_UNWRITTEN_SIZE_MAX + 1000);
}

#[test]
fn confirms_of_a_client_that_does_not_read_become_few() {
    let mut client = Client::open();
    let queue = client.declare("q");
    client.send(1, ConfirmSelect { no_wait: true });
    client.event(deliver(queue, "t", vec![large_delivery(0)]));
    assert!(client.connection.output().len() > CONFIRMS_AHEAD_SIZE_MAX);
    let before = client.connection.output().len();
    for seq in 1..=10_000 {
        client.publish(to("q"), &Properties::default(), b"x");
        let (first, last) = (PublishSeq(seq), PublishSeq(seq));
        client.event(Event::Confirm { channel: ChannelId(1), first, last });
        assert_eq!(client.connection.output().len(), before);
    }
    read_all(&mut client);
    assert_eq!(client.methods(), [(1, BasicAck { delivery_tag: 10_000, multiple: true }.into())]);
}

#[test]
fn confirms_and_refusals_by_turns_stop_the_input_of_a_client_that_does_not_read() {
    let mut client = Client::open();
    let queue = client.declare("q");
    client.send(1, ConfirmSelect { no_wait: true });
    client.event(deliver(queue, "t", vec![large_delivery(0)]));
    let mut published = 0;
    while !client.connection.is_paused() {
        published += 1;
        assert!(published < 200_000);
        client.publish(to("q"), &Properties::default(), b"x");
        let (channel, first) = (ChannelId(1), PublishSeq(published));
        client.event(match published % 2 {
            0 => Event::Confirm { channel, first, last: first },
            _ => Event::Refuse { channel, first, last: first },
        });
    }
    let most = BODY_SIZE + 2 * ANSWERS_UNWRITTEN_SIZE_MAX;
    assert!(client.connection.output().len() < most);
}

/// Whether nothing is kept alive of the buffer in which the client's bytes came, among other things.
fn lets_go_of_buffer(client: &mut Client, bytes: &[u8]) -> bool {
    const SIZE: usize = 100_000;
    let mut input = BytesMut::with_capacity(SIZE);
    input.extend_from_slice(bytes);
    input.extend_from_slice(&method_bytes(2, BasicQos::default()).repeat(1000));
    let (broker, now) = (client.broker(), client.now);
    client.connection.handle_input(now, &broker, &mut input);
    assert!(input.is_empty());
    input.try_reclaim(SIZE)
}

#[test]
fn what_has_come_of_a_publish_keeps_no_receive_buffer_alive() {
    let properties = Properties { content_type: Some(name("text/plain")), ..Default::default() };
    let body = vec![b'b'; 6000];
    // Two body frames, as frames of 4096 bytes are the largest here.
    let whole = publish_bytes(1, &to("queue"), &properties, &body);
    let method = method_bytes(1, to("queue")).len();
    let last_frame = 6000 - (4096 - 8) + 8;
    let first_frame = 4096;
    for begun in [method, whole.len() - last_frame - first_frame, whole.len() - last_frame] {
        let mut client = Client::open();
        client.open_channel(2);
        client.declare("queue");
        assert!(lets_go_of_buffer(&mut client, &whole[..begun]), "{begun} bytes of it");
        client.frames();
        client.feed(&whole[begun..]);
        let commands = client.take_commands();
        let [Command::Publish(publish)] = &commands[..] else { panic!("{commands:?}") };
        let message = &publish.messages[0];
        assert_eq!((message.routing_key(), &message.body()[..]), (&b"queue"[..], &body[..]));
        assert_eq!(message.properties(), properties.encode().as_bytes());
    }
}

#[test]
fn a_transaction_keeps_no_receive_buffer_alive() {
    let mut client = Client::open();
    client.open_channel(2);
    client.declare("queue");
    client.send(1, TxSelect {});
    client.frames();
    let publish = publish_bytes(1, &to("queue"), &Properties::default(), b"x");
    assert!(lets_go_of_buffer(&mut client, &publish));
    client.frames();
    client.send(1, TxCommit {});
    let commands = client.answered();
    let [Command::CommitTransaction { publishes, .. }] = &commands[..] else { panic!() };
    assert_eq!(publishes[0].messages[0].body(), "x");
}

#[test]
fn returned_messages_keep_no_receive_buffer_alive() {
    let mut client = Client::open();
    client.open_channel(2);
    let publish = BasicPublish { mandatory: true, ..to("nowhere") };
    let body = [b'x'; 2000];
    let publish = publish_bytes(1, &publish, &Properties::default(), &body);
    assert!(lets_go_of_buffer(&mut client, &publish));
    let returned =
        |frame: &Frame| matches!(frame, Frame::Body { body: there, .. } if *there == body[..]);
    assert!(client.frames().iter().any(returned));
}

#[test]
fn open_content_counts_for_all_that_it_takes() {
    let mut client = Client::open();
    let value = FieldValue::LongStr(Bytes::from(vec![b'h'; 60_000]));
    let headers: FieldTable = [(name("h"), value)].into_iter().collect();
    let properties = Properties { headers: Some(headers), ..Properties::default() };
    for channel in 2..5 {
        client.open_channel(channel);
        // The method and the header; the frame of the body does not come.
        let publish = publish_bytes(channel, &to("q"), &properties, b"x");
        client.feed(&publish[..publish.len() - 9]);
    }
    assert!(client.methods().is_empty());
    client.event(Event::Blocked { reason: name("memory"), is_memory_short: true });
    assert_eq!(client.outcome().0, "close:506");
}
