//! Handing a message to the session, or waiting until that is possible.
//!
//! Called by the publish futures under the session's lock. A message waits outside: what is here is
//! written, so a publish future that is dropped while it waits has sent nothing.

use std::task::{Poll, Waker};

use crate::{
    Loss, PublishError,
    channel::{Channel, Role, Stage},
    limits::OUTPUT_SIZE_MAX,
    outbound::Outbound,
    session::{Link, Session},
    window::Ticket,
};

impl Session {
    /// Writes messages of one ticket from the front of `messages` as far as there is room; ready
    /// when all are written. `ticket` is made with the first message.
    pub(crate) fn poll_publish(
        &mut self,
        number: u16,
        messages: &mut &[Outbound],
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) -> Poll<Result<(), PublishError>> {
        if let Link::Closed(error) = &self.link {
            return Poll::Ready(Err(error.clone().into()));
        }
        let frame_size_max = self.tuning.frame_size_max;
        if ticket.is_none() && !messages.iter().all(|message| message.fits(frame_size_max)) {
            return Poll::Ready(Err(PublishError::Invalid(
                "the properties of the message do not fit into a frame; put less into headers",
            )));
        }
        while let Some((message, rest)) = messages.split_first() {
            if !self.can_send(number, waker) {
                return Poll::Pending;
            }
            let Self { channels, output, tuning, .. } = self;
            let channel =
                usize::from(number).checked_sub(1).and_then(|at| channels.get_mut(at)?.as_mut());
            let Some(channel) = channel else {
                return Poll::Ready(Err(crate::Error::Closed.into()));
            };
            message.write(output, number, tuning.frame_size_max);
            if let Some(window) = channel.window() {
                let ticket = *ticket.get_or_insert_with(|| window.ticket());
                window.push(ticket, message);
            }
            *messages = rest;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when one more message may be written.
    pub(crate) fn poll_ready(
        &mut self,
        number: u16,
        waker: &Waker,
    ) -> Poll<Result<(), PublishError>> {
        if let Link::Closed(error) = &self.link {
            return Poll::Ready(Err(error.clone().into()));
        }
        if self.can_send(number, waker) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Whether one more message may be written; if not, the waker is kept until it may.
    fn can_send(&mut self, number: u16, waker: &Waker) -> bool {
        let is_up = matches!(self.link, Link::Up);
        let has_output_room = self.blocked.is_none() && self.output.len() < OUTPUT_SIZE_MAX;
        let Some(channel) = self.channel(number) else { return true };
        let is_ready = is_up && channel.stage == Stage::Ready;
        match &mut channel.role {
            Role::Publisher(window) if !is_ready || !window.has_room() => {
                window.wait_for_room(waker);
                false
            }
            _ if !is_ready || !has_output_room => {
                self.senders.push(waker);
                false
            }
            _ => true,
        }
    }

    /// The channel is set up: what waits for it goes on, and a resending publisher first repeats
    /// what was not confirmed. False when the connection was lost meanwhile (`epoch` is that of the
    /// channel when its setting up began): then all of it was for another connection.
    pub(crate) fn handle_ready(&mut self, number: u16, epoch: u64) -> bool {
        let Self { channels, output, tuning, wakes, senders, .. } = self;
        let channel =
            usize::from(number).checked_sub(1).and_then(|at| channels.get_mut(at)?.as_mut());
        let Some(channel) = channel.filter(|channel| channel.epoch == epoch) else { return false };
        channel.stage = Stage::Ready;
        channel.was_ready = true;
        match &mut channel.role {
            Role::Publisher(window) => {
                window.resend(|message| message.write(output, number, tuning.frame_size_max));
                window.wake_senders(wakes);
            }
            Role::Unconfirmed => senders.move_to(wakes),
            _ => {}
        }
        true
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
    ) -> Poll<crate::window::Failures> {
        let Some(window) = self.channel(number).and_then(Channel::window) else {
            // A confirm holds its channel, so this does not happen; if it did, nothing was confirmed.
            let error = PublishError::Unknown(Loss::EndOfStream);
            return Poll::Ready(vec![(0, error)]);
        };
        window.poll(ticket, waker).map_or(Poll::Pending, Poll::Ready)
    }
}
