//! What the history sees at the shard: commands on their way in, events on their way out.

use crate::history::{History, Published, Question, first_death, id_of};
use crate::shadow::{Copy, Handed};
use forebay_engine::command::{Command, Publish};
use forebay_engine::event::{Delivery, Event, Reply};
use forebay_engine::model::{
    ChannelId, ChannelKey, CommitId, ConnectionId, QueueDeclaration, QueueId, Settle, Settlement,
    TopologyRequest,
};
use forebay_engine::shard::Shard;
use std::rc::Rc;

impl History {
    /// The shard is about to handle a command.
    pub(crate) fn command(&mut self, shard: &Shard, connection: ConnectionId, command: &Command) {
        let key = |channel: &ChannelId| ChannelKey { connection, channel: *channel };
        if self.traces {
            eprintln!("    from {connection}: {command:?}");
        }
        match command {
            Command::Publish(publish) => drop(self.publish(shard, connection, publish, false)),
            Command::Settle(settle) => self.settle(connection, settle),
            Command::CommitTransaction { channel, publishes, settles, .. } => {
                let mut ids = Vec::new();
                for publish in publishes {
                    ids.extend(self.publish(shard, connection, publish, true));
                }
                settles.iter().for_each(|settle| self.settle(connection, settle));
                self.questions.insert(key(channel), Question::Transaction(ids));
            }
            Command::CloseChannel { channel, .. } => self.close(key(channel)),
            Command::CloseConnection { .. } => self.close(key(&ChannelId(0))),
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
            Event::Deliver { channel, queue, no_ack, deliveries, .. } => {
                for delivery in deliveries {
                    self.hand_out(shard, key(channel), *queue, *no_ack, delivery);
                }
            }
            Event::Reply { channel, reply: Ok(Reply::Got { queue, delivery, .. }) } => {
                let no_ack = self.gets_no_ack.contains(&key(channel));
                self.hand_out(shard, key(channel), *queue, no_ack, delivery);
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
                    let id = self.sequences.remove(&(key(channel), seq));
                    self.safe.push(id.expect("a confirm for a publish, once"));
                }
            }
            Event::Overdue { channel } => {
                for shadow in self.state.queues.values_mut() {
                    Rc::make_mut(shadow).hang(key(channel));
                }
            }
            Event::Refuse { channel, first, last } => {
                for seq in first.0..=last.0 {
                    let id = self.sequences.remove(&(key(channel), seq));
                    id.expect("a refusal of a publish, once");
                }
            }
            _ => {}
        }
    }

    fn publish(
        &mut self,
        shard: &Shard,
        connection: ConnectionId,
        publish: &Publish,
        in_transaction: bool,
    ) -> Vec<u64> {
        let Publish { channel, confirm, targets, messages } = publish;
        let key = ChannelKey { connection, channel: *channel };
        let mut ids = Vec::new();
        for (place, message) in messages.iter().enumerate() {
            let id = id_of(message.body());
            let mut there = Vec::new();
            for target in targets.iter() {
                let Some(shadow) = self.shadow(shard, *target) else { continue };
                let kept = message.is_persistent() && shadow.profile.durable;
                let origin = shadow.name.clone();
                shadow.arrive(message.priority(), Copy { id, origin, kept, recovered: false });
                // A transaction has no way to tell what was refused.
                if !(in_transaction && shadow.profile.refuses) {
                    there.push(*target);
                }
            }
            if let Some(first) = confirm {
                self.sequences.insert((key, first.0 + place as u64), id);
            }
            let kept = message.is_persistent();
            self.published.insert(id, Published { kept, targets: there, confirmed: false });
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
            let ended = shadow.settle(key, *run, settle.settlement, self.now);
            if is_end {
                all.extend(ended);
            }
        }
        for (copy, is_certain) in all {
            self.end(copy, is_certain);
        }
    }

    fn close(&mut self, key: ChannelKey) {
        self.closed.push(key);
        self.release(key);
    }

    /// A channel, or all of a connection, holds nothing any more and waits for nothing.
    pub(crate) fn release(&mut self, ended: ChannelKey) {
        let is_meant = |key: ChannelKey| match ended.channel {
            ChannelId(0) => key.connection == ended.connection,
            _ => key == ended,
        };
        for shadow in self.state.queues.values_mut() {
            Rc::make_mut(shadow).release(is_meant);
        }
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
                let purged = shadow.purge(self.now);
                let is_changed = is_exact && purged.iter().any(|copy| copy.kept);
                purged.into_iter().for_each(|copy| self.end(copy, is_exact));
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
        no_ack: bool,
        delivery: &Delivery,
    ) {
        let message = &delivery.message;
        let shadow = self.shadow(shard, queue).expect("deliveries from queues that are there");
        let copy = Copy {
            id: id_of(message.body()),
            origin: first_death(message).unwrap_or_else(|| shadow.name.clone()),
            kept: message.is_persistent() && shadow.profile.durable,
            recovered: false,
        };
        let handed = Handed {
            key,
            position: delivery.position,
            copy,
            redelivered: delivery.redelivered,
            failures: delivery.failures,
            no_ack,
        };
        self.handed.push((queue, handed));
    }
}
