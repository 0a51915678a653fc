//! All connections that are open, by number: how many there are, and the way to tell them
//! something. Each connection task enters itself and leaves when it ends.

use crate::connection::connection_about::ConnectionAbout;
use crate::limits::{DESCRIBE_DURATION_MAX, DESCRIBED_AT_ONCE_MAX};
use forebay_engine::event::Event;
use forebay_engine::model::{ConnectionId, Fault};
use forebay_wire::ShortStr;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// Where a connection's events go. Unbounded as a channel, bounded by what is sent: deliveries by
/// the engine's budget, replies by one open request, confirms by what was published.
pub type EventSender = UnboundedSender<Vec<Event>>;
/// The other end, in the connection's task.
pub type EventReceiver = UnboundedReceiver<Vec<Event>>;

/// The open connections. Clones are the same register.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    register: Mutex<Register>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Register {
    last_id: u64,
    /// Of clients.
    opened_total: u64,
    closing: Option<Fault>,
    /// Why publishers have to wait.
    alarm: Option<Shortage>,
    members: HashMap<ConnectionId, Member>,
}

/// Of what there is too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// As clients are told.
    pub reason: ShortStr,
    /// It is memory, alone or besides.
    pub is_memory: bool,
}

impl From<Shortage> for Event {
    fn from(Shortage { reason, is_memory }: Shortage) -> Self {
        Self::Blocked { reason, is_memory_short: is_memory }
    }
}

#[derive(Debug)]
struct Member {
    sender: EventSender,
    about: Option<Arc<ConnectionAbout>>,
}

/// A place in the register, given back when dropped.
#[derive(Debug)]
pub struct Entry {
    id: ConnectionId,
    sender: EventSender,
    connections: Connections,
}

impl Connections {
    /// Enters a new connection and gives it a number; nothing when `max` are open already. One
    /// that enters while all are being closed is told so at once.
    #[must_use]
    pub fn enter(&self, max: usize) -> Option<(Entry, EventReceiver)> {
        let mut register = self.register();
        if register.members.len() >= max {
            return None;
        }
        register.opened_total += 1;
        Some(self.add(&mut register))
    }

    /// Enters what the broker itself asks the shard through, which is no client's.
    #[must_use]
    pub fn enter_session(&self) -> (Entry, EventReceiver) {
        self.add(&mut self.register())
    }

    fn add(&self, register: &mut Register) -> (Entry, EventReceiver) {
        let (sender, receiver) = unbounded_channel();
        register.last_id += 1;
        let id = ConnectionId(register.last_id);
        if let Some(fault) = register.closing.clone() {
            // The receiver is at hand: this can't fail.
            let _ = sender.send(vec![Event::Close { fault }]);
        }
        register.members.insert(id, Member { sender: sender.clone(), about: None });
        (Entry { id, sender, connections: self.clone() }, receiver)
    }

    /// Tells every connection, and all that come later, to close with this fault.
    pub fn close_all(&self, fault: &Fault) {
        let mut register = self.register();
        register.closing = Some(fault.clone());
        register.members.values().for_each(|member| member.close(fault));
    }

    /// Tells those open connections to close of which `is_meant` says so; how many they are.
    pub fn close_some(
        &self,
        fault: &Fault,
        is_meant: impl Fn(ConnectionId, &ConnectionAbout) -> bool,
    ) -> usize {
        let register = self.register();
        let meant = register.members.iter().filter(|(id, member)| {
            member.about.as_deref().is_some_and(|about| is_meant(**id, about))
        });
        meant.map(|(_, member)| member.close(fault)).count()
    }

    /// Publishers have to wait, and for what, or may go on: told to every connection, and to those that
    /// come later.
    pub fn set_alarm(&self, alarm: Option<Shortage>) {
        let mut register = self.register();
        let event = alarm.clone().map_or(Event::Unblocked, Event::from);
        register.alarm = alarm;
        // Before the handshake is over a connection could not make anything of it.
        for member in register.members.values().filter(|member| member.about.is_some()) {
            member.tell(event.clone());
        }
    }

    /// How many wait because they published during an alarm, and how many because they published
    /// faster than they may.
    #[must_use]
    pub fn count_waiting(&self) -> (usize, usize) {
        let register = self.register();
        let abouts = || register.members.values().filter_map(|member| member.about.as_ref());
        let blocked = abouts().filter(|about| about.blocked.load(Ordering::Relaxed)).count();
        (blocked, abouts().filter(|about| about.paced.load(Ordering::Relaxed)).count())
    }

    /// The connections that are open in a virtual host, by number.
    #[must_use]
    pub fn list(&self) -> Vec<(ConnectionId, Arc<ConnectionAbout>)> {
        let register = self.register();
        let mut list: Vec<_> = register
            .members
            .iter()
            .filter_map(|(id, member)| Some((*id, Arc::clone(member.about.as_ref()?))))
            .collect();
        list.sort_by_key(|(id, _)| *id);
        list
    }

    /// Takes the rates of what passes through the sockets.
    pub fn sample_traffic(&self) {
        let now = Instant::now();
        self.list().iter().for_each(|(_, about)| about.traffic.sample(now));
    }

    /// Asks connections to tell of their channels anew; returns when they have, or soon.
    pub async fn describe_channels(&self, asked: &[(ConnectionId, Arc<ConnectionAbout>)]) {
        let described = async {
            for some in asked.chunks(DESCRIBED_AT_ONCE_MAX) {
                let told: Vec<_> = some.iter().map(|(_, about)| about.told()).collect();
                {
                    let register = self.register();
                    let members = some.iter().filter_map(|(id, _)| register.members.get(id));
                    members.for_each(|member| member.tell(Event::Describe));
                }
                join_all(told).await;
            }
        };
        // One that is about to end, or has to wait for the shard, is shown as it was last.
        let _ = timeout(DESCRIBE_DURATION_MAX, described).await;
    }

    /// Waits until none is open.
    pub async fn all_left(&self) {
        loop {
            let left = self.inner.left.notified();
            if self.register().members.is_empty() {
                return;
            }
            left.await;
        }
    }

    /// How many are open, and how many were ever opened.
    #[must_use]
    pub fn counts(&self) -> (usize, u64) {
        let register = self.register();
        (register.members.len(), register.opened_total)
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.inner.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn close(&self, fault: &Fault) {
        self.tell(Event::Close { fault: fault.clone() });
    }

    fn tell(&self, event: Event) {
        // A connection that ended just now needs no telling.
        let _ = self.sender.send(vec![event]);
    }
}

impl Entry {
    /// The connection's number.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Enters what the handshake has shown.
    pub fn describe(&self, about: &Arc<ConnectionAbout>) {
        let mut register = self.connections.register();
        let alarm = register.alarm.clone();
        if let Some(member) = register.members.get_mut(&self.id) {
            member.about = Some(Arc::clone(about));
            if let Some(shortage) = alarm {
                member.tell(shortage.into());
            }
        }
    }

    /// Where to send its events.
    #[must_use]
    pub fn sender(&self) -> EventSender {
        self.sender.clone()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let empty = {
            let mut register = self.connections.register();
            register.members.remove(&self.id);
            register.members.is_empty()
        };
        if empty {
            self.connections.inner.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_engine::model::WallClock;
    use forebay_wire::ReplyCode;

    #[tokio::test]
    async fn everybody_is_told_to_close_also_who_comes_later() {
        let connections = Connections::default();
        let (early, mut early_events) = connections.enter(10).unwrap();
        let fault = Fault::connection(ReplyCode::ConnectionForced, "shutdown");
        connections.close_all(&fault);
        let (late, mut late_events) = connections.enter(10).unwrap();
        for events in [&mut early_events, &mut late_events] {
            let told = events.recv().await.unwrap();
            assert!(matches!(told.as_slice(), [Event::Close { fault: f }] if *f == fault));
        }
        assert!(early.id() < late.id());
        let left = tokio::spawn({
            let connections = connections.clone();
            async move { connections.all_left().await }
        });
        drop(early);
        drop(late);
        left.await.unwrap();
        assert_eq!(connections.counts(), (0, 2));
    }

    fn describe(entry: &Entry) {
        entry.describe(&Arc::new(ConnectionAbout::new(
            ShortStr::from_static("guest"),
            ShortStr::from_static("/"),
            "127.0.0.1:1".parse().unwrap(),
            None,
            WallClock(0),
        )));
    }

    #[test]
    fn an_alarm_is_told_to_all_that_are_open_and_to_those_that_open_later() {
        let connections = Connections::default();
        let (early, mut early_events) = connections.enter(10).unwrap();
        describe(&early);
        let (late, mut late_events) = connections.enter(10).unwrap();
        let reason = ShortStr::from_static("low on disk");
        connections.set_alarm(Some(Shortage { reason, is_memory: false }));
        assert!(late_events.try_recv().is_err(), "still in its handshake");
        describe(&late);
        for events in [&mut early_events, &mut late_events] {
            let told = events.try_recv().unwrap();
            assert!(matches!(told.as_slice(), [Event::Blocked { .. }]), "{told:?}");
        }
        connections.set_alarm(None);
        assert!(matches!(early_events.try_recv().unwrap().as_slice(), [Event::Unblocked]));
        let (after, mut after_events) = connections.enter(10).unwrap();
        describe(&after);
        assert!(after_events.try_recv().is_err());
    }

    #[test]
    fn no_more_enter_than_there_is_room_for() {
        let connections = Connections::default();
        let first = connections.enter(1).unwrap();
        assert!(connections.enter(1).is_none());
        drop(first);
        assert!(connections.enter(1).is_some());
    }
}
