//! Requests that are answered by direct reply-to: no queue for the replies, no consumer to look after.
//!
//! Publisher and consumer share one channel here, which direct reply-to asks for. The table of
//! waiting calls lies in the session (`replies.rs`).

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use forebay_wire::ShortStr;
use tokio::{
    sync::oneshot,
    time::{error::Elapsed, timeout},
};

use crate::{
    Error, Incoming, Loss, Message, PublishError, Publisher, PublisherOptions,
    connection::{lease::Lease, shared::Handle},
    limits::CALL_TIMEOUT_DEFAULT,
    message::message_id,
    session::channel::Channel,
    session::replies::{REPLY_QUEUE, Replies, ReplySender},
};

/// Sends requests and awaits their replies (RPC); made by [`crate::Connection::requester`]. A clone
/// is the same requester, and any number of calls may be under way at once.
///
/// ```no_run
/// # use forebay_client::{Connection, Message};
/// # use std::time::Duration;
/// # async fn example(connection: Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let requester = connection.requester().await?;
/// let reply = requester.call(Message::to_queue("sums", "20+22")).timeout(Duration::from_secs(2)).await?;
/// println!("{:?}", reply.text());
/// # Ok(()) }
/// ```
///
/// The program that answers publishes [`Message::reply`]. A call that is dropped or timed out forgets its
/// reply; whether the request is handled all the same is unknown.
#[derive(Clone, Debug)]
pub struct Requester {
    publisher: Publisher,
}

/// Why a call has no reply.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No reply within the time allowed. The request may be handled all the same.
    #[error("no reply came within {0:?}; is a consumer there, and fast enough?")]
    TimedOut(Duration),
    /// The request did not reach a queue, for example because there is none.
    #[error("the request was not taken: {0}")]
    Publish(#[from] PublishError),
    /// The connection went before the reply came. The request may be handled all the same.
    #[error("the connection was lost before the reply came: {0}")]
    Lost(Loss),
}

impl Requester {
    pub(crate) async fn open(handle: &Arc<Handle>) -> Result<Self, Error> {
        let mut channel = Channel::new(Publisher::role(&PublisherOptions::default()));
        channel.replies = Some(Replies::default());
        let lease = Lease::open_channel(handle, channel).await?;
        Ok(Self { publisher: Publisher::new(lease) })
    }

    /// Sends a request; await what this returns. Correlation id and reply-to are set by the call.
    pub fn call(&self, request: Message) -> Call {
        Call { requester: self.clone(), request, limit: CALL_TIMEOUT_DEFAULT }
    }
}

/// A call that is not sent before it is awaited; made by [`Requester::call`].
#[derive(Debug)]
#[must_use = "the request is sent when this is awaited"]
pub struct Call {
    requester: Requester,
    request: Message,
    limit: Duration,
}

impl Call {
    /// How long to wait for the reply. Default: 30 s.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    async fn run(self) -> Result<Incoming, CallError> {
        let limit = self.limit;
        timeout(limit, self.exchange())
            .await
            .unwrap_or_else(|_: Elapsed| Err(CallError::TimedOut(limit)))
    }

    async fn exchange(self) -> Result<Incoming, CallError> {
        let publisher = self.requester.publisher;
        // A connection that is lost from here on ends the call: before, the request was not sent.
        publisher.ready().await?;
        let (sender, mut receiver) = oneshot::channel();
        let entry = Entry::new(publisher.lease(), sender);
        let request =
            self.request.correlation_id(&entry.correlation_id).reply_to(REPLY_QUEUE).mandatory();
        let confirmed = async {
            let confirm = publisher.publish(request).await?;
            entry.handle_sent();
            confirm.await
        };
        tokio::select! {
            // First, because a refused request loses its way for a reply as well.
            biased;
            confirmed = confirmed => confirmed.map_err(|error| match error {
                PublishError::Unknown(loss) => CallError::Lost(loss),
                error => CallError::Publish(error),
            })?,
            reply = &mut receiver => return outcome(reply),
        }
        outcome(receiver.await)
    }
}

fn outcome(
    reply: Result<Result<Incoming, Loss>, oneshot::error::RecvError>,
) -> Result<Incoming, CallError> {
    reply.unwrap_or(Err(Loss::EndOfStream)).map_err(CallError::Lost)
}

impl IntoFuture for Call {
    type Output = Result<Incoming, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// A place in the table of waiting calls; gone with the call.
struct Entry {
    lease: Arc<Lease>,
    correlation_id: ShortStr,
}

impl Entry {
    fn new(lease: &Arc<Lease>, sender: ReplySender) -> Self {
        let entry = Self { lease: Arc::clone(lease), correlation_id: message_id::fresh() };
        entry.with(|replies| replies.insert(entry.correlation_id.clone(), sender));
        entry
    }

    fn handle_sent(&self) {
        self.with(|replies| replies.handle_sent(&self.correlation_id));
    }

    fn with(&self, action: impl FnOnce(&mut Replies)) {
        let number = self.lease.number;
        self.lease.shared().with(|session| {
            if let Some(replies) = session.channel(number).and_then(|it| it.replies.as_mut()) {
                action(replies);
            }
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.with(|replies| replies.remove(&self.correlation_id));
    }
}
