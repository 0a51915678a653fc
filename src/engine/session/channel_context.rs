//! What a channel works with while it handles one input.

use super::{AwaitedReply, ConnectionInfo, ConnectionOutputs, MethodId, PendingRequest};
use crate::access::AccessSnapshot;
use crate::command::Command;
use crate::model::{ChannelId, Now};
use crate::topology::Routes;
use forebay_wire::EncodeMethod;

/// What a channel works with while it handles one input.
#[derive(Debug)]
pub(crate) struct ChannelContext<'a> {
    pub(crate) now: Now,
    pub(crate) routes: &'a Routes,
    pub(crate) access: &'a AccessSnapshot,
    pub(crate) info: &'a ConnectionInfo,
    pub(crate) outputs: &'a mut ConnectionOutputs,
    /// Set when the shard was asked something: no input is taken until it has answered.
    pub(crate) pending: &'a mut Option<PendingRequest>,
}

impl ChannelContext<'_> {
    /// Writes a method of the channel.
    pub(crate) fn send(&mut self, channel: ChannelId, method: &impl EncodeMethod) {
        self.outputs.output.put_method(channel.0, method);
    }

    /// Asks the shard; the connection takes no input until it has answered.
    pub(crate) fn request(
        &mut self,
        channel: ChannelId,
        method: MethodId,
        awaited: AwaitedReply,
        command: Command,
    ) {
        debug_assert!(self.pending.is_none(), "a pending is open");
        self.outputs.commands.push(command);
        *self.pending = Some(PendingRequest { channel, method, awaited });
    }
}
