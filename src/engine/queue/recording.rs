//! What the queue tells of its messages: each happening goes into the life of its message (`x-trace`), and its
//! deliveries become spans, when there is somebody who keeps them. Where nobody does, each call is two branches.

use super::Queue;
use super::clock_skew::Instants;
use super::message_states::Held;
use crate::credit::{ChannelSlot, Clients, ConsumerId};
use crate::deduplication::DedupKey;
use crate::event::Delivery;
use crate::limits::TRACE_PAGE_MAX;
use crate::model::{DeathReason, DelayedId, Level, Message, Offset, Party, Position, WallClock};
use crate::trace::{
    Happening, Life, LifeNumber, Lives, QueueSpans, ReturnCause, Spanned, SpannedMessage, TracePage,
};
use forebay_wire::ShortStr;

/// How a message comes into a queue.
#[derive(Clone, Debug)]
pub(crate) enum Coming {
    /// It is new there.
    New(Happening),
    /// Its delay is over.
    Due(DelayedId),
}

/// Who is given a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Taker {
    /// A consumer.
    Consumer(ConsumerId),
    /// A `basic.get`, settled by being answered or not.
    Get { channel: ChannelSlot, no_ack: bool },
}

impl Coming {
    /// What happens by it.
    pub(super) fn happening(&self) -> Happening {
        match self {
            Self::New(first) => first.clone(),
            Self::Due(_) => Happening::Due,
        }
    }
}

fn position(priority: usize, offset: Offset) -> Position {
    Position { level: Level(priority as u8), offset }
}

impl Queue {
    /// Whether it keeps the lives of its messages.
    pub(crate) fn keeps_lives(&self) -> bool {
        self.lives.is_some()
    }

    /// Whether it is to be told how messages come in.
    pub(crate) fn records_arrivals(&self) -> bool {
        self.lives.is_some() || self.spans.is_some()
    }

    /// Somebody wants its spans.
    pub(crate) fn record_spans(&mut self) {
        let id = self.id;
        self.spans.get_or_insert_with(|| Box::new(QueueSpans::new(id)));
    }

    /// Its spans, where somebody wants them.
    pub(crate) fn spans_mut(&mut self) -> Option<&mut QueueSpans> {
        self.spans.as_deref_mut()
    }

    /// The queue is deleted. Returns how many spans will never end.
    pub(crate) fn abandon_spans(&mut self) -> u64 {
        self.spans.take().map_or(0, |spans| spans.abandon())
    }

    /// How many lives it keeps has changed.
    pub(super) fn change_trace(&mut self) {
        match (&mut self.lives, self.rules.trace) {
            (Some(lives), Some(most)) => lives.set_most(most),
            (_, most) => self.lives = most.map(|most| Box::new(Lives::new(most))),
        }
    }

    /// What is before this moment is not known, if nothing was recorded before.
    pub(super) fn start_lives(&mut self, at: Instants) {
        if let Some(lives) = &mut self.lives {
            lives.start(at.wall);
        }
    }

    /// A part of the lives that it keeps, the newest first, from the one below `below` on; `None`: it keeps
    /// none.
    pub(crate) fn read_lives(
        &self,
        message_id: Option<&ShortStr>,
        below: Option<LifeNumber>,
        count_max: usize,
        at: Instants,
    ) -> Option<TracePage> {
        let count_max = count_max.clamp(1, TRACE_PAGE_MAX);
        Some(self.lives.as_ref()?.read(message_id, below, count_max, at.wall))
    }

    /// Bytes that the lives take in memory, about.
    pub(crate) fn lives_bytes(&self) -> u64 {
        self.lives.as_ref().map_or(0, |lives| lives.bytes())
    }

    /// A message comes in. Returns its record.
    pub(super) fn record_coming(
        &mut self,
        message: &Message,
        coming: Option<Coming>,
        at: Instants,
    ) -> Option<LifeNumber> {
        let lives = self.lives_from(at)?;
        match coming? {
            Coming::New(first) => Some(lives.begin(Life::of(message), at.wall, first)),
            Coming::Due(id) => {
                let number = lives.delayed(id).unwrap_or_else(|| {
                    let published = Happening::Published { by: None };
                    lives.begin(Life::of(message), at.wall, published)
                });
                lives.add(number, at.wall, Happening::Due);
                Some(number)
            }
        }
    }

    /// The message that came in stands there.
    pub(super) fn record_place(&mut self, life: Option<LifeNumber>, at: Position) {
        if let (Some(lives), Some(life)) = (&mut self.lives, life) {
            lives.place(life, at);
        }
    }

    /// The message that came in is not due yet.
    pub(super) fn record_delay(
        &mut self,
        life: Option<LifeNumber>,
        id: DelayedId,
        until: WallClock,
        at: Instants,
    ) {
        if let (Some(lives), Some(life)) = (&mut self.lives, life) {
            lives.delay(life, id);
            lives.add(life, at.wall, Happening::Delayed { until });
        }
    }

    /// The wait of a delayed message was ended, and it does not come in.
    pub(crate) fn record_cancelled(&mut self, id: DelayedId, at: Instants) {
        let Some(lives) = self.lives_from(at) else { return };
        if let Some(life) = lives.delayed(id) {
            lives.add(life, at.wall, Happening::Cancelled);
        }
    }

    /// There was no room for a message. Returns its record.
    pub(crate) fn record_refused(
        &mut self,
        message: &Message,
        published: impl FnOnce() -> Happening,
        at: Instants,
    ) -> Option<LifeNumber> {
        if self.state.is_damaged() {
            return None;
        }
        let lives = self.lives_from(at)?;
        let life = lives.begin(Life::of(message), at.wall, published());
        lives.add(life, at.wall, Happening::Refused);
        Some(life)
    }

    /// A message with this key was dropped as a duplicate.
    pub(crate) fn record_duplicate(
        &mut self,
        key: DedupKey,
        by: impl FnOnce() -> Option<Party>,
        at: Instants,
    ) {
        let Some(lives) = self.lives_from(at) else { return };
        if let (Some(original), Some(by)) = (lives.with_key(key), by()) {
            lives.add(original, at.wall, Happening::Repeated { by });
        }
    }

    /// Messages with this key are duplicates of the one that came last.
    pub(super) fn record_key(&mut self, key: DedupKey) {
        if let Some(lives) = &mut self.lives {
            lives.set_last_key(key);
        }
    }

    /// A message is delivered, and was not before it is tracked.
    pub(super) fn record_delivery(
        &mut self,
        delivery: &Delivery,
        taker: Taker,
        clients: &Clients,
        at: Instants,
    ) {
        if !self.records_arrivals() {
            return;
        }
        let (channel, consumer, is_settled) = match taker {
            Taker::Get { channel, no_ack } => (channel, None, no_ack),
            Taker::Consumer(id) => match self.consumers.get(id) {
                Some(consumer) => (consumer.channel, Some(consumer.tag.clone()), consumer.no_ack),
                None => return,
            },
        };
        let to = clients.party(channel);
        let attempt = u64::from(delivery.failures) + u64::from(delivery.returns) + 1;
        if let Some(spans) = &mut self.spans
            && let Some(message) = SpannedMessage::of(&delivery.message)
        {
            let (to, consumer) = (to.clone(), consumer.clone());
            let what = Spanned::Deliver { to, consumer, attempt, end: None };
            spans.delivered(delivery.position, &message, what, is_settled, at.wall);
        }
        let is_redelivered = delivery.redelivered;
        let delivered = Happening::Delivered { to, consumer, attempt, is_redelivered, is_settled };
        self.record_seen(delivery.position, &delivery.message, || delivered, at);
    }

    /// Something happened to a message that is at hand: when it has no record, one begins.
    pub(super) fn record_seen(
        &mut self,
        position: Position,
        message: &Message,
        what: impl FnOnce() -> Happening,
        at: Instants,
    ) -> Option<LifeNumber> {
        let lives = self.lives_from(at)?;
        let life = lives.at(position).unwrap_or_else(|| {
            let published = Happening::Published { by: None };
            let life = lives.begin(Life::of(message), message.published_at(), published);
            lives.place(life, position);
            life
        });
        lives.add(life, at.wall, what());
        Some(life)
    }

    /// Something happened to a message.
    pub(super) fn record(
        &mut self,
        priority: usize,
        offset: Offset,
        at: Instants,
        what: impl FnOnce() -> Happening,
    ) {
        let Some(lives) = self.lives_from(at) else { return };
        if let Some(life) = lives.at(position(priority, offset)) {
            lives.add(life, at.wall, what());
        }
    }

    /// Deliveries ended.
    pub(super) fn record_ended(
        &mut self,
        priority: usize,
        ended: &[(Offset, Held)],
        at: Instants,
        what: &Happening,
    ) {
        if self.lives.is_some() {
            for (offset, _) in ended {
                self.record(priority, *offset, at, || what.clone());
            }
        }
        if let Some(spans) = &mut self.spans {
            for (offset, _) in ended {
                spans.ended(position(priority, *offset), what, at.wall);
            }
        }
    }

    /// A message came back.
    pub(super) fn record_return(
        &mut self,
        priority: usize,
        offset: Offset,
        at: Instants,
        cause: ReturnCause,
    ) {
        let what = Happening::CameBack { cause };
        if let Some(spans) = &mut self.spans {
            spans.ended(position(priority, offset), &what, at.wall);
        }
        self.record(priority, offset, at, || what);
    }

    /// A message leaves for this reason.
    pub(super) fn record_death(
        &mut self,
        priority: usize,
        offset: Offset,
        at: Instants,
        reason: DeathReason,
    ) {
        let is_dead_letter = self.rules.has_destination(reason);
        self.record(priority, offset, at, || Happening::Died { reason, is_dead_letter });
    }

    /// Something happened to a message that has left.
    pub(crate) fn record_afterwards(
        &mut self,
        life: Option<LifeNumber>,
        at: Instants,
        what: impl FnOnce() -> Happening,
    ) {
        if let (Some(lives), Some(life)) = (&mut self.lives, life) {
            lives.add(life, at.wall, what());
        }
    }

    /// An operator sent a message back to the queue that it had died in.
    pub(crate) fn record_redriven(
        &mut self,
        position: Position,
        to: impl FnOnce() -> ShortStr,
        at: Instants,
    ) {
        let priority = usize::from(position.level.0);
        self.record(priority, position.offset, at, || Happening::Redriven { to: to() });
    }

    /// The queue is about to be purged.
    pub(super) fn record_purge(&mut self, at: Instants) {
        let Some(lives) = &mut self.lives else { return };
        let levels = &self.levels;
        let is_there = |position: Position| {
            let level = levels.get(usize::from(position.level.0));
            level.is_some_and(|level| level.is_to_be_purged(position.offset))
        };
        let purged: Vec<LifeNumber> = lives
            .positions()
            .filter(|(position, _)| is_there(*position))
            .map(|(_, life)| life)
            .collect();
        for life in purged {
            lives.add(life, at.wall, Happening::Purged);
        }
    }

    /// The older half of what it keeps gives way. Returns how many bytes are free by that.
    pub(crate) fn halve_lives(&mut self) -> u64 {
        let before = self.lives_bytes();
        if let Some(lives) = &mut self.lives {
            lives.drop_oldest(before.div_ceil(2));
        }
        before - self.lives_bytes()
    }

    fn lives_from(&mut self, at: Instants) -> Option<&mut Lives> {
        let lives = self.lives.as_deref_mut()?;
        lives.start(at.wall);
        Some(lives)
    }
}
