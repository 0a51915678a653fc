//! A received message that must be settled.

use std::{ops::Deref, sync::Arc, time::Duration};

use crate::{
    Incoming, SettleError, connection::lease::Lease, limits::RETRY_DELAY_MS_MAX,
    session::inbox::Delivered,
};

/// A message from a queue, to be settled with [`Delivery::ack`], [`Delivery::nack`],
/// [`Delivery::retry_after`] or [`Delivery::reject`]. Dropping it unsettled gives it back to the queue, like
/// `nack`, so a handler that returns early, panics or is cancelled loses no message.
///
/// Settling never waits: what is settled goes out with the next write, many acks as one frame. When
/// the program ends, close the connection ([`crate::Connection::close`]) so that the last ones go
/// out too; otherwise those messages are delivered once more.
#[derive(Debug)]
pub struct Delivery {
    incoming: Incoming,
    tag: u64,
    /// `None` when it is settled, or when its consumer works without acks.
    duty: Option<Duty>,
}

#[derive(Debug)]
struct Duty {
    lease: Arc<Lease>,
    epoch: u64,
    /// Dropped, the delivery was not tried and does not count as failed.
    is_untried: bool,
}

impl Delivery {
    pub(crate) fn new(
        lease: &Arc<Lease>,
        epoch: u64,
        is_no_ack: bool,
        delivered: Delivered,
    ) -> Self {
        let duty =
            (!is_no_ack).then(|| Duty { lease: Arc::clone(lease), epoch, is_untried: false });
        Self { incoming: delivered.incoming, tag: delivered.tag, duty }
    }

    /// It is done: the broker forgets the message.
    ///
    /// # Errors
    /// [`SettleError::ChannelGone`]: the connection was lost since; the message comes again.
    pub fn ack(mut self) -> Result<(), SettleError> {
        let Some(duty) = self.duty.take() else { return Ok(()) };
        let (number, tag) = (duty.lease.number, self.tag);
        settled(duty.lease.shared().with(|session| session.ack(number, duty.epoch, tag)))
    }

    /// It failed and shall be tried again: the message returns to its place in the queue, and counts
    /// as one failed delivery where the queue has a delivery limit.
    ///
    /// # Errors
    /// [`SettleError::ChannelGone`]: the connection was lost since; the message comes again.
    pub fn nack(mut self) -> Result<(), SettleError> {
        settled(self.give_back(true))
    }

    /// It failed and shall be tried again, not before `delay` has passed: as [`Delivery::nack`], but the
    /// message waits out of the way of those behind it. Takes whole milliseconds, at most ten years; zero
    /// is [`Delivery::nack`] without the wait that the queue may have for it. A broker that does not say that
    /// it takes settlement instructions (RabbitMQ) gets a plain `nack`.
    ///
    /// # Errors
    /// [`SettleError::ChannelGone`]: the connection was lost since; the message comes again.
    pub fn retry_after(mut self, delay: Duration) -> Result<(), SettleError> {
        let Some(duty) = self.duty.take() else { return Ok(()) };
        let (number, tag) = (duty.lease.number, self.tag);
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).min(RETRY_DELAY_MS_MAX);
        let shared = duty.lease.shared();
        settled(shared.with(|session| session.retry_after(number, duty.epoch, tag, delay)))
    }

    /// It will never succeed: the message goes to the queue's dead-letter exchange, and is dropped when
    /// the queue has none.
    ///
    /// # Errors
    /// [`SettleError::ChannelGone`]: the connection was lost since; the message comes again.
    pub fn reject(mut self) -> Result<(), SettleError> {
        settled(self.give_back(false))
    }

    /// Asks for more time: this delivery may be held for so long from now on, whatever the lease of its
    /// consumer or the time-out of its queue is. What the consumer holds beside it is timed anew, since this
    /// shows that the client lives. Milliseconds count, 1 ms is the least and ten years are the most.
    ///
    /// It goes out with the next write, and the broker does not answer. Where the broker took the delivery
    /// back before, nothing changes: another consumer may have the message. Only for Forebay: another broker
    /// takes it for a message that no queue wants, and may refuse it.
    ///
    /// # Errors
    /// [`SettleError::ChannelGone`]: the connection was lost since; the message comes again.
    pub fn extend(&self, lease: Duration) -> Result<(), SettleError> {
        let Some(duty) = &self.duty else { return Ok(()) };
        let (number, tag) = (duty.lease.number, self.tag);
        let shared = duty.lease.shared();
        settled(shared.with(|session| session.extend(number, duty.epoch, tag, lease)))
    }

    /// It was not tried; it returns when its channel ends.
    fn leave_untried(&mut self) {
        let Some(duty) = self.duty.take() else { return };
        let (number, tag) = (duty.lease.number, self.tag);
        duty.lease.shared().with(|session| session.leave_untried(number, duty.epoch, tag));
    }

    /// For what ends in good order: dropped, it returns with the end of its channel instead of counting
    /// as failed.
    pub(crate) fn untried_when_dropped(mut self) -> Self {
        if let Some(duty) = &mut self.duty {
            duty.is_untried = true;
        }
        self
    }

    /// Whether it can still be settled.
    pub(crate) fn is_live(&self) -> bool {
        self.duty.as_ref().is_none_or(|duty| {
            let number = duty.lease.number;
            duty.lease.shared().with(|session| session.epoch(number)) == duty.epoch
        })
    }

    /// The message without the duty, for a task that outlives the settling.
    pub fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    fn give_back(&mut self, is_requeued: bool) -> bool {
        let Some(duty) = self.duty.take() else { return true };
        let (number, tag) = (duty.lease.number, self.tag);
        duty.lease.shared().with(|session| session.reject(number, duty.epoch, tag, is_requeued))
    }
}

fn settled(is_settled: bool) -> Result<(), SettleError> {
    if is_settled { Ok(()) } else { Err(SettleError::ChannelGone) }
}

impl Deref for Delivery {
    type Target = Incoming;

    fn deref(&self) -> &Incoming {
        &self.incoming
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.duty.as_ref().is_some_and(|duty| duty.is_untried) {
            self.leave_untried();
        } else {
            self.give_back(true);
        }
    }
}
