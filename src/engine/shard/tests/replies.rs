//! Direct replies: how many are on their way to a requester that does not read.

use super::broker::{Broker, CONNECTION, message};
use crate::command::{Command, DirectReply};
use crate::event::Event;
use crate::limits::REPLIES_BYTES_MAX;
use crate::model::{
    ChannelId, ChannelKey, ClientIdentity, Closure, ConnectionId, Message, ObjectName, PublishSeq,
    ReplyAddress,
};
use bytes::Bytes;

const RESPONDER: ConnectionId = ConnectionId(2);
const BODY_SIZE: usize = 64 * 1024;

/// What the requester's address has in it.
const TOKEN: u128 = 7;

fn reply(to: ReplyAddress, message: Message) -> Command {
    let (channel, confirm) = (ChannelId(3), Some(PublishSeq(1)));
    Command::DirectReply(DirectReply { channel, to, message, confirm, mandatory: true })
}

fn replies(broker: &mut Broker, body: &Bytes, count: usize) -> Vec<Message> {
    let to = ChannelKey { connection: CONNECTION, channel: ChannelId(1) };
    let reply = reply(ReplyAddress { key: to, token: TOKEN }, message(body.clone(), false));
    broker.send(RESPONDER, vec![reply; count]);
    let events = broker.take_events(CONNECTION).into_iter();
    events
        .map(|event| match event {
            Event::DirectReply { message, .. } => message,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn bytes(messages: &[Message]) -> usize {
    messages.iter().map(Message::size).sum()
}

#[test]
fn a_requester_that_does_not_read_is_sent_no_more_than_its_bound() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(RESPONDER);
    broker.send(CONNECTION, [Command::AwaitReplies { channel: ChannelId(1), token: Some(TOKEN) }]);
    let body = Bytes::from(vec![7; BODY_SIZE]);
    let first = replies(&mut broker, &body, 1000);
    let on_their_way = bytes(&first);
    assert!((REPLIES_BYTES_MAX..REPLIES_BYTES_MAX + 2 * BODY_SIZE).contains(&on_their_way));
    // What waits does not keep alive the buffers it came in.
    assert_ne!(first.last().unwrap().body().as_ptr(), body.as_ptr());
    assert_eq!(first.last().unwrap().body(), &body);
    assert!(replies(&mut broker, &body, 10).is_empty());

    broker.send(CONNECTION, [Command::RepliesWritten { bytes: on_their_way }]);
    assert_eq!(bytes(&replies(&mut broker, &body, 1000)), on_their_way);
    broker.send(CONNECTION, [Command::CloseConnection { closure: Closure::ByClient }]);
    broker.take_events(CONNECTION);
    assert!(replies(&mut broker, &body, 1).is_empty());
}

/// What the responder is told of an answer to this address: whether it came back, and whether the
/// address is found.
fn outcome(broker: &mut Broker, to: ReplyAddress) -> (bool, bool) {
    broker.take_events(RESPONDER);
    broker.send(RESPONDER, [reply(to, message("x", false))]);
    let events = broker.take_events(RESPONDER);
    let returned = match &events[..] {
        [Event::Confirm { .. }] => false,
        [Event::Returned { channel: ChannelId(3), .. }, Event::Confirm { .. }] => true,
        other => panic!("{other:?}"),
    };
    let name = ObjectName::from(to.name());
    broker.send(RESPONDER, [Command::FindReplyAddress { channel: ChannelId(3), name }]);
    (returned, broker.reply(RESPONDER).is_ok())
}

#[test]
fn an_answer_reaches_who_waits_for_it_in_the_same_virtual_host_and_nobody_else() {
    let (reached, returned) = ((false, true), (true, false));
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(RESPONDER);
    let key = ChannelKey { connection: CONNECTION, channel: ChannelId(1) };
    let address = ReplyAddress { key, token: TOKEN };
    assert_eq!(outcome(&mut broker, address), returned, "nobody waits yet");
    broker.send(CONNECTION, [Command::AwaitReplies { channel: ChannelId(1), token: Some(TOKEN) }]);
    assert_eq!(outcome(&mut broker, address), reached);
    assert_eq!(broker.take_events(CONNECTION).len(), 1);
    assert_eq!(outcome(&mut broker, ReplyAddress { token: TOKEN + 1, ..address }), returned);
    let other_channel = ChannelKey { channel: ChannelId(2), ..key };
    assert_eq!(outcome(&mut broker, ReplyAddress { key: other_channel, ..address }), returned);
    broker.send(CONNECTION, [Command::AwaitReplies { channel: ChannelId(1), token: None }]);
    assert_eq!(outcome(&mut broker, address), returned, "it has stopped to wait");
    broker.send(CONNECTION, [Command::AwaitReplies { channel: ChannelId(1), token: Some(TOKEN) }]);

    // The same connection number in another virtual host.
    const STRANGER: ConnectionId = ConnectionId(8);
    let (vhost, identity) = ("other".try_into().unwrap(), ClientIdentity::default());
    broker.send(STRANGER, [Command::OpenConnection { vhost, identity }]);
    broker.send(STRANGER, [reply(address, message("x", false))]);
    let events = broker.take_events(STRANGER);
    assert!(matches!(events[..], [Event::Returned { .. }, Event::Confirm { .. }]), "{events:?}");
    assert!(broker.take_events(CONNECTION).is_empty());

    broker.send(
        CONNECTION,
        [Command::CloseChannel { channel: ChannelId(1), closure: Closure::ByClient }],
    );
    assert_eq!(outcome(&mut broker, address), returned, "its channel has gone");
}
