use super::*;
use crate::model::Closure;

fn stop() -> Fault {
    Fault::connection(ReplyCode::ConnectionForced, "broker is shutting down")
}

#[test]
fn the_client_gets_close_ok_when_the_shard_has_let_go() {
    let mut client = Client::open();
    client.send(0, ConnectionClose::default());
    assert!(client.frames().is_empty());
    assert!(!client.connection.is_finished());
    assert!(matches!(client.answered()[..], [Command::CloseConnection { .. }]));
    assert_eq!(client.methods(), [(0, ConnectionCloseOk {}.into())]);
    assert!(client.connection.is_finished());
}

#[test]
fn after_our_close_only_the_end_of_the_connection_is_read() {
    let mut client = Client::open();
    client.connection.handle_shutdown(client.now, stop());
    client.feed(&[]);
    assert_eq!(
        client.outcome(),
        ("close:320".to_owned(), "CONNECTION_FORCED - broker is shutting down".to_owned())
    );
    client.publish(to("q"), &Properties::default(), b"x");
    client.send(1, QueueDeclare::default());
    client.send(0, ConnectionClose::default());
    assert_eq!(client.methods(), [(0, ConnectionCloseOk {}.into())]);
    assert!(matches!(client.answered()[..], [Command::CloseConnection { .. }]));
    assert!(!client.connection.is_finished());
    client.send(0, ConnectionCloseOk {});
    assert!(client.connection.is_finished());
}

#[test]
fn a_client_that_never_answers_our_close_is_dropped() {
    let mut client = Client::open();
    client.connection.handle_shutdown(client.now, stop());
    client.feed(&[]);
    client.answered();
    client.now.monotonic = client.connection.poll_timeout().unwrap();
    client.connection.handle_timeout(client.now);
    assert!(client.connection.is_finished());
}

#[test]
fn a_lost_client_leaves_the_shard_after_its_open_question() {
    let mut client = Client::open();
    client.send(1, QueueDeclare { queue: name("q"), ..QueueDeclare::default() });
    assert!(matches!(client.take_commands()[..], [Command::Topology { .. }]));
    client.connection.handle_end_of_input(client.now);
    client.feed(&[]);
    assert!(client.take_commands().is_empty());
    client.reply(1, Ok(Reply::Done));
    assert!(matches!(client.take_commands()[..], [Command::CloseConnection { .. }]));
    assert!(!client.connection.is_finished());
    client.reply(0, Ok(Reply::Done));
    assert!(client.connection.is_finished());
}

/// What the shard is told of the end.
fn closure(client: &mut Client) -> Closure {
    match client.answered()[..] {
        [.., Command::CloseConnection { closure }] => closure,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn the_shard_is_told_whether_the_client_closed_the_broker_did_or_something_failed() {
    let end_of_input = |client: &mut Client| {
        client.connection.handle_end_of_input(client.now);
        client.feed(&[]);
    };
    let mut lost = Client::open();
    end_of_input(&mut lost);
    assert_eq!(closure(&mut lost), Closure::Failed);

    let mut closed = Client::open();
    closed.send(0, ConnectionClose::default());
    end_of_input(&mut closed);
    assert_eq!(closure(&mut closed), Closure::ByClient);

    let mut stopped = Client::open();
    stopped.connection.handle_shutdown(stopped.now, stop());
    end_of_input(&mut stopped);
    assert_eq!(closure(&mut stopped), Closure::ByBroker);

    let mut mistaken = Client::open();
    mistaken.send(0, ConnectionOpenOk {});
    assert_eq!(closure(&mut mistaken), Closure::Failed);

    let mut asking = Client::open();
    asking.send(1, QueueDeclare { queue: name("q"), ..QueueDeclare::default() });
    asking.take_commands();
    asking.connection.handle_shutdown(asking.now, stop());
    end_of_input(&mut asking);
    asking.reply(1, Ok(Reply::Done));
    assert_eq!(closure(&mut asking), Closure::ByBroker);
}

#[test]
fn the_shard_is_told_whether_the_client_closed_a_channel_or_a_mistake_did() {
    let mut client = Client::open();
    client.send(1, BasicAck { delivery_tag: 7, multiple: false });
    let commands = client.answered();
    assert!(matches!(commands[..], [Command::CloseChannel { closure: Closure::Failed, .. }]));
    client.send(1, ChannelCloseOk {});
    client.frames();
    client.open_channel(2);
    client.send(2, ChannelClose::default());
    let commands = client.answered();
    assert!(matches!(commands[..], [Command::CloseChannel { closure: Closure::ByClient, .. }]));
}

#[test]
fn a_client_lost_before_it_opened_leaves_nothing() {
    let mut client = Client::raw();
    client.feed(&PROTOCOL_HEADER);
    client.connection.handle_end_of_input(client.now);
    client.feed(&[]);
    assert!(client.connection.is_finished());
    assert!(client.take_commands().is_empty());
}

#[test]
fn after_bytes_that_are_no_frames_nothing_is_read() {
    let mut client = Client::open();
    client.feed(&[9, 0, 1, 0, 0, 0, 0, 0xce]);
    assert_eq!(client.outcome().0, "close:501");
    client.answered();
    client.send(0, ConnectionCloseOk {});
    assert!(!client.connection.is_finished());
    client.connection.handle_end_of_input(client.now);
    assert!(client.connection.is_finished());
}

#[test]
fn an_operators_close_reaches_the_client() {
    let mut client = Client::open();
    client.event(Event::Close { fault: stop() });
    assert_eq!(client.outcome().0, "close:320");
    assert_eq!(client.connection.cause(), Some(&stop()));
}

#[test]
fn publishers_are_told_and_held_while_the_broker_is_short_of_resources() {
    let mut client = Client::open();
    client.declare("q");
    client.event(Event::Blocked { reason: name("low on disk"), is_memory_short: false });
    client.send(1, BasicQos::default());
    assert_eq!(client.methods(), [(1, BasicQosOk {}.into())]);
    client.publish(to("q"), &Properties::default(), b"x");
    assert_eq!(client.methods(), [(0, ConnectionBlocked { reason: name("low on disk") }.into())]);
    assert!(client.connection.is_paused());
    assert!(client.take_commands().is_empty());
    client.event(Event::Unblocked);
    client.feed(&[]);
    assert!(matches!(client.take_commands()[..], [Command::Publish(_)]));
    assert_eq!(client.methods(), [(0, ConnectionUnblocked {}.into())]);
}

/// Bodies that were announced before an alarm are no way around it.
#[test]
fn a_body_that_was_begun_before_an_alarm_waits_for_its_end() {
    let mut client = Client::open();
    client.declare("q");
    // Two frames of body.
    let whole = publish_bytes(1, &to("q"), &Properties::default(), &[7; 5_000]);
    let (first, second) = (4_096, 5_000 - (4_096 - 8) + 8);
    let (head, body) = whole.split_at(whole.len() - first - second);
    client.feed(head);
    client.event(Event::Blocked { reason: name("low on memory"), is_memory_short: true });
    assert!(!client.connection.is_paused());
    client.feed(&body[..first]);
    assert!(client.connection.is_paused());
    client.feed(&body[first..]);
    assert!(client.take_commands().is_empty());
    client.event(Event::Unblocked);
    client.feed(&[]);
    assert!(matches!(client.take_commands()[..], [Command::Publish(_)]));
}
