//! `basic.publish`: from content to messages for queues (AMQP 0-9-1, 1.8.3.7).

use super::confirms::Verdict;
use super::content::{Address, Content};
use super::direct_reply::{addressee, is_reply_address};
use super::envelope::{
    Copies, check_delivery_mode, check_user, copies, expiration, with_reply_address,
};
use super::publishing::{publish, publish_in_transaction};
use super::returns::Return;
use super::{Channel, Mode, Turn};
use crate::command::{Command, Publish, Targets};
use crate::fault::Fault;
use crate::ids::{ChannelKey, PublishSeq};
use crate::message::{Envelope, Message};
use forebay_wire::method::BasicPublish;
use forebay_wire::{RawProperties, ReplyCode, ShortStr};

/// Where a message goes.
enum Destination {
    Queues(Targets),
    /// The requester of an answer.
    Requester(ChannelKey),
    Nowhere,
}

/// A publish that may be carried out.
struct Routed {
    destination: Destination,
    envelope: OwnEnvelope,
}

/// What its message says that the publish itself does not.
struct OwnEnvelope {
    /// Instead of those it came with.
    properties: Option<RawProperties>,
    expiration: Option<u64>,
}

impl Channel {
    pub(super) fn begin_publish(&mut self, publish: BasicPublish) -> Result<(), Fault> {
        if publish.immediate {
            return Err(Fault::connection(ReplyCode::NotImplemented, "immediate=true"));
        }
        self.content.begin(publish);
        Ok(())
    }

    /// A publish that is all there.
    pub(super) fn publish(&mut self, turn: &mut Turn<'_>, content: Content) -> Result<(), Fault> {
        let routed = self.routed(turn, &content)?;
        let seq = match &mut self.mode {
            Mode::Confirm(tracker) => Some(tracker.issue()),
            Mode::Plain | Mode::Transaction(_) => None,
        };
        self.count(turn, content.body.len(), seq.is_some());
        if let Mode::Transaction(transaction) = &mut self.mode {
            // It waits for the commit, longer than the receive buffer that it came in should.
            let content = content.copied_out();
            transaction.publishes_size += content.size();
            transaction.publishes.push(content);
            return Ok(());
        }
        match routed.destination {
            Destination::Queues(targets) => {
                let message = routed.envelope.message(turn, &content);
                publish(&mut turn.link.commands, self.id, seq, targets, message);
            }
            Destination::Requester(to) => {
                let message = routed.envelope.message(turn, &content);
                turn.link.commands.push(Command::DirectReply { to, message });
                self.resolve_at_once(turn, seq);
            }
            Destination::Nowhere => {
                if count_unroutable(turn, &content) {
                    let frame_size_max = turn.about.tuned.frame_size_max;
                    Return(content).write(&mut turn.link.output, self.id, frame_size_max);
                }
                self.resolve_at_once(turn, seq);
            }
        }
        Ok(())
    }

    /// What a transaction published, routed as the topology is now. An exchange that has gone in
    /// the meantime has no queues.
    pub(super) fn route_transaction(
        &mut self,
        turn: &mut Turn<'_>,
        contents: Vec<Content>,
    ) -> (Vec<Publish>, Vec<Return>) {
        let (mut publishes, mut returns) = (Vec::new(), Vec::new());
        for content in contents {
            match self.routed(turn, &content) {
                Ok(Routed { destination: Destination::Queues(targets), envelope }) => {
                    let message = envelope.message(turn, &content);
                    publish_in_transaction(&mut publishes, self.id, targets, message);
                }
                Ok(Routed { destination: Destination::Requester(to), envelope }) => {
                    let message = envelope.message(turn, &content);
                    turn.link.commands.push(Command::DirectReply { to, message });
                }
                Ok(Routed { destination: Destination::Nowhere, .. }) | Err(_) => {
                    if count_unroutable(turn, &content) {
                        returns.push(Return(content));
                    }
                }
            }
        }
        (publishes, returns)
    }

    fn routed(&mut self, turn: &Turn<'_>, content: &Content) -> Result<Routed, Fault> {
        let copies = copies(&content.properties)?;
        let destination = self.destination(turn, content, copies.as_ref())?;
        check_user(&content.properties, &turn.about.user)?;
        check_delivery_mode(&content.properties)?;
        let expiration = expiration(&content.properties)?;
        let stripped = copies.and_then(|copies| copies.stripped);
        let properties = stripped.as_ref().unwrap_or(&content.properties);
        let addressed = with_reply_address(properties, self.reply_consumer.as_ref())?;
        let envelope = OwnEnvelope { properties: addressed.or(stripped), expiration };
        Ok(Routed { destination, envelope })
    }

    fn count(&mut self, turn: &mut Turn<'_>, body_size: usize, wants_confirm: bool) {
        turn.link.traffic.receive(body_size, wants_confirm);
        if !self.has_published {
            self.has_published = true;
            turn.link.publishers += 1;
        }
    }

    fn destination(
        &mut self,
        turn: &Turn<'_>,
        content: &Content,
        copies: Option<&Copies>,
    ) -> Result<Destination, Fault> {
        let Address { exchange, routing_key, .. } = &content.address;
        self.write_permission.check(turn, exchange)?;
        if exchange.is_empty() && is_reply_address(routing_key) {
            return Ok(addressee(routing_key).map_or(Destination::Nowhere, Destination::Requester));
        }
        let targets = match copies {
            Some(copies) if !copies.routing_keys.is_empty() => {
                let mut routing_keys = vec![routing_key.clone()];
                routing_keys.extend(copies.routing_keys.iter().cloned());
                let headers = || content.properties.headers();
                turn.routes.route(&turn.about.vhost, exchange, &routing_keys, &headers)?
            }
            _ => self.route(turn, content)?,
        };
        Ok(if targets.is_empty() { Destination::Nowhere } else { Destination::Queues(targets) })
    }

    fn route(&mut self, turn: &Turn<'_>, content: &Content) -> Result<Targets, Fault> {
        let Address { exchange, routing_key, .. } = &content.address;
        let (routes, vhost) = (turn.routes, &turn.about.vhost);
        if let Some(targets) = self.route_cache.find(routes.version(), exchange, routing_key) {
            return Ok(targets.clone());
        }
        let headers = || content.properties.headers();
        let routing_keys: &[ShortStr] = std::slice::from_ref(routing_key);
        let targets = routes.route(vhost, exchange, routing_keys, &headers)?;
        if routes.is_cacheable(vhost, exchange) {
            self.route_cache.remember(&targets);
        }
        Ok(targets)
    }

    /// No queue owes anything: the confirm needs nobody's answer.
    fn resolve_at_once(&mut self, turn: &mut Turn<'_>, seq: Option<PublishSeq>) {
        if let Some(seq) = seq {
            turn.link.traffic.confirmed_at_once += 1;
            self.resolve(seq, seq, Verdict::Stored);
        }
    }
}

/// Nobody takes the message. Whether it goes back.
fn count_unroutable(turn: &mut Turn<'_>, content: &Content) -> bool {
    let is_mandatory = content.address.is_mandatory;
    turn.link.traffic.returned += u64::from(is_mandatory);
    turn.link.traffic.dropped += u64::from(!is_mandatory);
    is_mandatory
}

impl OwnEnvelope {
    fn message(&self, turn: &mut Turn<'_>, content: &Content) -> Message {
        let envelope = Envelope {
            exchange: &content.address.exchange,
            routing_key: &content.address.routing_key,
            properties: self.properties.as_ref().unwrap_or(&content.properties),
            published_at: turn.now.wall,
            expiration: self.expiration,
        };
        Message::new(envelope, content.body.clone(), turn.link.arena())
    }
}
