//! `basic.publish`: from content to messages for queues (AMQP 0-9-1, 1.8.3.7).

use super::confirms::Verdict;
use super::content::{Address, Content};
use super::envelope::with_reply_address;
use super::publishing::{publish, publish_in_transaction};
use super::returns::Return;
use super::{Channel, Mode, Turn};
use crate::command::{Command, DirectReply, Publish, Targets};
use crate::fault::Fault;
use crate::ids::PublishSeq;
use crate::message::{Envelope, Message};
use crate::published_properties::{Copies, check_delivery_mode, check_user, copies, expiration};
use crate::reply_address::ReplyAddress;
use forebay_wire::method::BasicPublish;
use forebay_wire::{RawProperties, ReplyCode, ShortStr};
use smallvec::SmallVec;

/// A publish that may be carried out.
struct Routed {
    targets: Targets,
    /// The requesters of answers, when it is one.
    requesters: Requesters,
    envelope: OwnEnvelope,
}

/// Mostly none, or the one that the routing key names.
type Requesters = SmallVec<[ReplyAddress; 1]>;

/// What its message says that the publish itself does not.
struct OwnEnvelope {
    /// Instead of those it came with.
    properties: Option<RawProperties>,
    expiration: Option<u64>,
    has_blind_copies: bool,
}

/// What a transaction published, ready for the queues.
#[derive(Default)]
pub(super) struct RoutedTransaction {
    pub(super) publishes: Vec<Publish>,
    pub(super) replies: Vec<DirectReply>,
    pub(super) returns: Vec<Return>,
    /// Publishes that nobody takes and nobody wants back.
    dropped: u64,
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
        let Routed { targets, requesters, envelope } = routed;
        count_for_exchange(turn, &content, targets.len() + requesters.len());
        if targets.is_empty() && requesters.is_empty() {
            if content.address.is_mandatory {
                turn.link.traffic.returned += 1;
                // Clients wait for the answer to one publish before the return of the next.
                self.flush_confirms(&mut turn.link.output);
                let frame_size_max = turn.about.tuned.frame_size_max;
                Return(content).write(&mut turn.link.output, self.id, frame_size_max);
            } else {
                turn.link.traffic.dropped += 1;
            }
            self.resolve_at_once(turn, seq);
            return Ok(());
        }
        let message = envelope.message(turn, &content);
        let replies = self.replies(&targets, requesters, seq, &content, &message);
        turn.link.commands.extend(replies.map(Command::DirectReply));
        if !targets.is_empty() {
            publish(&mut turn.link.commands, self.id, seq, targets, message);
        }
        Ok(())
    }

    /// What a transaction published, routed as the topology is now.
    ///
    /// # Errors
    /// That of the first publish that is not possible any more: its exchange or the permission has
    /// gone in the meantime.
    pub(super) fn route_transaction(
        &mut self,
        turn: &mut Turn<'_>,
        contents: Vec<Content>,
    ) -> Result<RoutedTransaction, Fault> {
        let mut routed = RoutedTransaction::default();
        for content in contents {
            let Routed { targets, requesters, envelope } = self.routed(turn, &content)?;
            count_for_exchange(turn, &content, targets.len() + requesters.len());
            if targets.is_empty() && requesters.is_empty() {
                if content.address.is_mandatory {
                    routed.returns.push(Return(content));
                } else {
                    routed.dropped += 1;
                }
                continue;
            }
            let message = envelope.message(turn, &content);
            routed.replies.extend(self.replies(&targets, requesters, None, &content, &message));
            if !targets.is_empty() {
                publish_in_transaction(&mut routed.publishes, self.id, targets, message);
            }
        }
        turn.link.traffic.returned += routed.returns.len() as u64;
        turn.link.traffic.dropped += routed.dropped;
        Ok(routed)
    }

    /// The message for each of its requesters. Where no queue takes it, the first of these decides
    /// whether it comes back, and confirms it.
    fn replies(
        &self,
        targets: &Targets,
        requesters: Requesters,
        seq: Option<PublishSeq>,
        content: &Content,
        message: &Message,
    ) -> impl Iterator<Item = DirectReply> + use<> {
        let (channel, message) = (self.id, message.clone());
        let is_all = targets.is_empty();
        let is_mandatory = is_all && content.address.is_mandatory;
        requesters.into_iter().enumerate().map(move |(place, to)| DirectReply {
            channel,
            to,
            message: message.clone(),
            confirm: seq.filter(|_| is_all && place == 0),
            mandatory: is_mandatory && place == 0,
        })
    }

    fn routed(&mut self, turn: &mut Turn<'_>, content: &Content) -> Result<Routed, Fault> {
        let copies = copies(&content.properties)?;
        let (targets, requesters) = self.destinations(turn, content, copies.as_ref())?;
        check_user(&content.properties, &turn.about.user)?;
        check_delivery_mode(&content.properties)?;
        let expiration = expiration(&content.properties)?;
        let properties = with_reply_address(&content.properties, self.reply_consumer.as_ref())?;
        let has_blind_copies = copies.is_some_and(|copies| copies.has_blind);
        let envelope = OwnEnvelope { properties, expiration, has_blind_copies };
        Ok(Routed { targets, requesters, envelope })
    }

    fn count(&mut self, turn: &mut Turn<'_>, body_size: usize, wants_confirm: bool) {
        turn.link.traffic.receive(body_size, wants_confirm);
        if !self.has_published {
            self.has_published = true;
            turn.link.publishers += 1;
        }
    }

    fn destinations(
        &mut self,
        turn: &mut Turn<'_>,
        content: &Content,
        copies: Option<&Copies>,
    ) -> Result<(Targets, Requesters), Fault> {
        let Address { exchange, routing_key, .. } = &content.address;
        self.write_permission.check(turn, exchange)?;
        let Some(copies) = copies.filter(|copies| !copies.routing_keys.is_empty()) else {
            if exchange.is_empty() && ReplyAddress::is_named_by(routing_key) {
                let requester = ReplyAddress::parse(routing_key);
                return Ok((turn.routes.nowhere(), requester.into_iter().collect()));
            }
            return Ok((route(turn, content)?, Requesters::new()));
        };
        let own_key = std::iter::once(routing_key);
        let routing_keys: Vec<_> = own_key.chain(&copies.routing_keys).cloned().collect();
        let headers = || content.properties.headers();
        let targets = turn.routes.route(&turn.about.vhost, exchange, &routing_keys, &headers)?;
        let is_default = exchange.is_empty();
        let requesters = routing_keys.iter().filter(|_| is_default).filter_map(ReplyAddress::parse);
        Ok((targets, requesters.collect()))
    }

    /// No queue owes anything: the confirm needs nobody's answer.
    fn resolve_at_once(&mut self, turn: &mut Turn<'_>, seq: Option<PublishSeq>) {
        if let Some(seq) = seq {
            turn.link.traffic.confirmed_at_once += 1;
            self.resolve(seq, seq, Verdict::Stored);
        }
    }
}

fn route(turn: &mut Turn<'_>, content: &Content) -> Result<Targets, Fault> {
    let Address { exchange, routing_key, .. } = &content.address;
    let (routes, vhost) = (turn.routes, &turn.about.vhost);
    let cache = &mut turn.link.route_cache;
    if let Some(targets) = cache.find(routes.version(), exchange, routing_key) {
        return Ok(targets.clone());
    }
    let headers = || content.properties.headers();
    let routing_keys: &[ShortStr] = std::slice::from_ref(routing_key);
    let targets = routes.route(vhost, exchange, routing_keys, &headers)?;
    if routes.is_cacheable(vhost, exchange) {
        cache.remember(&targets);
    }
    Ok(targets)
}

/// A message was published, and goes to so many queues and requesters.
fn count_for_exchange(turn: &mut Turn<'_>, content: &Content, destinations: usize) {
    let (routes, vhost, exchange) = (turn.routes, &turn.about.vhost, &content.address.exchange);
    turn.link.exchange_flow.count(routes, vhost, exchange, destinations);
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
        let (body, arena) = (content.body.clone(), turn.link.arena());
        if self.has_blind_copies {
            return Message::with_blind_copies(envelope, body, arena);
        }
        Message::new(envelope, body, arena)
    }
}
