//! What the history sees at the shard: commands on their way in, events on their way out.

use crate::clock::Clock;
use crate::history::{History, Published, Question, first_death, id_of};
use crate::keys::Fate;
use crate::queues::GROUP;
use crate::shadow::{Arrival, Copy, Handed};
use crate::wait::{Due, Wait};
use forebay_engine::command::{Command, Extend, Publish, Subscribe};
use forebay_engine::event::{Delivery, Event, Reply};
use forebay_engine::model::{
    ChannelId, ChannelKey, Closure, CommitId, ConnectionId, DueClock, Message, PublishSeq,
    QueueDeclaration, QueueId, Settle, Settlement, TopologyRequest,
};
use forebay_engine::shard::Shard;
use forebay_wire::{FieldTable, FieldValue, RawProperties, ShortStr};
use std::rc::Rc;

fn text_of(headers: &FieldTable, name: &str) -> Option<String> {
    Some(headers.get(name)?.as_text()?.to_owned())
}

/// The group that a message says it belongs to.
fn group_of(message: &Message) -> Option<String> {
    text_of(&RawProperties::parse(message.properties_bytes()).unwrap().headers()?, GROUP)
}

/// By which a duplicate of it is known.
fn key_of(message: &Message) -> Option<String> {
    let properties = RawProperties::parse(message.properties_bytes()).unwrap().decode();
    let header = properties.headers.and_then(|it| text_of(&it, "x-deduplication-header"));
    header.or_else(|| properties.message_id?.as_str().map(str::to_owned))
}

/// Until when a message waits. Its due time was reckoned when its connection read it.
fn due_of(message: &Message, clock: &Clock) -> Option<Due> {
    let (due_by, wall) = message.delay()?;
    if due_by == DueClock::Calendar {
        return Some(Due::Calendar { wall: wall.0, since: clock.now() });
    }
    let headers = RawProperties::parse(message.properties_bytes()).unwrap().headers().unwrap();
    let delay = match headers.get("x-delay") {
        Some(FieldValue::I32(negative)) => u64::from(negative.unsigned_abs()),
        other => panic!("x-delay of a delayed message: {other:?}"),
    };
    let read = wall.0.checked_sub(delay).unwrap();
    Some(Due::Elapsed(match clock.shown_since_jump(read) {
        Some(read) => Wait::new(read, delay, delay),
        // The wall clock was set while the message was on its way.
        None => Wait::new(clock.now(), 0, wall.0.saturating_sub(clock.wall()).max(delay)),
    }))
}

impl History {
    /// The shard is about to handle a command.
    pub(crate) fn command(&mut self, shard: &Shard, connection: ConnectionId, command: &Command) {
        let key = |channel: &ChannelId| ChannelKey { connection, channel: *channel };
        if self.traces {
            eprintln!("    from {connection}: {command:?}");
        }
        match command {
            Command::Publish(publish) => drop(self.publish(shard, connection, publish)),
            Command::Settle(settle) => self.settle(connection, settle),
            Command::CommitTransaction { channel, publishes, settles, .. } => {
                let mut ids = Vec::new();
                for publish in publishes {
                    ids.extend(self.publish(shard, connection, publish));
                }
                settles.iter().for_each(|settle| self.settle(connection, settle));
                self.questions.insert(key(channel), Question::Transaction(ids));
            }
            Command::Extend(extend) => self.extend(connection, extend),
            Command::Subscribe(subscribe) => self.subscribe(connection, subscribe),
            Command::CloseChannel { channel, closure } => self.close(key(channel), *closure),
            Command::CloseConnection { closure } => self.close(key(&ChannelId(0)), *closure),
            Command::Topology { channel, request, .. } => self.topology(key(channel), request),
            Command::Get { channel, no_ack: true, .. } => {
                self.gets_no_ack.insert(key(channel));
            }
            Command::Get { channel, no_ack: false, .. } => {
                self.gets_no_ack.remove(&key(channel));
            }
            _ => {}
        }
    }

    /// The shard has something to say.
    pub(crate) fn event(&mut self, shard: &Shard, connection: ConnectionId, event: &Event) {
        let key = |channel: &ChannelId| ChannelKey { connection, channel: *channel };
        if self.traces {
            eprintln!("    to {connection}: {event:?}");
        }
        match event {
            Event::Deliver { channel, queue, no_ack, deliveries, consumer_tag } => {
                for delivery in deliveries {
                    let consumer = Some(consumer_tag);
                    self.hand_out(shard, key(channel), *queue, consumer, *no_ack, delivery);
                }
            }
            Event::Reply { channel, reply: Ok(Reply::Got { queue, delivery, .. }) } => {
                let no_ack = self.gets_no_ack.contains(&key(channel));
                self.hand_out(shard, key(channel), *queue, None, no_ack, delivery);
            }
            Event::Reply { channel, reply } => {
                let Some(question) = self.questions.remove(&key(channel)) else { return };
                match (question, reply) {
                    (_, Err(_)) => {}
                    (Question::Transaction(ids), Ok(_)) => {
                        self.safe.extend(ids);
                    }
                    (Question::Change { name, commit }, Ok(_)) => assert!(
                        commit <= self.durable,
                        "a client is told of {name}, which waits for commit {commit}"
                    ),
                }
            }
            Event::Confirm { channel, first, last } => {
                for seq in first.0..=last.0 {
                    if self.is_extension(key(channel), seq, true) {
                        continue;
                    }
                    let id = self.sequences.remove(&(key(channel), seq));
                    self.safe.push(id.expect("a confirm for a publish, once"));
                }
            }
            Event::Overdue { channel } => {
                for shadow in self.state.queues.values_mut() {
                    Rc::make_mut(shadow).hang(key(channel), self.clock.now());
                }
            }
            Event::Refuse { channel, first, last } => {
                for seq in first.0..=last.0 {
                    if self.is_extension(key(channel), seq, false) {
                        continue;
                    }
                    let id = self.sequences.remove(&(key(channel), seq));
                    id.expect("a refusal of a publish, once");
                }
            }
            _ => {}
        }
    }

    fn publish(&mut self, shard: &Shard, connection: ConnectionId, publish: &Publish) -> Vec<u64> {
        let Publish { channel, confirm, targets, messages } = publish;
        let key = ChannelKey { connection, channel: *channel };
        let mut ids = Vec::new();
        for (place, message) in messages.iter().enumerate() {
            let id = id_of(message.body());
            let (mut there, mut originals) = (Vec::new(), Vec::new());
            for target in targets.iter() {
                let (clock, due) = (self.clock.clone(), due_of(message, &self.clock));
                let Some(shadow) = self.shadow(shard, *target) else { continue };
                let copy = Copy {
                    id,
                    origin: shadow.name.clone(),
                    kept: message.is_persistent() && shadow.profile.durable,
                    recovered: false,
                    group: group_of(message),
                    place: None,
                };
                let (priority, key) = (message.priority(), key_of(message));
                let arrival = Arrival { copy, priority, key, due };
                let fate = shadow.arrive(arrival, &clock);
                match fate {
                    Fate::Taken => {
                        there.push(*target);
                        originals.push((*target, id));
                    }
                    Fate::Dropped(original) => originals.push((*target, original)),
                    Fate::Unclear => {}
                }
            }
            if let Some(first) = confirm {
                self.sequences.insert((key, first.0 + place as u64), id);
            }
            let kept = message.is_persistent();
            let targets = there;
            self.published.insert(id, Published { kept, targets, originals, confirmed: false });
            ids.push(id);
        }
        ids
    }

    fn settle(&mut self, connection: ConnectionId, settle: &Settle) {
        let key = ChannelKey { connection, channel: settle.channel };
        let Some(shadow) = self.state.queues.get_mut(&settle.queue).map(Rc::make_mut) else {
            return;
        };
        let mut all = Vec::new();
        let is_end = settle.settlement == Settlement::Ack || !shadow.has_grave();
        for run in &settle.runs {
            let ended = shadow.settle(key, *run, settle.settlement, self.clock.now());
            if is_end {
                all.extend(ended);
            }
        }
        for (copy, is_certain) in all {
            self.end(copy, is_certain);
        }
    }

    /// A client asks for more time for a message.
    fn extend(&mut self, connection: ConnectionId, extend: &Extend) {
        let Extend { channel, queue, position, lease, confirm } = *extend;
        let key = ChannelKey { connection, channel };
        let shadow = self.state.queues.get_mut(&queue).map(Rc::make_mut);
        let is_held = shadow
            .map_or(Some(false), |shadow| shadow.extend(key, position, lease, self.clock.now()));
        if let Some(PublishSeq(seq)) = confirm {
            self.extensions.insert((key, seq), is_held);
        }
    }

    /// Whether this is the answer to a request for more time.
    fn is_extension(&mut self, key: ChannelKey, seq: u64, is_granted: bool) -> bool {
        let Some(must_be) = self.extensions.remove(&(key, seq)) else { return false };
        let is_right = must_be.is_none_or(|must_be| must_be == is_granted);
        assert!(is_right, "{key:?} asks for more time in publish {seq}: granted: {is_granted}");
        true
    }

    fn subscribe(&mut self, connection: ConnectionId, subscribe: &Subscribe) {
        let Subscribe { channel, consumer_tag, arguments, .. } = subscribe;
        let key = ChannelKey { connection, channel: *channel };
        if let Some(FieldValue::I32(lease)) = arguments.get("x-lease") {
            let lease = u64::try_from(*lease).unwrap();
            self.leases.insert((key, consumer_tag.clone()), lease);
        }
    }

    fn close(&mut self, key: ChannelKey, closure: Closure) {
        self.closed.push((key, closure));
        self.release(key, closure);
    }

    /// A channel, or all of a connection, holds nothing any more and waits for nothing.
    pub(crate) fn release(&mut self, ended: ChannelKey, closure: Closure) {
        let is_meant = |key: ChannelKey| match ended.channel {
            ChannelId(0) => key.connection == ended.connection,
            _ => key == ended,
        };
        for shadow in self.state.queues.values_mut() {
            Rc::make_mut(shadow).release(closure, is_meant, self.clock.now());
        }
        self.leases.retain(|(key, _), _| !is_meant(*key));
        self.questions.retain(|key, _| !is_meant(*key));
    }

    fn topology(&mut self, key: ChannelKey, request: &TopologyRequest) {
        let next = CommitId(self.last_commit.0 + 1);
        let (name, is_changed) = match request {
            TopologyRequest::DeclareQueue(QueueDeclaration {
                name,
                passive: false,
                durable: true,
                ..
            }) => {
                let name = name.to_string();
                (name.clone(), self.state.declared.insert(name))
            }
            TopologyRequest::DeleteQueue { name, .. } => {
                let name = name.to_string();
                if let Some(id) = self.find(&name) {
                    let content = self.state.queues.remove(&id).unwrap().content();
                    content.into_iter().for_each(|copy| self.end(copy, false));
                }
                (name.clone(), self.state.declared.remove(&name))
            }
            TopologyRequest::PurgeQueue { name } => {
                let name = name.to_string();
                let Some(id) = self.find(&name) else { return };
                let shadow = self.state.queues.get_mut(&id).map(Rc::make_mut).unwrap();
                let is_exact = shadow.profile.exact;
                let (purged, lost) =
                    (shadow.purge(&self.clock), shadow.lose_due(&self.clock, |_| true));
                let is_changed = is_exact && purged.iter().any(|copy| copy.kept);
                purged.into_iter().for_each(|copy| self.end(copy, is_exact));
                lost.into_iter().for_each(|copy| self.end(copy, false));
                (name, is_changed)
            }
            _ => return,
        };
        if is_changed {
            self.changes.insert(name.clone(), next);
        }
        if let Some(commit) = self.changes.get(&name).copied() {
            self.questions.insert(key, Question::Change { name, commit });
        }
    }

    fn hand_out(
        &mut self,
        shard: &Shard,
        key: ChannelKey,
        queue: QueueId,
        consumer: Option<&ShortStr>,
        no_ack: bool,
        delivery: &Delivery,
    ) {
        let message = &delivery.message;
        let lease = consumer.and_then(|it| self.leases.get(&(key, it.clone())).copied());
        let shadow = self.shadow(shard, queue).expect("deliveries from queues that are there");
        let copy = Copy {
            id: id_of(message.body()),
            origin: first_death(message).unwrap_or_else(|| shadow.name.clone()),
            kept: message.is_persistent() && shadow.profile.durable,
            recovered: false,
            group: group_of(message),
            place: None,
        };
        let handed = Handed {
            key,
            consumer: consumer.cloned(),
            position: delivery.position,
            copy,
            redelivered: delivery.redelivered,
            failures: delivery.failures,
            returns: delivery.returns,
            no_ack,
            lease,
        };
        self.handed.push((queue, handed));
    }
}
