//! Taking single messages with `basic.get`.

use std::sync::Arc;

use forebay_wire::{Method, ShortStr, method::BasicGet};

use crate::{
    Delivery, Error,
    connection::{lease::Lease, shared::Handle},
    session::channel::{Answer, Channel, Role},
    session::pulling::Pulling,
};

/// Takes single messages from one queue with `basic.get`, one round trip each: for tools and tests. Made by
/// [`crate::Connection::puller`]. Programs that work a queue off use a [`crate::Consumer`].
#[derive(Clone, Debug)]
pub struct Puller {
    lease: Arc<Lease>,
    queue: ShortStr,
}

/// One future that asks; counted until it has its answer or is dropped.
struct Asking<'a>(&'a Lease);

impl<'a> Asking<'a> {
    fn begin(lease: &'a Lease) -> Self {
        lease.shared().with(|session| {
            if let Some(pulling) = session.channel(lease.number).and_then(Channel::pulling) {
                pulling.begin();
            }
        });
        Self(lease)
    }

    /// The oldest message that came, with the epoch of its channel.
    fn take(&self, puller: &Puller) -> Option<Delivery> {
        let number = self.0.number;
        let (epoch, delivered) = self.0.shared().with(|session| {
            let channel = session.channel(number)?;
            let epoch = channel.epoch;
            Some((epoch, channel.pulling()?.take()?))
        })?;
        Some(Delivery::new(&puller.lease, epoch, false, delivered))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let number = self.0.number;
        self.0.shared().with(|session| {
            if let Some(pulling) = session.channel(number).and_then(Channel::pulling) {
                pulling.end();
            }
            session.return_unwanted(number);
        });
    }
}

impl Puller {
    pub(crate) async fn open(handle: &Arc<Handle>, queue: ShortStr) -> Result<Self, Error> {
        let lease = Lease::open(handle, Role::Puller(Pulling::default())).await?;
        Ok(Self { lease, queue })
    }

    /// The next message, or `None` when the queue has none ready.
    ///
    /// Cancellation-safe: a message that comes after this future was dropped is what the next
    /// `get` returns, or it goes back to the queue, without counting as a failed delivery, as soon
    /// as the program holds no other delivery of this puller.
    ///
    /// # Errors
    /// [`Error::Refused`] with 404 when there is no such queue (the puller works on, should it come
    /// into being), [`Error::Lost`], [`Error::Closed`].
    pub async fn get(&self) -> Result<Option<Delivery>, Error> {
        let shared = self.lease.shared();
        shared.up().await?;
        let asking = Asking::begin(&self.lease);
        loop {
            if let Some(delivery) = asking.take(self) {
                return Ok(Some(delivery));
            }
            let queue = {
                let mut record = shared.record();
                record.handle_used(&self.queue);
                record.present_name(&self.queue)
            };
            let get = BasicGet { queue, no_ack: false };
            match shared.request(self.lease.number, get).await? {
                Answer::Method(Method::BasicGetEmpty(_)) => return Ok(asking.take(self)),
                Answer::Method(other) => {
                    let found = other.name();
                    return Err(Error::Unexpected { request: "basic.get", found });
                }
                // It came, and another future may have taken it meanwhile.
                Answer::Pulled => {}
            }
        }
    }
}
