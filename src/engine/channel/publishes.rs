//! `basic.publish`: from content to messages for queues (AMQP 0-9-1, 1.8.3.7).

use super::confirms::Verdict;
use super::content::Content;
use super::direct_reply::{addressee, is_reply_address};
use super::envelope::{Copies, check_user, copies, expiration, with_reply_address};
use super::publishing::{publish, publish_in_transaction};
use super::returns::Return;
use super::{Channel, Mode, Turn};
use crate::command::{Command, Targets};
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
        let copies = copies(&content.properties)?;
        let destination = self.destination(turn, &content, copies.as_ref())?;
        check_user(&content.properties, &turn.about.user)?;
        let expiration = expiration(&content.properties)?;
        let stripped = copies.and_then(|copies| copies.stripped);
        let properties = stripped.as_ref().unwrap_or(&content.properties);
        let addressed = with_reply_address(properties, self.reply_consumer.as_ref())?;
        let properties = addressed.as_ref().unwrap_or(properties);

        let seq = match &mut self.mode {
            Mode::Confirm(tracker) => Some(tracker.issue()),
            Mode::Plain | Mode::Transaction(_) => None,
        };
        self.count(turn, content.body.len(), seq.is_some());
        match destination {
            Destination::Queues(targets) => {
                let message = make_message(turn, &content, properties, expiration);
                match &mut self.mode {
                    Mode::Transaction(transaction) => publish_in_transaction(
                        &mut transaction.publishes,
                        self.id,
                        targets,
                        message,
                    ),
                    Mode::Plain | Mode::Confirm(_) => {
                        publish(&mut turn.link.commands, self.id, seq, targets, message);
                    }
                }
            }
            Destination::Requester(to) => {
                let message = make_message(turn, &content, properties, expiration);
                match &mut self.mode {
                    Mode::Transaction(transaction) => transaction.replies.push((to, message)),
                    Mode::Plain | Mode::Confirm(_) => {
                        turn.link.commands.push(Command::DirectReply { to, message });
                    }
                }
                self.resolve_at_once(turn, seq);
            }
            Destination::Nowhere => {
                if content.publish.mandatory {
                    turn.link.traffic.returned += 1;
                    self.return_to_publisher(turn, content);
                } else {
                    turn.link.traffic.dropped += 1;
                }
                self.resolve_at_once(turn, seq);
            }
        }
        Ok(())
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
        let BasicPublish { exchange, routing_key, .. } = &content.publish;
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
        let BasicPublish { exchange, routing_key, .. } = &content.publish;
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

    fn return_to_publisher(&mut self, turn: &mut Turn<'_>, content: Content) {
        match &mut self.mode {
            Mode::Transaction(transaction) => transaction.returns.push(Return(content)),
            Mode::Plain | Mode::Confirm(_) => {
                let frame_size_max = turn.about.tuned.frame_size_max;
                Return(content).write(&mut turn.link.output, self.id, frame_size_max);
            }
        }
    }
}

fn make_message(
    turn: &mut Turn<'_>,
    content: &Content,
    properties: &RawProperties,
    expiration: Option<u64>,
) -> Message {
    let envelope = Envelope {
        exchange: &content.publish.exchange,
        routing_key: &content.publish.routing_key,
        properties,
        published_at: turn.now.wall,
        expiration,
    };
    Message::new(envelope, content.body.clone(), turn.link.arena())
}
