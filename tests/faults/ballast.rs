//! Large messages that nobody takes: they make the store write tables and files of large bodies soon,
//! and merge them.

use crate::disk::Moment;
use crate::harness::broker::Broker;
use crate::harness::must;
use crate::harness::session::{Session, declare_named};
use crate::ledger::{Found, Ledger};
use crate::load::{self, Clock, try_publish};
use std::collections::VecDeque;

/// Two, so that their pages overlap in every table: tables that don't are never merged.
const QUEUES: [&str; 2] = ["ballast-a", "ballast-b"];
const UNCONFIRMED_MAX: usize = 50;

/// What the messages are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Between 10,000 and 19,000 bytes: they stand in pages.
    Pages,
    /// 70,000 bytes and more: each body is a value of its own.
    Bodies,
}

/// What is owed for them.
pub(crate) struct Ballast {
    kind: Kind,
    ledger: Ledger,
    /// From when on the queues are there for certain.
    prepared: Option<Moment>,
}

impl Ballast {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, ledger: Ledger::default(), prepared: None }
    }

    /// Publishes until that is enough, or until the connection breaks; tells whether it was enough.
    pub(crate) async fn load(
        &mut self,
        broker: &Broker,
        clock: &Clock,
        is_enough: impl Fn(u64) -> bool,
    ) -> bool {
        let session = Session::open_at(broker.address).await;
        if self.prepared.is_none() {
            for queue in QUEUES {
                declare_named(&session.channel, queue, <_>::default()).await;
            }
            self.prepared = Some(clock());
        }
        let channel = session.confirm_channel().await;
        let (mut waiting, mut confirmed) = (VecDeque::new(), 0);
        while !is_enough(confirmed) {
            while waiting.len() < UNCONFIRMED_MAX {
                let number = self.ledger.next();
                let body = load::body(self.kind.message(number));
                let queue = QUEUES[number as usize % QUEUES.len()];
                let Ok(confirm) = try_publish(&channel, queue, &body).await else { return false };
                waiting.push_back((number, confirm));
            }
            let Some((number, confirm)) = waiting.pop_front() else { return false };
            match must("a confirm, or the end", confirm).await {
                Ok(confirmation) => assert!(confirmation.is_ack(), "{number}: {confirmation:?}"),
                Err(_) => return false,
            }
            self.ledger.confirmed(number, clock());
            confirmed += 1;
        }
        true
    }

    /// Compares what is there after a fault at that moment with what was promised by then.
    pub(crate) async fn check(&self, broker: &Broker, fault: Moment, when: &str) {
        if self.prepared.is_some_and(|prepared| prepared <= fault) {
            self.ledger.check(&look(broker).await, fault, &format!("ballast, {when}"));
        }
    }
}

async fn look(broker: &Broker) -> Found {
    let mut found = Found::default();
    for queue in QUEUES {
        let messages = load::numbers(broker.address, queue).await;
        assert!(messages.is_sorted_by(|earlier, later| earlier < later), "disorder in {queue}");
        found.ready.extend(messages.into_iter().map(|message| message / load::KINDS_OF_BODIES));
    }
    found.ready.sort_unstable();
    found
}

impl Kind {
    /// The number of a message whose body is of this kind.
    fn message(self, number: u64) -> u64 {
        number * load::KINDS_OF_BODIES + u64::from(self == Self::Pages)
    }
}
