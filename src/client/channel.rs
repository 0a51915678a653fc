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

use forebay_wire::Method;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    Fault, Loss, PublishError, admission::Admission, assembler::Assembler, inbox::Inbox,
    pulling::Pulling, replies::Replies, unsettled::Unsettled, window::Window,
};

/// What the broker answered to a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Method(Method),
    /// A message came to the puller.
    Pulled,
}

/// Why no answer came.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    Refused(Fault),
    Lost(Loss),
}

/// One request at a time on the control channel, so that a refusal reaches who asked.
pub(crate) type Turn = Arc<OwnedSemaphorePermit>;

/// Who waits for an answer.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) sender: oneshot::Sender<Result<Answer, NoAnswer>>,
    /// Kept until the answer came, even if the asker has gone meanwhile.
    pub(crate) turn: Option<Turn>,
}

impl Asker {
    pub(crate) fn answer(self, answer: Result<Answer, NoAnswer>) {
        // The asker may have gone; the answer is then of no interest to anybody.
        let _ = self.sender.send(answer);
        drop(self.turn);
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
    pub(crate) askers: VecDeque<Asker>,
    /// The owner is gone; the channel closes when nothing is in flight on it.
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
            askers: VecDeque::new(),
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

    /// The queue of those who want to publish.
    pub(crate) fn admission(&mut self) -> Option<&mut Admission> {
        match &mut self.role {
            Role::Publisher(window) => Some(window.admission()),
            Role::Unconfirmed(admission) => Some(admission),
            _ => None,
        }
    }

    /// Wakes those who want to publish, as far as there is room.
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

    /// Whether nothing is in flight that the owner would want to see through.
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
        is_changing || awaits_reply || !self.askers.is_empty() || !self.is_idle()
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
            // While it is set up, whoever does that decides what becomes of it.
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
        for asker in self.askers.drain(..) {
            asker.answer(Err(why()));
        }
        match &mut self.role {
            Role::Consumer(inbox) => inbox.forget(wakes),
            Role::Puller(pulling) => pulling.clear(),
            _ => {}
        }
    }
}
