//! Taking single messages with `basic.get`.

use std::sync::Arc;

use forebay_wire::{Method, ShortStr, method::BasicGet};

use crate::{
    Delivery, Error, Incoming,
    assembler::{Content, ContentMethod},
    channel::{Answer, Role},
    inbox::Delivered,
    shared::{Handle, Lease},
    unsettled::Unsettled,
};

/// Pulls messages from one queue, one round trip each: for tools and tests. Programs that work a
/// queue off use a [`crate::Consumer`].
#[derive(Clone, Debug)]
pub struct Puller {
    lease: Arc<Lease>,
    queue: ShortStr,
}

impl Puller {
    pub(crate) async fn open(handle: &Arc<Handle>, queue: ShortStr) -> Result<Self, Error> {
        let lease = Lease::open(handle, Role::Puller(Unsettled::default())).await?;
        Ok(Self { lease, queue })
    }

    /// The next message, or `None` when the queue has none ready.
    ///
    /// A message that comes when this future was dropped meanwhile stays unsettled until the puller
    /// is dropped, and then returns to the queue.
    ///
    /// # Errors
    /// [`Error::Refused`] with 404 when there is no such queue (the puller works on, should it come
    /// into being), [`Error::Lost`], [`Error::Closed`].
    pub async fn get(&self) -> Result<Option<Delivery>, Error> {
        let shared = self.lease.shared();
        shared.up().await?;
        let number = self.lease.number;
        let epoch =
            shared.with(|session| session.channel(number).map_or(0, |channel| channel.epoch));
        let queue = shared.record().present_name(&self.queue);
        let found = |name| Err(Error::Unexpected { request: "basic.get", found: name });
        match shared.request(number, BasicGet { queue, no_ack: false }).await? {
            Answer::Method(Method::BasicGetEmpty(_)) => Ok(None),
            Answer::Method(other) => found(other.name()),
            Answer::Content(Content { method: ContentMethod::GetOk(got), properties, body }) => {
                let incoming = Incoming {
                    exchange: got.exchange,
                    routing_key: got.routing_key,
                    is_redelivered: got.redelivered,
                    properties,
                    body,
                };
                let delivered = Delivered { tag: got.delivery_tag, incoming };
                Ok(Some(Delivery::new(&self.lease, epoch, false, delivered)))
            }
            Answer::Content(_) => found("other content"),
        }
    }
}
