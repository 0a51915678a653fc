use super::*;
use crate::access::Limit;
use crate::command::Publish;
use crate::model::PublishSeq;

fn publishes(commands: Vec<Command>) -> Vec<Publish> {
    let publish = |command| match command {
        Command::Publish(publish) => publish,
        other => panic!("{other:?}"),
    };
    commands.into_iter().map(publish).collect()
}

fn ack(delivery_tag: u64, multiple: bool) -> (u16, Method) {
    (1, BasicAck { delivery_tag, multiple }.into())
}

#[test]
fn messages_for_the_same_queues_travel_together() {
    let mut client = Client::open();
    let (a, b) = (client.declare("a"), client.declare("b"));
    client.send(1, ConfirmSelect { no_wait: true });
    let mut bytes = BytesMut::new();
    for queue in ["a", "a", "b", "a"] {
        bytes.extend(publish_bytes(1, &to(queue), &Properties::default(), b"body"));
    }
    client.feed(&bytes);
    let sent = publishes(client.take_commands());
    let shape: Vec<_> = sent
        .iter()
        .map(|publish| {
            (publish.targets.to_vec(), publish.confirm.unwrap().0, publish.messages.len())
        })
        .collect();
    assert_eq!(shape, [(vec![a], 1, 2), (vec![b], 3, 1), (vec![a], 4, 1)]);
    let message = &sent[0].messages[0];
    assert_eq!((message.exchange(), message.routing_key()), (&b""[..], &b"a"[..]));
    assert_eq!(message.body(), "body");
    assert_eq!(message.published_at(), client.now.wall);
}

#[test]
fn a_body_in_many_frames_arrives_whole_wherever_the_bytes_are_cut() {
    let body: Vec<u8> = (0..10_000u32).map(|index| index as u8).collect();
    let properties = Properties {
        content_type: Some(name("text/plain")),
        delivery_mode: Some(2),
        ..Properties::default()
    };
    let bytes = publish_bytes(1, &to("q"), &properties, &body);
    for cut in (0..bytes.len()).step_by(97).chain(0..60) {
        let mut client = Client::open();
        client.declare("q");
        client.feed(&bytes[..cut]);
        client.feed(&bytes[cut..]);
        let sent = publishes(client.take_commands());
        assert_eq!(sent[0].messages[0].body()[..], body, "cut at {cut}");
        assert!(sent[0].messages[0].is_persistent());
        assert_eq!(sent[0].messages[0].properties(), properties.encode().as_bytes());
    }
}

#[test]
fn confirms_of_a_batch_are_one_frame() {
    let mut client = Client::open();
    client.declare("q");
    client.send(1, ConfirmSelect { no_wait: false });
    for _ in 0..5 {
        client.publish(to("q"), &Properties::default(), b"x");
    }
    assert_eq!(client.methods(), [(1, ConfirmSelectOk {}.into())]);
    for (first, last) in [(1, 2), (3, 3)] {
        let (first, last) = (PublishSeq(first), PublishSeq(last));
        client.event(Event::Confirm { channel: ChannelId(1), first, last });
    }
    client.event(Event::Refuse {
        channel: ChannelId(1),
        first: PublishSeq(5),
        last: PublishSeq(5),
    });
    let nack = BasicNack { delivery_tag: 5, multiple: false, requeue: false };
    assert_eq!(client.methods(), [ack(3, true), (1, nack.into())]);
    assert!(client.methods().is_empty());
}

#[test]
fn what_no_queue_takes_is_returned_before_it_is_confirmed() {
    let mut client = Client::open();
    client.send(1, ConfirmSelect { no_wait: true });
    let properties = Properties { message_id: Some(name("m")), ..Properties::default() };
    client.publish(BasicPublish { mandatory: true, ..to("nowhere") }, &properties, b"body");
    client.publish(to("nowhere"), &properties, b"body");
    let frames = client.frames();
    let [
        Frame::Method { method: Method::BasicReturn(returned), .. },
        Frame::Header { header, .. },
        Frame::Body { body, .. },
        Frame::Method { method: Method::BasicAck(acked), .. },
    ] = &frames[..]
    else {
        panic!("{frames:?}")
    };
    assert_eq!((returned.reply_code, &returned.reply_text), (312, &name("NO_ROUTE")));
    assert_eq!(returned.routing_key, "nowhere");
    assert_eq!(header.properties, properties.encode());
    assert_eq!(body, "body");
    assert_eq!(*acked, BasicAck { delivery_tag: 2, multiple: true });
}

#[test]
fn a_route_is_forgotten_when_the_topology_changes() {
    let mut client = Client::open();
    client.publish(to("q"), &Properties::default(), b"x");
    assert!(client.take_commands().is_empty());
    client.declare("q");
    client.publish(to("q"), &Properties::default(), b"x");
    assert_eq!(publishes(client.take_commands()).len(), 1);
}

fn refusal(properties: &Properties) -> String {
    let mut client = Client::open();
    client.publish(to("q"), properties, b"x");
    let (outcome, text) = client.outcome();
    format!("{outcome} {text}")
}

#[test]
fn a_delivery_mode_is_1_or_2() {
    let kept = |mode| Properties { delivery_mode: Some(mode), ..Properties::default() };
    for mode in [0, 3, 255] {
        let text = format!(
            "chclose:406 PRECONDITION_FAILED - invalid delivery_mode {mode}: expected 1 (transient) \
             or 2 (persistent)"
        );
        assert_eq!(refusal(&kept(mode)), text);
    }
    for mode in [1, 2] {
        let mut client = Client::open();
        client.declare("q");
        client.publish(to("q"), &kept(mode), b"x");
        assert_eq!(publishes(client.take_commands())[0].messages[0].is_persistent(), mode == 2);
    }
}

#[test]
fn expirations_are_whole_milliseconds_up_to_ten_years() {
    let expiring = |text| Properties { expiration: Some(name(text)), ..Properties::default() };
    for text in ["", "abc", "-1", "1 ", "1.5", "++1", "315360000001", "99999999999999999999999"] {
        assert!(
            refusal(&expiring(text))
                .starts_with("chclose:406 PRECONDITION_FAILED - invalid expiration"),
            "{text}"
        );
    }
    for (text, value) in [("0", 0), ("+1", 1), ("315360000000", 315_360_000_000)] {
        let mut client = Client::open();
        client.declare("q");
        client.publish(to("q"), &expiring(text), b"x");
        let sent = publishes(client.take_commands());
        assert_eq!(sent[0].messages[0].expiration(), Some(value));
    }
}

#[test]
fn nobody_publishes_in_anothers_name() {
    let by = |user| Properties { user_id: Some(name(user)), ..Properties::default() };
    assert_eq!(refusal(&by("guest")), "open ");
    assert_eq!(
        refusal(&by("eve")),
        "chclose:406 PRECONDITION_FAILED - user_id property set to 'eve' but authenticated user \
         was 'guest'"
    );
}

fn with_header(key: &str, value: FieldValue) -> Properties {
    let mut headers = FieldTable::new();
    headers.insert(name(key), value);
    Properties { headers: Some(headers), ..Properties::default() }
}

#[test]
fn copies_reach_further_queues_and_blind_ones_leave_no_trace() {
    let mut client = Client::open();
    let (a, b) = (client.declare("a"), client.declare("b"));
    for key in ["CC", "BCC"] {
        let copies = FieldValue::Array(vec![FieldValue::LongStr("b".into()), FieldValue::I32(1)]);
        client.publish(to("a"), &with_header(key, copies), b"x");
        let sent = publishes(client.take_commands());
        assert_eq!(sent[0].targets[..], [a, b]);
        let message = &sent[0].messages[0];
        assert_eq!(message.has_blind_copies(), key == "BCC");
        let headers = message.shown_properties().headers().unwrap();
        assert_eq!(headers.get(key).is_some(), key == "CC");
        client.event(deliver(a, "t", vec![Delivery { message: message.clone(), ..delivery(0) }]));
        let frames = client.frames();
        let Some(Frame::Header { header, .. }) = frames.get(1) else { panic!("{frames:?}") };
        let delivered = header.properties.headers().unwrap();
        assert_eq!(delivered.get(key).is_some(), key == "CC");
        client.take_commands();
    }
    let text = FieldValue::LongStr("b".into());
    assert!(refusal(&with_header("CC", text.clone())).starts_with("chclose:406"));
    assert_eq!(refusal(&with_header("cc", text)), "open ");
}

#[test]
fn too_large_a_message_is_refused_at_its_header() {
    let mut client = Client::open();
    client.send(1, to("q"));
    let mut header = vec![2, 0, 1, 0, 0, 0, 14, 0, 60, 0, 0];
    header.extend((1u64 << 63).to_be_bytes());
    header.extend([0, 0, 0xce]);
    client.feed(&header);
    client.feed(&[&[3, 0, 1, 0, 0, 0, 1, b'z', 0xce][..]; 3].concat());
    assert_eq!(client.outcome().0, "chclose:406");
    assert_eq!(client.answered().len(), 1);
    client.send(1, ChannelCloseOk {});
    client.open_channel(1);
}

#[test]
fn announced_sizes_reserve_nothing() {
    let mut client = Client::open();
    client.send(1, to("q"));
    let mut header = vec![2, 0, 1, 0, 0, 0, 14, 0, 60, 0, 0];
    header.extend((128u64 << 20).to_be_bytes());
    header.extend([0, 0, 0xce]);
    client.feed(&header);
    for _ in 0..3 {
        client.feed(&[3, 0, 1, 0, 0, 0, 1, b'z', 0xce]);
    }
    assert_eq!(client.outcome().0, "open");
}

#[test]
fn what_a_closed_channel_published_confirms_nothing_of_the_next_one_with_its_number() {
    let mut client = Client::open();
    client.declare("q");
    let mut sequences = Vec::new();
    for _ in 0..3 {
        client.open_channel(2);
        client.send(2, ConfirmSelect { no_wait: false });
        client.feed(&publish_bytes(2, &to("q"), &Properties::default(), b"x"));
        sequences.extend(publishes(client.take_commands()).iter().map(|it| it.confirm.unwrap()));
        if sequences.len() < 3 {
            client.send(2, ChannelClose::default());
            client.answered();
        }
        client.frames();
    }
    let confirm = |seq| Event::Confirm { channel: ChannelId(2), first: seq, last: seq };
    let own = sequences.pop().unwrap();
    // The disk is slow: only now the messages of the channels before are there.
    for seq in sequences {
        client.event(confirm(seq));
        assert_eq!(client.methods(), []);
    }
    client.event(confirm(own));
    let ack = BasicAck { delivery_tag: 1, multiple: false };
    assert_eq!(client.methods(), [(2, ack.into())]);
}

fn limit_rate(client: &mut Client, most: Option<u64>) {
    client.access.set_limit(Limit::UserPublishRate, &name("guest"), most);
}

#[test]
fn publishes_beyond_what_was_granted_wait_for_their_turn() {
    let mut client = Client::open();
    client.declare("q");
    limit_rate(&mut client, Some(10));
    let publish = publish_bytes(1, &to("q"), &Properties::default(), b"x");
    client.feed(&publish.repeat(5));
    // Whose turn it is is asked for once.
    let (vhost, user) = (name("/"), name("guest"));
    assert_eq!(client.connection.poll_action(), Some(Action::AwaitTurn { vhost, user }));
    assert_eq!(client.connection.poll_action(), None);
    assert!(client.connection.is_paused() && client.take_commands().is_empty());
    let mut published = 0;
    for granted in [1, 3, 1] {
        client.connection.handle_turn(client.now, granted);
        client.feed(&[]);
        let commands = client.take_commands();
        let [Command::Publish(publish)] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!(publish.messages.len(), granted as usize);
        published += granted;
        assert_eq!(client.connection.poll_action().is_some(), published < 5);
    }
    assert!(!client.connection.is_paused());
}

#[test]
fn a_publisher_that_waits_for_its_turn_counts_as_alive_and_may_be_closed() {
    let mut client = Client::connected(&client_properties("test"), 2047, 131_072, 10);
    client.open_channel(1);
    limit_rate(&mut client, Some(0));
    client.publish(to("q"), &Properties::default(), b"x");
    client.now.monotonic = client.now.monotonic.plus(60_000);
    client.connection.handle_timeout(client.now);
    client.connection.handle_turn(client.now, 1);
    client.connection.handle_timeout(client.now);
    assert_eq!(client.outcome().0, "open");
    client.feed(&[]);
    client.publish(to("q"), &Properties::default(), b"y");
    assert!(client.connection.is_paused());
    client.event(Event::Close { fault: Fault::connection(ReplyCode::ConnectionForced, "bye") });
    assert_eq!(client.outcome().0, "close:320");
}

#[test]
fn a_limit_that_comes_later_is_seen_before_long() {
    let mut client = Client::open();
    client.declare("q");
    client.publish(to("q"), &Properties::default(), b"x");
    limit_rate(&mut client, Some(10));
    let publish = publish_bytes(1, &to("q"), &Properties::default(), b"x");
    client.feed(&publish.repeat(2_000));
    assert!(client.connection.is_paused());
    limit_rate(&mut client, None);
    client.connection.poll_action();
    client.connection.handle_turn(client.now, 1);
    client.feed(&[]);
    assert!(!client.connection.is_paused());
}

#[test]
fn an_unroutable_publish_is_confirmed_before_the_next_one_comes_back() {
    let mut client = Client::open();
    client.send(1, ConfirmSelect { no_wait: true });
    let publish = BasicPublish { mandatory: true, ..to("nowhere") };
    client.feed(&publish_bytes(1, &publish, &Properties::default(), b"x").repeat(2));
    let methods = client.methods();
    let is_return = |at: usize| matches!(methods.get(at), Some((1, Method::BasicReturn(_))));
    assert!(is_return(0) && is_return(2), "{methods:?}");
    assert_eq!((&methods[1], &methods[3]), (&ack(1, false), &ack(2, false)));
}
