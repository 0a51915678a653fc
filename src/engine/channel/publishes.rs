//! `basic.publish`: from content to messages for queues (AMQP 0-9-1, 1.8.3.7).

use super::confirms::Verdict;
use super::content::{Address, Content};
use super::envelope::with_reply_address;
use super::instructions::Instruction;
use super::publish_commands::{publish, publish_in_transaction};
use super::returns::Return;
use super::{Channel, Mode};
use crate::command::{Command, DirectReply, Publish};
use crate::model::{Envelope, Fault, Message, PublishSeq, ReplyAddress, Targets};
use crate::published_delay::{Delay, delay};
use crate::published_properties::{Copies, check_delivery_mode, check_user, copies, expiration};
use crate::session::ChannelContext;
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
    delay: Option<Delay>,
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
    pub(super) fn publish(
        &mut self,
        context: &mut ChannelContext<'_>,
        content: Content,
    ) -> Result<(), Fault> {
        if let Some(instruction) = Instruction::parse(&content)? {
            return self.instruct(context, instruction);
        }
        let routed = self.routed(context, &content)?;
        let seq = match &mut self.mode {
            Mode::Confirm(tracker) => Some(tracker.issue()),
            Mode::Plain | Mode::Transaction(_) => None,
        };
        self.count(context, content.body.len(), seq.is_some());
        if let Mode::Transaction(transaction) = &mut self.mode {
            // It waits for the commit, longer than the receive buffer that it came in should.
            let content = content.copied_out();
            transaction.publishes_size += content.size();
            transaction.publishes.push(content);
            return Ok(());
        }
        let Routed { targets, requesters, envelope } = routed;
        count_for_exchange(context, &content, targets.len() + requesters.len());
        if targets.is_empty() && requesters.is_empty() {
            if content.address.is_mandatory {
                context.outputs.traffic.returned += 1;
                // Clients wait for the answer to one publish before the return of the next.
                self.flush_confirms(&mut context.outputs.output);
                let frame_size_max = context.info.tuned.frame_size_max;
                Return(content).write(&mut context.outputs.output, self.id, frame_size_max);
            } else {
                context.outputs.traffic.dropped += 1;
            }
            self.resolve_at_once(context, seq);
            return Ok(());
        }
        let message = envelope.message(context, &content);
        let replies = self.replies(&targets, requesters, seq, &content, &message);
        context.outputs.commands.extend(replies.map(Command::DirectReply));
        if !targets.is_empty() {
            publish(&mut context.outputs.commands, self.id, seq, targets, message);
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
        context: &mut ChannelContext<'_>,
        contents: Vec<Content>,
    ) -> Result<RoutedTransaction, Fault> {
        let mut routed = RoutedTransaction::default();
        for content in contents {
            let Routed { targets, requesters, envelope } = self.routed(context, &content)?;
            count_for_exchange(context, &content, targets.len() + requesters.len());
            if targets.is_empty() && requesters.is_empty() {
                if content.address.is_mandatory {
                    routed.returns.push(Return(content));
                } else {
                    routed.dropped += 1;
                }
                continue;
            }
            let message = envelope.message(context, &content);
            routed.replies.extend(self.replies(&targets, requesters, None, &content, &message));
            if !targets.is_empty() {
                publish_in_transaction(&mut routed.publishes, self.id, targets, message);
            }
        }
        context.outputs.traffic.returned += routed.returns.len() as u64;
        context.outputs.traffic.dropped += routed.dropped;
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

    fn routed(
        &mut self,
        context: &mut ChannelContext<'_>,
        content: &Content,
    ) -> Result<Routed, Fault> {
        let copies = copies(&content.properties)?;
        let (targets, requesters) = self.destinations(context, content, copies.as_ref())?;
        check_user(&content.properties, &context.info.user)?;
        check_delivery_mode(&content.properties)?;
        let expiration = expiration(&content.properties)?;
        let properties = with_reply_address(&content.properties, self.reply_consumer.as_ref())?;
        let delay = delay(properties.as_ref().unwrap_or(&content.properties), context.now.wall)?;
        let has_blind_copies = copies.is_some_and(|copies| copies.has_blind);
        let envelope = OwnEnvelope { properties, expiration, has_blind_copies, delay };
        Ok(Routed { targets, requesters, envelope })
    }

    fn count(&mut self, context: &mut ChannelContext<'_>, body_size: usize, wants_confirm: bool) {
        context.outputs.traffic.receive(body_size, wants_confirm);
        if !self.has_published {
            self.has_published = true;
            context.outputs.publishers += 1;
        }
    }

    fn destinations(
        &mut self,
        context: &mut ChannelContext<'_>,
        content: &Content,
        copies: Option<&Copies>,
    ) -> Result<(Targets, Requesters), Fault> {
        let Address { exchange, routing_key, .. } = &content.address;
        self.write_permission.check(context, exchange)?;
        let Some(copies) = copies.filter(|copies| !copies.routing_keys.is_empty()) else {
            if exchange.is_empty() && ReplyAddress::is_named_by(routing_key) {
                let requester = ReplyAddress::parse(routing_key);
                return Ok((context.routes.nowhere(), requester.into_iter().collect()));
            }
            return Ok((route(context, content)?, Requesters::new()));
        };
        let own_key = std::iter::once(routing_key);
        let routing_keys: Vec<_> = own_key.chain(&copies.routing_keys).cloned().collect();
        let headers = || content.properties.headers();
        let targets =
            context.routes.route(&context.info.vhost, exchange, &routing_keys, &headers)?;
        let is_default = exchange.is_empty();
        let requesters = routing_keys.iter().filter(|_| is_default).filter_map(ReplyAddress::parse);
        Ok((targets, requesters.collect()))
    }

    /// No queue owes anything: the confirm needs nobody's answer.
    fn resolve_at_once(&mut self, context: &mut ChannelContext<'_>, seq: Option<PublishSeq>) {
        if let Some(seq) = seq {
            context.outputs.traffic.confirmed_at_once += 1;
            self.resolve(seq, seq, Verdict::Stored);
        }
    }
}

fn route(context: &mut ChannelContext<'_>, content: &Content) -> Result<Targets, Fault> {
    let Address { exchange, routing_key, .. } = &content.address;
    let (routes, vhost) = (context.routes, &context.info.vhost);
    let cache = &mut context.outputs.route_cache;
    if let Some(targets) = cache.find(routes.table_version(), exchange, routing_key) {
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
fn count_for_exchange(context: &mut ChannelContext<'_>, content: &Content, destinations: usize) {
    let (routes, vhost, exchange) =
        (context.routes, &context.info.vhost, &content.address.exchange);
    context.outputs.exchange_flow.count(routes, vhost, exchange, destinations);
}

impl OwnEnvelope {
    fn message(&self, context: &mut ChannelContext<'_>, content: &Content) -> Message {
        let envelope = Envelope {
            exchange: &content.address.exchange,
            routing_key: &content.address.routing_key,
            properties: self.properties(content),
            published_at: context.now.wall,
            expiration: self.expiration,
        };
        let (body, arena) = (content.body.clone(), context.outputs.arena());
        let message = if self.has_blind_copies {
            Message::with_blind_copies(envelope, body, arena)
        } else {
            Message::new(envelope, body, arena)
        };
        match &self.delay {
            Some(delay) => delay.apply(message),
            None => message,
        }
    }

    fn properties<'a>(&'a self, content: &'a Content) -> &'a RawProperties {
        let delayed = self.delay.as_ref().map(Delay::properties);
        delayed.or(self.properties.as_ref()).unwrap_or(&content.properties)
    }
}
