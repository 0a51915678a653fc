//! The life of a connection (AMQP 0-9-1, 2.2.4) as states that carry only their own data.

use super::session::Session;
use crate::model::{Closure, Monotonic};
use crate::session::ClientProfile;
use crate::session::Tuned;
use forebay_wire::ShortStr;

/// Where a connection stands.
#[derive(Debug)]
pub(crate) enum State {
    /// The eight bytes of the protocol header are due.
    AwaitingHeader,
    /// `connection.start` was sent.
    AwaitingStartOk,
    /// The server checks the password.
    Authenticating { client: ClientProfile, user: ShortStr, mechanism: &'static str },
    /// `connection.tune` was sent.
    AwaitingTuneOk { client: ClientProfile, user: ShortStr },
    /// Tuned; `connection.open` is due.
    AwaitingOpen { client: ClientProfile, user: ShortStr, tuned: Tuned },
    /// The server sees whether limits let it into the virtual host.
    Entering { client: ClientProfile, user: ShortStr, tuned: Tuned, vhost: ShortStr },
    /// In a virtual host.
    Open(Box<Session>),
    /// On the way out.
    Closing { peer_close: PeerClose, shard_detach: ShardDetach },
    /// Nothing is read any more, nothing will be written.
    Closed,
}

/// What the client is still owed, or owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerClose {
    /// The client closed: it gets its close-ok once the shard is done.
    AnswerClose,
    /// We closed: only close and close-ok are read until the time is up.
    AwaitCloseOk { until: Monotonic },
    /// We closed because the stream can't be read: its bytes are thrown away until the client
    /// ends it or the time is up.
    AwaitEnd { until: Monotonic },
    /// Nothing.
    Done,
}

/// What the shard still knows of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardDetach {
    /// Another request is open; `CloseConnection` is sent after its answer.
    Waiting { closure: Closure },
    /// `CloseConnection` was sent.
    Asked,
    /// Nothing, or it never knew anything.
    Done,
}
