//! One channel: what it is for, how far it is open, and which answers it owes.
//!
//! ```text
//! Fresh --channel.open sent--> Opening --role set up--> Ready
//!   ^                             |                       |
//!   |  connection lost            +---- channel.close ----+--> Closing --close-ok--> freed
//!   +-----------------------------+-----------------------+
//! Opening, Ready --closed by the broker--> Closed(fault) --reopened--> Opening
//! ```
//!
//! Owned by the session. A number belongs to its lease until the broker agreed to its end, so late
//! frames never reach another owner.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use forebay_wire::{Method, ReplyCode, ShortStr, method::ChannelClose};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    Error, Fault, Loss, PublishError, session::admission::Admission, session::assembler::Assembler,
    session::inbox::Inbox, session::pulling::Pulling, session::replies::Replies,
    session::unsettled::Unsettled, session::window::Window,
};

/// The channel for declarations.
pub(crate) const CONTROL: u16 = 1;

/// What the broker answered to a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Method(Method),
    /// A message came to the puller.
    Pulled,
}

impl Answer {
    /// The answer to a request other than `basic.get`.
    pub(crate) fn into_method(self) -> Result<Method, Error> {
        match self {
            Self::Method(method) => Ok(method),
            Self::Pulled => Err(Error::Unexpected { request: "a request", found: "basic.get-ok" }),
        }
    }
}

/// Why no answer came.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    Refused(Fault),
    Lost(Loss),
}

/// Leave to send one request on the control channel: with one at a time, a refusal reaches its sender.
pub(crate) type ControlPermit = Arc<OwnedSemaphorePermit>;

/// A request that the broker has not answered yet.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    pub(crate) sender: oneshot::Sender<Result<Answer, NoAnswer>>,
    /// Kept until the answer came, even when the future that asked was dropped meanwhile.
    pub(crate) permit: Option<ControlPermit>,
}

impl PendingRequest {
    pub(crate) fn answer(self, answer: Result<Answer, NoAnswer>) {
        // The future that asked may have been dropped.
        let _ = self.sender.send(answer);
        drop(self.permit);
    }
}

pub(crate) type AnswerReceiver = oneshot::Receiver<Result<Answer, NoAnswer>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Fresh,
    Opening,
    Ready,
    Closing,
    Closed(Fault),
}

/// What a channel is for: each has one purpose, so that a fault of one never harms another.
#[derive(Debug)]
pub(crate) enum Role {
    /// Declarations and the like, one at a time.
    Control,
    /// Publishes with confirms.
    Publisher(Window),
    /// Publishes without confirms.
    Unconfirmed(Admission),
    Consumer(Inbox),
    Puller(Pulling),
}

#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) stage: Stage,
    pub(crate) role: Role,
    pub(crate) assembler: Assembler,
    pub(crate) pending_requests: VecDeque<PendingRequest>,
    /// The owner is gone; the channel closes when no message is in flight on it.
    pub(crate) is_released: bool,
    /// It was set up once, so a reconnection sets it up again. Before that, its opener does.
    pub(crate) was_ready: bool,
    /// Counts the times that deliveries lost their channel.
    pub(crate) epoch: u64,
    /// It stands in the session's list of channels with acks to write.
    pub(crate) is_ack_due: bool,
    /// It stands in the session's list of channels that wait for the socket.
    pub(crate) is_stalled: bool,
    /// Requests that wait for their replies; present in a requester's channel, which is a
    /// publisher's too.
    pub(crate) replies: Option<Replies>,
}

impl Channel {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            stage: Stage::Fresh,
            role,
            assembler: Assembler::Idle,
            pending_requests: VecDeque::new(),
            is_released: false,
            was_ready: false,
            epoch: 0,
            is_ack_due: false,
            is_stalled: false,
            replies: None,
        }
    }

    pub(crate) fn unsettled(&mut self) -> Option<&mut Unsettled> {
        match &mut self.role {
            Role::Consumer(inbox) => Some(&mut inbox.unsettled),
            Role::Puller(pulling) => Some(&mut pulling.unsettled),
            _ => None,
        }
    }

    pub(crate) fn pulling(&mut self) -> Option<&mut Pulling> {
        match &mut self.role {
            Role::Puller(pulling) => Some(pulling),
            _ => None,
        }
    }

    /// The queue of the futures that want to publish.
    pub(crate) fn admission(&mut self) -> Option<&mut Admission> {
        match &mut self.role {
            Role::Publisher(window) => Some(window.admission()),
            Role::Unconfirmed(admission) => Some(admission),
            _ => None,
        }
    }

    /// Wakes futures that want to publish, as many as there is room for.
    pub(crate) fn grant(&mut self, wakes: &mut Vec<Waker>) {
        match &mut self.role {
            Role::Publisher(window) => window.grant(wakes),
            Role::Unconfirmed(admission) => {
                admission.wake_granted(wakes);
                admission.grant(usize::MAX, wakes);
            }
            _ => {}
        }
    }

    pub(crate) fn window(&mut self) -> Option<&mut Window> {
        match &mut self.role {
            Role::Publisher(window) => Some(window),
            _ => None,
        }
    }

    pub(crate) fn inbox(&mut self) -> Option<&mut Inbox> {
        match &mut self.role {
            Role::Consumer(inbox) => Some(inbox),
            _ => None,
        }
    }

    /// Whether no message is in flight whose outcome the owner awaits.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.role {
            Role::Publisher(window) => window.is_idle(),
            _ => true,
        }
    }

    /// Whether the program waits for something that the broker will send on this channel.
    pub(crate) fn awaits_broker(&self) -> bool {
        let is_changing = matches!(self.stage, Stage::Opening | Stage::Closing);
        let awaits_reply = self.replies.as_ref().is_some_and(|replies| !replies.is_empty());
        is_changing || awaits_reply || !self.pending_requests.is_empty() || !self.is_idle()
    }

    /// The connection is gone.
    pub(crate) fn handle_loss(&mut self, loss: &Loss, wakes: &mut Vec<Waker>) {
        self.stage = Stage::Fresh;
        self.forget(|| NoAnswer::Lost(loss.clone()), wakes);
        if let Role::Publisher(window) = &mut self.role {
            window.handle_loss(&PublishError::Unknown(loss.clone()), wakes);
        }
        if let Some(replies) = &mut self.replies {
            replies.handle_loss(loss);
        }
    }

    /// The broker closed the channel.
    pub(crate) fn handle_fault(&mut self, fault: &Fault, wakes: &mut Vec<Waker>) {
        let was_ready = self.stage == Stage::Ready;
        self.stage = Stage::Closed(fault.clone());
        self.forget(|| NoAnswer::Refused(fault.clone()), wakes);
        match &mut self.role {
            Role::Publisher(window) => {
                window.handle_fault(fault, wakes);
                if let Some(replies) = &mut self.replies {
                    replies.handle_fault(fault, &window.held_correlation_ids());
                }
            }
            // While the channel is set up, the code that sets it up decides what becomes of the consumer.
            Role::Consumer(inbox) if was_ready => {
                let queue = inbox.spec.queue.to_string();
                inbox.finish(
                    Some(crate::ConsumeError::Refused { queue, fault: fault.clone() }),
                    wakes,
                );
            }
            _ => {}
        }
    }

    fn forget(&mut self, why: impl Fn() -> NoAnswer, wakes: &mut Vec<Waker>) {
        self.epoch += 1;
        self.assembler = Assembler::Idle;
        for request in self.pending_requests.drain(..) {
            request.answer(Err(why()));
        }
        match &mut self.role {
            Role::Consumer(inbox) => inbox.forget(wakes),
            Role::Puller(pulling) => pulling.clear(),
            _ => {}
        }
    }
}

/// The orderly end of a channel.
pub(crate) fn close() -> ChannelClose {
    ChannelClose {
        reply_code: ReplyCode::Success.code(),
        reply_text: ShortStr::from_static("bye"),
        class_id: 0,
        method_id: 0,
    }
}
