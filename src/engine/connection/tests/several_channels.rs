//! Several channels of one connection at once, each in a mode of its own, and a shard that answers in
//! any order: by events, by replies, by refusals. What a client counts must come out on each channel.

use super::*;
use crate::model::PublishSeq;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// 1 confirms, 2 has transactions, 3 has neither.
const CHANNELS: [u16; 3] = [1, 2, 3];

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish {
        channel: u16,
        to: To,
        mandatory: bool,
    },
    /// The shard answers one of the publishes that wait, the `at`th of them.
    Answer {
        at: usize,
        refused: bool,
        returned: bool,
    },
    Commit {
        refused: bool,
    },
    Rollback,
    /// The client reads all that was written.
    Read,
    /// A get that the shard answers with a large message.
    Get {
        channel: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum To {
    Queue,
    Nowhere,
    /// An answer to a requester on another connection.
    Requester,
}

fn step() -> impl Strategy<Value = Step> {
    let to = prop_oneof![Just(To::Queue), Just(To::Nowhere), Just(To::Requester)];
    let channel = || prop::sample::select(&CHANNELS[..]);
    prop_oneof![
        8 => (channel(), to, any::<bool>())
            .prop_map(|(channel, to, mandatory)| Step::Publish { channel, to, mandatory }),
        6 => (0usize..8, any::<bool>(), any::<bool>())
            .prop_map(|(at, refused, returned)| Step::Answer { at, refused, returned }),
        2 => any::<bool>().prop_map(|refused| Step::Commit { refused }),
        1 => Just(Step::Rollback),
        3 => Just(Step::Read),
        1 => channel().prop_map(|channel| Step::Get { channel }),
    ]
}

/// What the client may rely on, told without looking at how it is done.
#[derive(Default)]
struct Model {
    /// Publishes on channel 1 so far.
    published: u64,
    /// Those that came back must do so before they are confirmed.
    to_return: BTreeMap<u64, ()>,
    /// Verdicts by number: true is `basic.ack`.
    verdicts: BTreeMap<u64, bool>,
    /// What the client has read.
    told: BTreeMap<u64, bool>,
    /// Mandatory publishes of the open transaction that nobody takes.
    unroutable: usize,
    /// Publishes of the open transaction that somebody takes.
    pending: usize,
}

struct Run {
    client: Client,
    model: Model,
    /// Publishes on channel 1 whose answer is the shard's: number, the answer when it is one.
    waiting: Vec<(u64, Option<Message>)>,
}

impl Run {
    fn new() -> Self {
        let mut client = Client::open();
        client.declare("q");
        client.open_channel(2);
        client.open_channel(3);
        client.send(1, ConfirmSelect { no_wait: true });
        client.send(2, TxSelect {});
        client.frames();
        Self { client, model: Model::default(), waiting: Vec::new() }
    }

    fn publish(&mut self, channel: u16, to: To, mandatory: bool) {
        self.make_way();
        let key = match to {
            To::Queue => "q",
            To::Nowhere => "nowhere",
            To::Requester => "amq.rabbitmq.reply-to.9.1.00000000000000000000000000000001",
        };
        let publish = BasicPublish { mandatory, routing_key: name(key), ..Default::default() };
        self.client.feed(&publish_bytes(channel, &publish, &Properties::default(), b"x"));
        let is_unroutable = to == To::Nowhere;
        match channel {
            1 => {
                self.model.published += 1;
                let seq = self.model.published;
                if is_unroutable {
                    self.model.verdicts.insert(seq, true);
                    if mandatory {
                        self.model.to_return.insert(seq, ());
                    }
                }
            }
            2 if is_unroutable => self.model.unroutable += usize::from(mandatory),
            2 => self.model.pending += 1,
            _ => {}
        }
        for command in self.commands() {
            match command {
                Command::Publish(publish) => {
                    let first = publish.confirm.map(|first| first.0);
                    let count = publish.messages.len() as u64;
                    let seqs = first.into_iter().flat_map(|first| first..first + count);
                    self.waiting.extend(seqs.map(|seq| (seq, None)));
                }
                Command::DirectReply(reply) => {
                    let message = Some(reply.message).filter(|_| reply.mandatory);
                    self.waiting.extend(reply.confirm.map(|seq| (seq.0, message)));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(&mut self, at: usize, refused: bool, returned: bool) {
        if self.waiting.is_empty() {
            return;
        }
        let (seq, reply) = self.waiting.remove(at % self.waiting.len());
        let (channel, first) = (ChannelId(1), PublishSeq(seq));
        let is_reply = reply.is_some();
        if let Some(message) = reply.filter(|_| returned) {
            self.model.to_return.insert(seq, ());
            self.client.event(Event::Returned { channel, message });
        }
        let is_refused = refused && !is_reply;
        self.model.verdicts.insert(seq, !is_refused);
        self.client.event(match is_refused {
            true => Event::Refuse { channel, first, last: first },
            false => Event::Confirm { channel, first, last: first },
        });
    }

    /// But for those that only say what was written.
    fn commands(&mut self) -> Vec<Command> {
        let mut commands = self.client.take_commands();
        commands.retain(|command| !matches!(command, Command::DeliveriesWritten { .. }));
        commands
    }

    /// A client whose answers are not read is not read from.
    fn make_way(&mut self) {
        if self.client.connection.is_paused() {
            self.read();
        }
    }

    fn roll_back(&mut self) {
        self.make_way();
        self.client.send(2, TxRollback {});
        (self.model.pending, self.model.unroutable) = (0, 0);
    }

    /// The transaction is done as a whole, with what came back of it, or refused as a whole.
    fn commit(&mut self, refused: bool) {
        self.read();
        self.client.send(2, TxCommit {});
        let commands = self.commands();
        let (pending, unroutable) =
            (std::mem::take(&mut self.model.pending), std::mem::take(&mut self.model.unroutable));
        assert_eq!(commands.len(), usize::from(pending > 0), "{commands:?}");
        let is_refused = refused && pending > 0;
        if is_refused {
            let fault = Fault::channel(ReplyCode::PreconditionFailed, "no room");
            self.client.reply(2, Err(fault));
        } else if pending > 0 {
            self.client.reply(2, Ok(Reply::Done));
        }
        let methods = self.client.methods();
        if is_refused {
            assert!(matches!(methods[..], [(2, Method::ChannelClose(_))]), "{methods:?}");
            self.client.answered();
            self.client.send(2, ChannelCloseOk {});
            self.client.open_channel(2);
            self.client.send(2, TxSelect {});
            self.client.frames();
            return;
        }
        let (last, returns) = methods.split_last().unwrap();
        assert_eq!(*last, (2, TxCommitOk {}.into()));
        assert_eq!(returns.len(), unroutable);
        assert!(returns.iter().all(|(channel, method)| {
            *channel == 2 && matches!(method, Method::BasicReturn(_))
        }));
    }

    fn get(&mut self, channel: u16) {
        self.client.send(channel, BasicGet { queue: name("q"), no_ack: true });
        let commands = self.commands();
        // One that does not read is not asked for.
        if let [Command::Get { .. }] = &commands[..] {
            let message = message("q", &Properties::default(), &[7; 300_000]);
            let delivery = Delivery { message, ..delivery(0) };
            let reply = Reply::Got { queue: QueueId(1), delivery, remaining: 0 };
            self.client.reply(channel, Ok(reply));
        } else {
            assert!(commands.is_empty(), "{commands:?}");
            self.read();
            self.client.feed(&[]);
            self.commands();
            self.client.reply(channel, Ok(Reply::Empty));
        }
    }

    fn read(&mut self) {
        let mut low =
            self.model.told.keys().copied().zip(1..).filter(|(a, b)| a == b).count() as u64;
        let mut returned = 0;
        // Confirms may wait behind other output: until nothing more comes.
        loop {
            let methods = self.client.methods();
            if methods.is_empty() {
                break;
            }
            for (channel, method) in methods {
                let (tag, multiple, is_ack) = match (channel, method) {
                    (1, Method::BasicReturn(_)) => {
                        returned += 1;
                        continue;
                    }
                    (1, Method::BasicAck(ack)) => (ack.delivery_tag, ack.multiple, true),
                    (1, Method::BasicNack(nack)) => (nack.delivery_tag, nack.multiple, false),
                    (
                        _,
                        Method::BasicReturn(_)
                        | Method::TxRollbackOk(_)
                        | Method::BasicGetOk(_)
                        | Method::BasicGetEmpty(_),
                    ) => {
                        continue;
                    }
                    other => panic!("{other:?}"),
                };
                let first = if multiple { low + 1 } else { tag };
                for seq in first..=tag {
                    if multiple && self.model.told.contains_key(&seq) {
                        continue;
                    }
                    let there = self.model.told.insert(seq, is_ack);
                    assert_eq!(there, None, "publish {seq} is answered twice");
                    assert_eq!(self.model.verdicts.get(&seq), Some(&is_ack), "publish {seq}");
                    if self.model.to_return.remove(&seq).is_some() {
                        assert!(returned > 0, "publish {seq} is confirmed before it came back");
                        returned -= 1;
                    }
                }
                while self.model.told.contains_key(&(low + 1)) {
                    low += 1;
                }
            }
        }
        assert_eq!(returned, 0, "returned and not confirmed");
        assert_eq!(self.model.told, self.model.verdicts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_publish_is_answered_once_and_every_transaction_as_a_whole(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut run = Run::new();
        for step in steps {
            match step {
                Step::Publish { channel, to, mandatory } => run.publish(channel, to, mandatory),
                Step::Answer { at, refused, returned } => run.answer(at, refused, returned),
                Step::Commit { refused } => run.commit(refused),
                Step::Rollback => run.roll_back(),
                Step::Read => run.read(),
                Step::Get { channel } => run.get(channel),
            }
        }
        run.read();
    }
}
