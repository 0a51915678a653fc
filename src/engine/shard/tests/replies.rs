//! Direct replies: how many are on their way to a requester that does not read.

use super::broker::{Broker, CONNECTION, message};
use crate::command::{Closure, Command};
use crate::event::Event;
use crate::ids::{ChannelId, ChannelKey, ConnectionId};
use crate::limits::REPLIES_OCTETS_MAX;
use crate::message::Message;
use bytes::Bytes;

const RESPONDER: ConnectionId = ConnectionId(2);
const BODY_SIZE: usize = 64 * 1024;

fn replies(broker: &mut Broker, body: &Bytes, count: usize) -> Vec<Message> {
    let to = ChannelKey { connection: CONNECTION, channel: ChannelId(1) };
    let reply = Command::DirectReply { to, message: message(body.clone(), false) };
    broker.send(RESPONDER, vec![reply; count]);
    let events = broker.take_events(CONNECTION).into_iter();
    events
        .map(|event| match event {
            Event::DirectReply { message, .. } => message,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn octets(messages: &[Message]) -> usize {
    messages.iter().map(Message::size).sum()
}

#[test]
fn a_requester_that_does_not_read_is_sent_no_more_than_its_bound() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(RESPONDER);
    let body = Bytes::from(vec![7; BODY_SIZE]);
    let first = replies(&mut broker, &body, 1000);
    let on_their_way = octets(&first);
    assert!((REPLIES_OCTETS_MAX..REPLIES_OCTETS_MAX + 2 * BODY_SIZE).contains(&on_their_way));
    // What waits does not keep alive the buffers it came in.
    assert_ne!(first.last().unwrap().body().as_ptr(), body.as_ptr());
    assert_eq!(first.last().unwrap().body(), &body);
    assert!(replies(&mut broker, &body, 10).is_empty());

    broker.send(CONNECTION, [Command::RepliesWritten { octets: on_their_way }]);
    assert_eq!(octets(&replies(&mut broker, &body, 1000)), on_their_way);
    broker.send(CONNECTION, [Command::CloseConnection { closure: Closure::ByClient }]);
    broker.take_events(CONNECTION);
    assert!(replies(&mut broker, &body, 1).is_empty());
}
