//! What can go wrong, typed, and what to do about it.
//!
//! Faults of connecting ([`ConnectError`]), of a request ([`Error`]), of a publish
//! ([`PublishError`]), of a consumer ([`ConsumeError`]) and of settling a delivery
//! ([`SettleError`]) are different types because different things can be done about them.
//! All of them are `Clone`: one lost connection settles many waiting futures.

use std::{borrow::Cow, io, sync::Arc, time::Duration};

use forebay_wire::method::{ChannelClose, ConnectionClose};
use thiserror::Error;

use crate::{Returned, UriError, connect::uri::Address};

/// What the broker said when it closed a channel or the connection.
#[derive(Clone, Debug, Default, Error, PartialEq, Eq)]
#[error("{code} {text}")]
pub struct Fault {
    /// AMQP reply code, for example 404.
    pub code: u16,
    /// The broker's explanation, for example `NOT_FOUND - no queue 'orders' in vhost '/'`.
    pub text: String,
    /// Class of the method that the broker objects to; 0 when it names none.
    pub class_id: u16,
    /// Method that the broker objects to; 0 when it names none.
    pub method_id: u16,
}

impl From<&ChannelClose> for Fault {
    fn from(close: &ChannelClose) -> Self {
        Self {
            code: close.reply_code,
            text: close.reply_text.to_string(),
            class_id: close.class_id,
            method_id: close.method_id,
        }
    }
}

impl From<&ConnectionClose> for Fault {
    fn from(close: &ConnectionClose) -> Self {
        Self {
            code: close.reply_code,
            text: close.reply_text.to_string(),
            class_id: close.class_id,
            method_id: close.method_id,
        }
    }
}

impl Fault {
    /// No such queue, exchange or vhost (404).
    pub fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// The user lacks the permission (403).
    pub fn is_access_refused(&self) -> bool {
        self.code == 403
    }

    /// It belongs to another connection alone (405).
    pub fn is_locked(&self) -> bool {
        self.code == 405
    }

    /// It exists with other properties, or is not in the needed state (406).
    pub fn is_precondition_failed(&self) -> bool {
        self.code == 406
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Loss {
    /// It has not been there yet ([`crate::Connection::connect_lazy`]).
    #[error("not yet connected")]
    NotYet,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(Arc<io::Error>),
    /// The broker closed the socket without a word.
    #[error("the broker closed the socket")]
    EndOfStream,
    /// No byte came for two heartbeat intervals.
    #[error("no byte came from the broker for {0:?} (two heartbeat intervals)")]
    Silent(Duration),
    /// The broker closed the connection and said why.
    #[error("the broker closed the connection: {0}")]
    Server(Fault),
    /// The broker sent something that is no valid AMQP 0-9-1.
    #[error("the broker broke the protocol: {0}")]
    Protocol(Arc<str>),
}

/// Why no connection came about.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host name has no address, or no program listens there.
    #[error("cannot reach {address}: {source}; is a broker running there?")]
    Unreachable {
        /// The address tried.
        address: Address,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// No connection within the time allowed.
    #[error(
        "{address} did not complete a connection within {limit:?}; is it a broker, and is the network open?"
    )]
    TimedOut {
        /// The address tried.
        address: Address,
        /// The time allowed.
        limit: Duration,
    },
    /// TLS could not be established.
    #[error("no TLS with {address}: {text}; {hint}")]
    #[non_exhaustive]
    Tls {
        /// The address tried.
        address: Address,
        /// What failed.
        text: String,
        /// What to look at.
        hint: &'static str,
        /// The error of the TLS library or of the socket.
        source: Arc<io::Error>,
    },
    /// The certificates or the key can't be read or used.
    #[error("TLS settings: {0}")]
    TlsSettings(String),
    /// What listens there speaks something else.
    #[error(
        "{address} is no AMQP 0-9-1 broker: {found}; the port is usually 5672, or 5671 with amqps://"
    )]
    NotAmqp {
        /// The address tried.
        address: Address,
        /// What it answered.
        found: String,
    },
    /// The broker knows no such user, or the password is wrong.
    #[error("{address} refused user `{user}`: {text}; check user name and password")]
    CredentialsRefused {
        /// The address tried.
        address: Address,
        /// The user name sent.
        user: String,
        /// The broker's explanation.
        text: String,
    },
    /// The broker does not offer the mechanism asked for: PLAIN, or EXTERNAL
    /// ([`crate::ConnectOptions::external`]).
    #[error(
        "{address} offers the login mechanisms `{offered}`, and this connection needs {needed}; EXTERNAL needs amqps:// and a client certificate"
    )]
    #[non_exhaustive]
    NoMechanism {
        /// The address tried.
        address: Address,
        /// What the broker offers.
        offered: String,
        /// What was asked for.
        needed: &'static str,
    },
    /// The vhost does not exist, or the user may not use it.
    #[error(
        "{address} refused vhost `{vhost}`: {text}; does it exist, and may the user access it?"
    )]
    VhostRefused {
        /// The address tried.
        address: Address,
        /// The vhost asked for.
        vhost: String,
        /// The broker's explanation.
        text: String,
    },
    /// The broker closed the connection during the handshake for another reason.
    #[error("{address} closed the connection during the handshake: {fault}")]
    Refused {
        /// The address tried.
        address: Address,
        /// What the broker said.
        fault: Fault,
    },
    /// Each of several addresses failed; the reasons, in the order of the attempts.
    #[error("no address works: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    EveryAddress(Vec<ConnectError>),
}

impl ConnectError {
    /// Whether an attempt may succeed later without a change of options or of the broker: no program
    /// listens yet, or the broker is starting. Refused credentials, a missing vhost and faults of TLS are not.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            // CONNECTION_FORCED, RESOURCE_ERROR, INTERNAL_ERROR
            Self::Refused { fault, .. } => matches!(fault.code, 320 | 506 | 541),
            Self::EveryAddress(errors) => errors.iter().any(Self::is_transient),
            _ => false,
        }
    }
}

/// Why a connection or a request (a declaration, a consumer, a new publisher) failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The URI can't be understood.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// No connection came about.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The TLS settings can't be used.
    #[error("TLS settings: {0}")]
    TlsSettings(String),
    /// The broker refused, by closing the channel or, for some faults, the whole connection, which
    /// is then restored. Asking again helps only after what it names was changed.
    #[error("the broker refused {request}: {fault}")]
    Refused {
        /// What was asked, for example `queue.declare`.
        request: &'static str,
        /// What the broker said.
        fault: Fault,
    },
    /// The connection went before the answer came, so whether it was done is unknown. The
    /// connection is being restored; declarations may simply be repeated.
    #[error(
        "the connection was lost before the broker answered {request} ({loss}); it is being restored, ask again"
    )]
    Lost {
        /// What was asked.
        request: &'static str,
        /// Why the connection went.
        loss: Loss,
    },
    /// The connection was closed with [`crate::Connection::close`], or by dropping every handle.
    #[error("the connection was closed by this program; connect again")]
    Closed,
    /// Reconnection was given up after the time set by [`crate::ConnectOptions::reconnect_for`].
    #[error("the connection was lost and could not be restored: {0}")]
    GivenUp(Arc<ConnectError>),
    /// Each publisher, consumer and puller takes a channel, and none is left.
    #[error(
        "all {0} channels of the connection are in use; drop publishers or consumers, or open a second connection"
    )]
    NoChannelLeft(u16),
    /// A name longer than 255 bytes.
    #[error("the {what} has {length} bytes; AMQP allows 255")]
    NameTooLong {
        /// What it names.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// The answer was another than AMQP provides.
    #[error("the broker answered {request} with {found}")]
    Unexpected {
        /// What was asked.
        request: &'static str,
        /// What came.
        found: &'static str,
    },
}

impl Error {
    /// What the broker said, if it was the broker that refused.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Refused { fault, .. } => Some(fault),
            _ => None,
        }
    }
}

/// Why a message is not known to be stored.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The message was mandatory and no queue took it. It is stored nowhere.
    #[error("returned: {0}")]
    Returned(Box<Returned>),
    /// The broker refused the message, for example because a queue is full with
    /// `x-overflow=reject-publish`. Publish it again later, or somewhere else.
    #[error(
        "the broker refused the message (basic.nack); a queue is full or its node failed: publish again later"
    )]
    Nacked,
    /// The connection went before the confirm came: the message may be stored or not. Publish it
    /// again with the same message id and let consumers recognise it, or use
    /// [`crate::PublisherOptions::resend`].
    #[error("unknown whether the message is stored: {0}")]
    Unknown(Loss),
    /// The broker closed the publisher's channel because of this message: its exchange does not
    /// exist, the user may not write to it, the body is too large. The publisher works on with a new
    /// channel, and sends what else was under way again.
    #[error("the broker refused the message: {0}")]
    Refused(Fault),
    /// The connection is closed, and this message was not sent.
    #[error(transparent)]
    NotSent(#[from] Error),
    /// The message itself can't be sent.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
}

impl PublishError {
    /// Whether the broker may hold the message all the same.
    pub fn may_be_stored(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Refused(_))
    }
}

/// Why a consumer ended by itself.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The broker cancelled the consumer: its queue was deleted, or its node went.
    #[error("the broker cancelled the consumer of queue `{queue}`; was the queue deleted?")]
    Cancelled {
        /// The queue consumed.
        queue: String,
    },
    /// The broker closed the consumer's channel.
    #[error("the broker closed the channel of the consumer of queue `{queue}`: {fault}")]
    Refused {
        /// The queue consumed.
        queue: String,
        /// What the broker said.
        fault: Fault,
    },
    /// The connection ended and is not restored.
    #[error(transparent)]
    Connection(#[from] Error),
}

/// Why a delivery could not be settled. In each case the broker delivers the message again, to this
/// consumer or another; the delivery in hand needs no more care.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettleError {
    /// The connection or the channel that brought the delivery is gone.
    #[error("the channel of this delivery is gone; the broker delivers the message again")]
    ChannelGone,
}

/// Messages that were published and are not known to be stored, found when the connection was closed.
#[derive(Clone, Debug, Error)]
#[error("{messages} messages are not known to be stored; the first: {first}")]
#[non_exhaustive]
pub struct CloseError {
    /// Their number: those whose confirm did not come before the end, and those that failed before
    /// and whose confirm was dropped ([`crate::Publisher::flush`] tells these earlier).
    pub messages: u64,
    /// Why the first of them is not.
    #[source]
    pub first: PublishError,
}
