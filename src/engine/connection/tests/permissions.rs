//! What a user without permission is told, and that a change counts at once.

use super::*;
use crate::access::Permission;
use crate::model::{Binding, Destination};

fn restrict(client: &mut Client, configure: &str, write: &str, read: &str) {
    let permission = Permission::new(configure, write, read).unwrap();
    client.access.configure(&[]);
    client.access.grant(&name("guest"), &name("/"), permission);
}

/// The text with which channel 1 is closed; the channel is open again afterwards.
fn refusal(client: &mut Client) -> String {
    let methods = client.methods();
    let [(1, Method::ChannelClose(close))] = &methods[..] else { panic!("{methods:?}") };
    assert_eq!(close.reply_code, ReplyCode::AccessRefused.code());
    let text = close.reply_text.as_str().unwrap().to_owned();
    let commands = client.answered();
    assert!(matches!(commands[..], [Command::CloseChannel { .. }]), "{commands:?}");
    client.send(1, ChannelCloseOk {});
    client.open_channel(1);
    text
}

fn publish_to(client: &mut Client, exchange: &str, key: &str) {
    let publish = BasicPublish {
        exchange: name(exchange),
        routing_key: name(key),
        ..BasicPublish::default()
    };
    client.publish(publish, &Properties::default(), b"x");
}

#[test]
fn each_method_needs_what_it_needs() {
    let mut client = Client::open();
    restrict(&mut client, "^mine", "^mine", "^mine");
    let user = "refused for user 'guest'";
    client.send(1, QueueDeclare { queue: name("other"), ..QueueDeclare::default() });
    let text = refusal(&mut client);
    let expected = "configure access to queue 'other' in vhost '/'";
    assert_eq!(text, format!("ACCESS_REFUSED - {expected} {user}"));
    client.send(1, BasicConsume { queue: name("other"), ..BasicConsume::default() });
    assert!(refusal(&mut client).contains("read access to queue 'other'"));
    client.send(1, BasicGet { queue: name("other"), ..BasicGet::default() });
    assert!(refusal(&mut client).contains("read access to queue 'other'"));
    client.send(1, ExchangeDelete { exchange: name("other"), ..ExchangeDelete::default() });
    assert!(refusal(&mut client).contains("configure access to exchange 'other'"));
    client.send(1, QueuePurge { queue: name("other"), ..QueuePurge::default() });
    assert!(refusal(&mut client).contains("read access to queue 'other'"));
    // Before whether it is there.
    publish_to(&mut client, "other", "k");
    assert!(refusal(&mut client).contains("write access to exchange 'other'"));
    publish_to(&mut client, "", "k");
    assert!(refusal(&mut client).contains("write access to exchange 'amq.default'"));
    client.send(1, QueueDeclare { queue: name("mine"), ..QueueDeclare::default() });
    client.answered();
    assert!(matches!(client.methods()[..], [(1, Method::QueueDeclareOk(_))]));
}

#[test]
fn a_permission_that_is_taken_away_counts_for_the_next_publish() {
    let mut client = Client::open();
    client.send(1, QueueDeclare { queue: name("q"), ..QueueDeclare::default() });
    client.answered();
    client.frames();
    for _ in 0..2 {
        publish_to(&mut client, "", "q");
    }
    assert!(!client.take_commands().is_empty());
    restrict(&mut client, ".*", "", ".*");
    publish_to(&mut client, "", "q");
    assert!(refusal(&mut client).contains("write access to exchange 'amq.default'"));
}

#[test]
fn a_vhost_is_closed_to_who_has_no_permission_there() {
    let mut client = Client::raw();
    client.topology.create_vhost(&name("other"));
    restrict(&mut client, ".*", ".*", ".*");
    client.feed(&PROTOCOL_HEADER);
    client.send(0, start_ok(&client_properties("test"), "PLAIN", b"\0guest\0guest"));
    client.authenticate(true);
    client.send(0, ConnectionTuneOk { channel_max: 0, frame_max: 0, heartbeat: 0 });
    client.frames();
    client.send(0, ConnectionOpen { virtual_host: name("other") });
    let methods = client.methods();
    let [(0, Method::ConnectionClose(close))] = &methods[..] else { panic!("{methods:?}") };
    assert_eq!(close.reply_code, ReplyCode::NotAllowed.code());
    let text = "NOT_ALLOWED - access to vhost 'other' refused for user 'guest'";
    assert_eq!(close.reply_text.as_str(), Some(text));
}

#[test]
fn a_route_stays_cached_when_a_permission_changes_and_not_when_a_binding_does() {
    let mut client = Client::open();
    let vhost = name("/");
    for queue in ["q", "r"] {
        client.send(1, QueueDeclare { queue: name(queue), ..QueueDeclare::default() });
        client.answered();
    }
    let bind = |client: &mut Client, queue: &str, pattern: &str| {
        let binding = Binding {
            source: name("amq.topic").into(),
            destination: Destination::Queue(name(queue).into()),
            routing_key: name(pattern),
            arguments: FieldTable::new(),
        };
        client.topology.bind(&vhost, ConnectionId(7), &binding).unwrap();
    };
    // Two patterns match: each look-up in the routing table gathers its queues anew.
    bind(&mut client, "q", "a.*");
    bind(&mut client, "r", "*.b");
    client.frames();
    client.take_commands();
    let targets = |client: &mut Client| {
        publish_to(client, "amq.topic", "a.b");
        client.frames();
        match &client.take_commands()[..] {
            [Command::Publish(publish)] => publish.targets.clone(),
            other => panic!("{other:?}"),
        }
    };
    let before = targets(&mut client);
    assert_eq!(before.len(), 2);
    restrict(&mut client, ".*", "^amq", ".*");
    assert!(Arc::ptr_eq(&targets(&mut client), &before));
    bind(&mut client, "q", "#");
    let after = targets(&mut client);
    assert_eq!(after, before);
    assert!(!Arc::ptr_eq(&after, &before));
}
