//! The futures of confirms: of one message, and of a batch.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tracing::Span;

use crate::{
    PublishError,
    connection::lease::Lease,
    session::channel::Channel,
    session::tickets::{Failures, Ticket},
};

#[derive(Debug)]
struct Waiting {
    lease: Arc<Lease>,
    ticket: Option<Ticket>,
}

impl Waiting {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Failures> {
        let Some(ticket) = self.ticket else { return Poll::Ready(Vec::new()) };
        let number = self.lease.number;
        let failures = ready!(self.lease.shared().with(|session| session.poll_ticket(
            number,
            ticket,
            context.waker()
        )));
        self.ticket = None;
        Poll::Ready(failures)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let number = self.lease.number;
            self.lease.shared().with(|session| {
                if let Some(window) = session.channel(number).and_then(Channel::window) {
                    window.tickets().detach(ticket);
                }
            });
        }
    }
}

/// Resolves when the fate of a message is known: `Ok(())` when the broker has confirmed it, that is
/// when every queue that it was routed to holds it; otherwise why not.
///
/// Dropping it is allowed where [`crate::Publisher::flush`] or [`crate::Connection::close`] is asked
/// for the failures.
#[derive(Debug)]
#[must_use = "the message is not known to be stored before this was awaited"]
pub struct Confirm {
    waiting: Waiting,
    span: Span,
}

impl Confirm {
    pub(crate) fn new(lease: Arc<Lease>, ticket: Option<Ticket>, span: Span) -> Self {
        Self { waiting: Waiting { lease, ticket }, span }
    }
}

impl Future for Confirm {
    type Output = Result<(), PublishError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let failures = ready!(this.waiting.poll(context));
        let _in_span = this.span.enter();
        Poll::Ready(match failures.into_iter().next() {
            None => Ok(()),
            Some((_, error)) => {
                tracing::debug!(%error, "not confirmed");
                Err(error)
            }
        })
    }
}

/// Resolves when the fate of every message of a batch is known.
#[derive(Debug)]
#[must_use = "the messages are not known to be stored before this was awaited"]
pub struct Confirms {
    waiting: Waiting,
    count: usize,
}

impl Confirms {
    pub(crate) fn new(lease: Arc<Lease>, ticket: Option<Ticket>, count: usize) -> Self {
        Self { waiting: Waiting { lease, ticket }, count }
    }
}

impl Future for Confirms {
    type Output = Result<(), BatchError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut failures = ready!(this.waiting.poll(context));
        if failures.is_empty() {
            return Poll::Ready(Ok(()));
        }
        failures.sort_by_key(|(place, _)| *place);
        let failures = failures.into_iter().map(|(place, error)| (place as usize, error)).collect();
        Poll::Ready(Err(BatchError { failures, count: this.count }))
    }
}

/// The messages of a batch that are not known to be stored. All others are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchError {
    /// Place in the batch, from 0, and reason; in ascending order, never empty.
    pub failures: Vec<(usize, PublishError)>,
    /// Messages in the batch.
    pub count: usize,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} messages were not confirmed", self.failures.len(), self.count)?;
        match self.failures.first() {
            Some((place, error)) => write!(f, "; the first is number {place}: {error}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BatchError {}
