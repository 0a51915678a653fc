//! Handing a message to the session, or waiting until that is possible.
//!
//! Called by the publish futures under the session's lock. A message waits outside: what is here is
//! written, so a publish future that is dropped while it waits has not sent its message.

use std::{
    mem,
    task::{Poll, Waker},
};

use crate::{
    Loss, PublishError,
    limits::OUTPUT_SIZE_MAX,
    message::outbound::Outbound,
    session::channel::{Channel, Role, Stage},
    session::tickets::{Failures, Ticket},
    session::waiters::Place,
    session::{Link, Session},
};

/// The messages of one publish future that are still to be written.
#[derive(Debug)]
pub(crate) enum Outbox {
    One(Option<Outbound>),
    Many(std::vec::IntoIter<Outbound>),
}

impl Outbox {
    fn as_slice(&self) -> &[Outbound] {
        match self {
            Self::One(message) => message.as_slice(),
            Self::Many(messages) => messages.as_slice(),
        }
    }

    fn take(&mut self) -> Option<Outbound> {
        match self {
            Self::One(message) => message.take(),
            Self::Many(messages) => messages.next(),
        }
    }
}

impl Session {
    /// Writes messages of one ticket from the front of the outbox as far as there is room; ready
    /// when all are written. `ticket` is made with the first message.
    pub(crate) fn poll_publish(
        &mut self,
        number: u16,
        outbox: &mut Outbox,
        ticket: &mut Option<Ticket>,
        place: &mut Place,
        waker: &Waker,
    ) -> Poll<Result<(), PublishError>> {
        if let Link::Closed(error) = &self.link {
            return Poll::Ready(Err(error.clone().into()));
        }
        let frame_size_max = self.tuning.frame_size_max;
        if ticket.is_none() && !outbox.as_slice().iter().all(|next| next.fits(frame_size_max)) {
            return Poll::Ready(Err(PublishError::Invalid(
                "the properties of the message do not fit into a frame; put less into headers"
                    .into(),
            )));
        }
        while !outbox.as_slice().is_empty() {
            if !self.admits(number, place, waker) {
                return Poll::Pending;
            }
            let Self { channels, output, statistics, .. } = self;
            let channel =
                usize::from(number).checked_sub(1).and_then(|at| channels.get_mut(at)?.as_mut());
            let Some(channel) = channel else {
                return Poll::Ready(Err(crate::Error::Closed.into()));
            };
            let Some(message) = outbox.take() else { break };
            message.write(output, number, frame_size_max);
            statistics.published += 1;
            if let Some(admission) = channel.admission() {
                admission.leave(place);
            }
            if let Some(window) = channel.window() {
                let ticket = *ticket.get_or_insert_with(|| window.tickets().issue());
                window.push(ticket, message);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when one more message may be written.
    pub(crate) fn poll_ready(
        &mut self,
        number: u16,
        place: &mut Place,
        waker: &Waker,
    ) -> Poll<Result<(), PublishError>> {
        if let Link::Closed(error) = &self.link {
            return Poll::Ready(Err(error.clone().into()));
        }
        if self.admits(number, place, waker) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Whether the future at this place may write one more message; if not, it is woken when it may.
    fn admits(&mut self, number: u16, place: &mut Place, waker: &Waker) -> bool {
        let is_up = matches!(self.link, Link::Up);
        let has_output_room = self.has_output_room();
        let Some(channel) = self.channel(number) else { return true };
        let is_ready = is_up && channel.stage == Stage::Ready;
        let has_room = match &mut channel.role {
            Role::Publisher(window) => window.admits(*place),
            Role::Unconfirmed(admission) => admission.admits(*place, usize::MAX),
            _ => true,
        };
        if is_ready && has_output_room && has_room {
            return true;
        }
        if let Some(admission) = channel.admission() {
            admission.wait(place, waker);
        }
        if is_ready && !has_output_room && !channel.is_stalled {
            channel.is_stalled = true;
            self.stalled.push(number);
        }
        false
    }

    fn has_output_room(&self) -> bool {
        self.blocked.is_none() && self.output.len() < OUTPUT_SIZE_MAX
    }

    /// A publish future was dropped while it had a place in the queue: its turn passes on.
    pub(crate) fn withdraw(&mut self, number: u16, place: &mut Place) {
        let mut wakes = mem::take(&mut self.wakes);
        match self.channel(number).map(|channel| &mut channel.role) {
            Some(Role::Publisher(window)) => window.withdraw(place, &mut wakes),
            Some(Role::Unconfirmed(admission)) => {
                admission.leave(place);
                admission.grant(usize::MAX, &mut wakes);
            }
            _ => {}
        }
        self.wakes = wakes;
    }

    /// The socket takes output again.
    pub(crate) fn grant_stalled(&mut self) {
        if self.stalled.is_empty() || !self.has_output_room() {
            return;
        }
        let mut wakes = mem::take(&mut self.wakes);
        let mut stalled = mem::take(&mut self.stalled);
        for number in stalled.drain(..) {
            if let Some(channel) = self.channel(number) {
                channel.is_stalled = false;
                channel.grant(&mut wakes);
            }
        }
        self.stalled = stalled;
        self.wakes = wakes;
    }

    /// The channel is set up: what waits for it goes on, and a publisher first repeats what the
    /// channel before it took along. False when the connection was lost meanwhile (`epoch` is that
    /// of the channel when its setting up began): then all of it was for another connection.
    pub(crate) fn handle_ready(&mut self, number: u16, epoch: u64) -> bool {
        let Some(channel) = self.channel(number).filter(|channel| channel.epoch == epoch) else {
            return false;
        };
        channel.stage = Stage::Ready;
        channel.was_ready = true;
        self.write_backlog(number);
        true
    }

    /// Writes what is to be written again, and lets others in when that is all.
    pub(crate) fn write_backlog(&mut self, number: u16) {
        let mut wakes = mem::take(&mut self.wakes);
        let Self { channels, output, tuning, .. } = self;
        let channel =
            usize::from(number).checked_sub(1).and_then(|at| channels.get_mut(at)?.as_mut());
        if let Some(channel) = channel.filter(|channel| channel.stage == Stage::Ready) {
            if let Some(window) = channel.window() {
                window.write_backlog(|message| {
                    message.write(output, number, tuning.frame_size_max);
                });
            }
            channel.grant(&mut wakes);
        }
        self.wakes = wakes;
    }

    /// See [`Session::handle_ready`].
    pub(crate) fn epoch(&mut self, number: u16) -> u64 {
        self.channel(number).map_or(0, |channel| channel.epoch)
    }

    /// The results of a ticket, once it is settled.
    pub(crate) fn poll_ticket(
        &mut self,
        number: u16,
        ticket: Ticket,
        waker: &Waker,
    ) -> Poll<Failures> {
        let Some(window) = self.channel(number).and_then(Channel::window) else {
            // A confirm holds its channel, so this does not happen; if it did, no message was confirmed.
            let error = PublishError::Unknown(Loss::EndOfStream);
            return Poll::Ready(vec![(0, error)]);
        };
        window.tickets().poll(ticket, waker).map_or(Poll::Pending, Poll::Ready)
    }
}
