//! The client's side of a channel: what it has asked, holds and waits for, and what the broker may
//! send it.

use crate::history::{History, id_of};
use crate::queues::DELETABLE;
use forebay_wire::{ContentHeader, Method, ShortStr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Stands for a publish that is no message: no message has this number.
const NO_MESSAGE: u64 = 0;

/// How publishes are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Plain,
    Confirm,
    Transaction,
}

/// An answer that is due.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    /// Its name ends in `-ok`.
    Anything,
    Get {
        queue: &'static str,
        no_ack: bool,
    },
    Cancel(ShortStr),
    Recover,
    Commit,
    Close,
}

#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) queue: String,
    no_ack: bool,
    /// Its messages are taken back soon.
    is_hasty: bool,
    /// The most that it may hold; 0: no limit.
    prefetch: u16,
    unacked: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unacked {
    pub(crate) queue: String,
    consumer: Option<ShortStr>,
}

/// A message that is coming in.
#[derive(Debug)]
struct Incoming {
    tag: u64,
    consumer: Option<ShortStr>,
    queue: String,
    no_ack: bool,
    header: Option<ContentHeader>,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub(crate) mode: Mode,
    /// What it does next may be refused, which closes it.
    pub(crate) may_fail: bool,
    /// Nothing is sent any more: it is about to be closed by either side.
    pub(crate) is_closing: bool,
    pub(crate) asked: VecDeque<Asked>,
    next_seq: u64,
    pub(crate) unconfirmed: BTreeMap<u64, u64>,
    /// Published in the transaction.
    pub(crate) transaction: Vec<u64>,
    committing: VecDeque<Vec<u64>>,
    /// Settled in the transaction.
    settled: Vec<(u64, Unacked)>,
    last_tag: u64,
    pub(crate) unacked: BTreeMap<u64, Unacked>,
    pub(crate) consumers: BTreeMap<ShortStr, Subscription>,
    cancelled: BTreeSet<ShortStr>,
    /// For consumers to come.
    pub(crate) prefetch: u16,
    /// The greatest limit that all together ever had; nothing: they had none.
    together: Option<u16>,
    incoming: Option<Incoming>,
    /// All that came: queue and number.
    pub(crate) received: Vec<(String, u64)>,
}

impl Channel {
    /// A message is published.
    pub(crate) fn publish(&mut self, id: u64) {
        match self.mode {
            Mode::Plain => {}
            Mode::Confirm => {
                self.next_seq += 1;
                self.unconfirmed.insert(self.next_seq, id);
            }
            Mode::Transaction => self.transaction.push(id),
        }
    }

    /// A settlement instruction is published.
    pub(crate) fn instruct(&mut self) {
        if self.mode == Mode::Confirm {
            self.next_seq += 1;
            self.unconfirmed.insert(self.next_seq, NO_MESSAGE);
        }
    }

    pub(crate) fn subscribe(&mut self, tag: ShortStr, queue: String, no_ack: bool, is_hasty: bool) {
        let prefetch = self.prefetch;
        let subscription = Subscription { queue, no_ack, is_hasty, prefetch, unacked: 0 };
        self.consumers.insert(tag, subscription);
    }

    /// `basic.qos` for all consumers together.
    pub(crate) fn limit(&mut self, count: u16) {
        let is_first = self.unacked.is_empty() && self.consumers.is_empty();
        self.together = match (self.together, count) {
            (_, 0) => None,
            (None, count) => Some(count).filter(|_| is_first),
            (Some(before), count) => Some(before.max(count)),
        };
    }

    /// Settles messages, one or all up to it.
    pub(crate) fn settle(&mut self, tag: u64, multiple: bool) {
        let first = if multiple { 0 } else { tag };
        let later = self.unacked.split_off(&(tag + 1));
        let settled = self.unacked.split_off(&first);
        self.unacked.extend(later);
        for (tag, unacked) in settled {
            self.count(&unacked, -1);
            if self.mode == Mode::Transaction {
                self.settled.push((tag, unacked));
            }
        }
    }

    /// The transaction ends.
    pub(crate) fn end_transaction(&mut self, is_kept: bool) {
        let (published, settled) =
            (std::mem::take(&mut self.transaction), std::mem::take(&mut self.settled));
        if is_kept {
            self.committing.push_back(published);
            return;
        }
        for (tag, unacked) in settled {
            self.count(&unacked, 1);
            self.unacked.insert(tag, unacked);
        }
    }

    fn count(&mut self, unacked: &Unacked, change: i64) {
        let subscription = unacked.consumer.as_ref().and_then(|tag| self.consumers.get_mut(tag));
        if let Some(subscription) = subscription {
            subscription.unacked = subscription.unacked.checked_add_signed(change).unwrap();
        }
    }

    /// A method from the broker.
    pub(crate) fn handle(&mut self, method: Method, history: &mut History) {
        match method {
            Method::BasicAck(ack) => self.answered(ack.delivery_tag, ack.multiple, Some(history)),
            Method::BasicNack(nack) => self.answered(nack.delivery_tag, nack.multiple, None),
            Method::BasicDeliver(deliver) => {
                let tag = deliver.consumer_tag;
                assert!(!self.cancelled.contains(&tag), "a delivery to {tag} after cancel-ok");
                let subscription = self.consumers.get(&tag).expect("a delivery to a consumer");
                self.incoming = Some(Incoming {
                    tag: deliver.delivery_tag,
                    queue: subscription.queue.clone(),
                    no_ack: subscription.no_ack,
                    consumer: Some(tag),
                    header: None,
                    body: Vec::new(),
                });
            }
            Method::BasicReturn(_) => {
                self.incoming = Some(Incoming {
                    tag: 0,
                    queue: String::new(),
                    no_ack: true,
                    consumer: None,
                    header: None,
                    body: Vec::new(),
                });
            }
            // A queue was deleted.
            Method::BasicCancel(cancel) => {
                self.consumers.remove(&cancel.consumer_tag);
                self.cancelled.insert(cancel.consumer_tag);
            }
            method => self.handle_answer(method, history),
        }
    }

    fn handle_answer(&mut self, method: Method, history: &mut History) {
        let name = method.name();
        let asked = self.asked.pop_front().unwrap_or_else(|| panic!("nobody asked for {name}"));
        match (asked, method) {
            (Asked::Get { queue, no_ack }, Method::BasicGetOk(got)) => {
                self.incoming = Some(Incoming {
                    tag: got.delivery_tag,
                    queue: queue.to_owned(),
                    no_ack,
                    consumer: None,
                    header: None,
                    body: Vec::new(),
                });
            }
            (Asked::Get { .. }, Method::BasicGetEmpty(_)) => {}
            (Asked::Cancel(tag), Method::BasicCancelOk(ok)) => {
                assert_eq!(ok.consumer_tag, tag);
                self.consumers.remove(&tag);
                self.cancelled.insert(tag);
            }
            (Asked::Recover, Method::BasicRecoverOk(_)) => {
                for (_, unacked) in std::mem::take(&mut self.unacked) {
                    self.count(&unacked, -1);
                }
            }
            (Asked::Commit, Method::TxCommitOk(_)) => {
                let published = self.committing.pop_front().expect("a transaction");
                published.into_iter().for_each(|id| history.confirmed(id));
            }
            (Asked::Anything, method) => assert!(name.ends_with("-ok"), "unasked: {method:?}"),
            (asked, method) => panic!("{asked:?} is answered by {method:?}"),
        }
    }

    /// A confirm, or a refusal (no history): each publish has one.
    fn answered(&mut self, seq: u64, multiple: bool, mut history: Option<&mut History>) {
        let first = if multiple { 0 } else { seq };
        let later = self.unconfirmed.split_off(&(seq + 1));
        let answered = self.unconfirmed.split_off(&first);
        self.unconfirmed.extend(later);
        assert!(answered.contains_key(&seq), "publish {seq} is answered twice, or never was");
        for id in answered.into_values() {
            if let Some(history) = &mut history {
                history.confirmed(id);
            }
        }
    }

    pub(crate) fn handle_header(&mut self, header: ContentHeader) {
        self.incoming.as_mut().expect("content after its method").header = Some(header);
        self.finish();
    }

    pub(crate) fn handle_body(&mut self, bytes: &[u8]) {
        self.incoming.as_mut().expect("content after its method").body.extend_from_slice(bytes);
        self.finish();
    }

    fn finish(&mut self) {
        let is_complete = self.incoming.as_ref().is_some_and(|incoming| {
            let header = incoming.header.as_ref().expect("a header before the body");
            incoming.body.len() as u64 >= header.body_size
        });
        if !is_complete {
            return;
        }
        let incoming = self.incoming.take().unwrap();
        let id = id_of(&incoming.body);
        assert_eq!(incoming.body, crate::client::body(id), "the content of message {id}");
        if incoming.tag == 0 {
            return;
        }
        self.last_tag += 1;
        assert_eq!(incoming.tag, self.last_tag, "delivery tags");
        self.received.push((incoming.queue.clone(), id));
        if incoming.no_ack {
            return;
        }
        let unacked = Unacked { queue: incoming.queue, consumer: incoming.consumer };
        self.count(&unacked, 1);
        if let Some(tag) = &unacked.consumer
            && let Some(Subscription { prefetch, unacked: count, is_hasty: false, .. }) =
                self.consumers.get(tag)
        {
            let is_within = *prefetch == 0 || *count <= u64::from(*prefetch);
            assert!(is_within, "{tag} holds {count}, its prefetch is {prefetch}");
        }
        self.unacked.insert(incoming.tag, unacked);
        // What a deleted queue had delivered no longer counts, which the client hears of later.
        let counts = |unacked: &&Unacked| {
            let tag = unacked.consumer.as_ref();
            let subscription = tag.and_then(|tag| self.consumers.get(tag));
            subscription.is_some_and(|subscription| subscription.queue != DELETABLE)
        };
        let count = self.unacked.values().filter(counts).count();
        let limit = self.together.map_or(usize::MAX, usize::from);
        assert!(count <= limit, "a channel holds {count}, its prefetch is {limit}");
    }
}
