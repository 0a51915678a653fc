use super::*;
use crate::session::limits::REPLIES_UNREPORTED_SIZE_MAX;

const QUEUE: &str = "amq.rabbitmq.reply-to";

fn consume(client: &mut Client, no_ack: bool) {
    client.send(
        1,
        BasicConsume {
            queue: name(QUEUE),
            consumer_tag: name("answers"),
            no_ack,
            ..BasicConsume::default()
        },
    );
}

fn asking() -> Properties {
    Properties { reply_to: Some(name(QUEUE)), ..Properties::default() }
}

/// A client that has asked, and the address it gave.
fn asked() -> (Client, ShortStr) {
    let mut client = Client::open();
    client.declare("requests");
    consume(&mut client, true);
    client.publish(to("requests"), &asking(), b"?");
    let commands = client.take_commands();
    let [Command::AwaitReplies { token: Some(_), .. }, Command::Publish(publish)] = &commands[..]
    else {
        panic!("{commands:?}")
    };
    let properties = RawProperties::parse(publish.messages[0].properties_bytes()).unwrap();
    client.frames();
    (client, properties.reply_to().unwrap())
}

#[test]
fn an_answer_to_the_address_in_a_request_reaches_the_one_who_asked() {
    let (mut client, address) = asked();
    let text = address.to_string();
    assert!(text.starts_with("amq.rabbitmq.reply-to."), "{text}");
    client.publish(BasicPublish { mandatory: true, ..to(&text) }, &Properties::default(), b"!");
    let commands = client.take_commands();
    let [Command::DirectReply(reply)] = &commands[..] else { panic!("{commands:?}") };
    let (key, token, message) = (reply.to.key, reply.to.token, reply.message.clone());
    assert_eq!((key.connection, key.channel), (ConnectionId(7), ChannelId(1)));
    assert!(reply.mandatory);
    client.event(Event::DirectReply { channel: ChannelId(1), token, message });
    let frames = client.frames();
    let [Frame::Method { method: Method::BasicDeliver(deliver), .. }, _, Frame::Body { body, .. }] =
        &frames[..]
    else {
        panic!("{frames:?}")
    };
    assert_eq!((&deliver.consumer_tag, body), (&name("answers"), &Bytes::from("!")));
}

#[test]
fn an_answer_to_a_guessed_or_old_address_is_dropped() {
    let (mut client, address) = asked();
    let right = ReplyAddress::parse(&address).unwrap().token;
    for (token, cancels) in [(right ^ 1, false), (right, true)] {
        if cancels {
            client.send(1, BasicCancel { consumer_tag: name("answers"), no_wait: true });
            consume(&mut client, true);
            client.frames();
        }
        let message = message("any", &Properties::default(), b"!");
        client.event(Event::DirectReply { channel: ChannelId(1), token, message });
        assert!(client.frames().is_empty());
    }
}

#[test]
fn the_address_can_be_asked_for() {
    let (mut client, address) = asked();
    for queue in [address, name(QUEUE)] {
        client.send(1, QueueDeclare { queue: queue.clone(), passive: true, ..Default::default() });
        client.answered();
        let ok = QueueDeclareOk { queue, message_count: 0, consumer_count: 1 };
        assert_eq!(client.methods(), [(1, ok.into())]);
    }
    client.send(
        1,
        QueueDeclare {
            queue: name("amq.rabbitmq.reply-to.bogus"),
            passive: true,
            ..QueueDeclare::default()
        },
    );
    client.answered();
    assert_eq!(client.outcome().0, "chclose:404");
}

#[test]
fn a_made_up_address_is_unroutable() {
    let mut client = Client::open();
    client.send(1, ConfirmSelect { no_wait: true });
    for address in ["amq.rabbitmq.reply-to.bogus", QUEUE] {
        let publish = BasicPublish { mandatory: true, ..to(address) };
        client.publish(publish, &Properties::default(), b"!");
        let methods = client.methods();
        assert!(matches!(methods[..], [(1, Method::BasicReturn(_)), (1, Method::BasicAck(_))]));
    }
    assert!(client.take_commands().is_empty());
}

#[test]
fn the_pseudo_queue_refuses_what_it_can_not_do() {
    let refused = |client: &mut Client, text: &str| {
        assert_eq!(
            client.outcome(),
            ("chclose:406".to_owned(), format!("PRECONDITION_FAILED - {text}"))
        );
    };
    let mut client = Client::open();
    consume(&mut client, false);
    refused(&mut client, "reply consumer cannot acknowledge");

    let mut client = Client::open();
    consume(&mut client, true);
    consume(&mut client, true);
    refused(&mut client, "reply consumer already set");

    let mut client = Client::open();
    client.publish(to("q"), &asking(), b"?");
    refused(&mut client, "fast reply consumer does not exist");
}

#[test]
fn the_shard_learns_what_has_left_for_the_socket() {
    static BODY: [u8; 1 << 20] = [7; 1 << 20];
    let (mut client, address) = asked();
    client.take_commands();
    let mut reported = 0;
    let mut sent = 0;
    for _ in 0..10 {
        let message = message(&address.to_string(), &Properties::default(), &BODY);
        sent += message.size();
        let token = ReplyAddress::parse(&address).unwrap().token;
        client.event(Event::DirectReply { channel: ChannelId(1), token, message });
        client.frames();
        for command in client.take_commands() {
            let Command::RepliesWritten { bytes } = command else { panic!("{command:?}") };
            reported += bytes;
        }
        assert!(sent - reported <= REPLIES_UNREPORTED_SIZE_MAX);
    }
}

#[test]
fn an_answer_that_reached_nobody_comes_back_before_it_is_confirmed() {
    let (mut client, address) = asked();
    client.send(1, ConfirmSelect { no_wait: true });
    let publish = BasicPublish { mandatory: true, ..to(&address.to_string()) };
    client.publish(publish, &Properties::default(), b"!");
    let commands = client.take_commands();
    let [Command::DirectReply(reply)] = &commands[..] else { panic!("{commands:?}") };
    let (message, first) = (reply.message.clone(), reply.confirm.unwrap());
    assert!(client.methods().is_empty());
    client.event(Event::Returned { channel: ChannelId(1), message });
    client.event(Event::Confirm { channel: ChannelId(1), first, last: first });
    let methods = client.methods();
    let [(1, Method::BasicReturn(returned)), (1, Method::BasicAck(_))] = &methods[..] else {
        panic!("{methods:?}")
    };
    assert_eq!((returned.reply_code, &returned.routing_key), (312, &address));
}

#[test]
fn an_address_in_a_carbon_copy_is_answered_too() {
    let (mut client, address) = asked();
    let copies = FieldValue::Array(vec![FieldValue::LongStr(address.into_bytes())]);
    let headers: FieldTable = [(name("CC"), copies)].into_iter().collect();
    let properties = Properties { headers: Some(headers), ..Properties::default() };
    client.publish(to("requests"), &properties, b"!");
    let commands = client.take_commands();
    let [Command::DirectReply(_), Command::Publish(_)] = &commands[..] else {
        panic!("{commands:?}")
    };
}
