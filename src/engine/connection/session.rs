//! An open connection: its channels, the one open request, and what became of its publishers
//! while the broker is short of resources.

use super::channel_table::{ChannelState, ChannelTable};
use super::failure::Failure;
use super::pace::Pace;
use crate::BrokerSnapshot;
use crate::channel::Channel;
use crate::command::Command;
use crate::model::{ChannelId, Closure, Fault, FaultScope, Now};
use crate::session::ChannelContext;
use crate::session::ClientProfile;
use crate::session::ConnectionInfo;
use crate::session::ConnectionOutputs;
use crate::session::MethodId;
use crate::session::OpenChannel;
use crate::session::Tuned;
use crate::session::limits::UNFINISHED_SHORT_OF_MEMORY_SIZE_MAX;
use crate::session::{AwaitedReply, PendingRequest};
use bytes::Bytes;
use forebay_wire::method::{ChannelCloseOk, ChannelOpenOk, ConnectionBlocked, ConnectionUnblocked};
use forebay_wire::{Frame, Method, ReplyCode, ShortStr};

/// An open connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) info: ConnectionInfo,
    channels: ChannelTable,
    pub(super) pending: Option<PendingRequest>,
    /// The server looks at a new password.
    pub(super) is_secret_checked: bool,
    alarm: Alarm,
    pub(super) pace: Pace,
    /// Bytes of content that is not all there and of publishes in transactions.
    unfinished_size: usize,
    /// Channels with content that was open after one of the frames of the input that is handled.
    begun: Vec<ChannelId>,
    /// Channels whose confirms are not written yet.
    unconfirmed: Vec<ChannelId>,
    /// Bytes of deliveries in the output.
    pub(super) delivered_size: usize,
    /// Bytes of direct replies that the shard does not know to be written.
    pub(super) replied_size: usize,
}

/// Whether publishers have to wait.
#[derive(Debug)]
enum Alarm {
    Off,
    /// Raised; this connection has not published since.
    Raised {
        reason: ShortStr,
    },
    /// Raised, and this connection published: it takes no further input.
    Blocking,
}

/// What a frame asks of the connection as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ConnectionMethod {
    Nothing,
    /// `connection.close`.
    Close,
    /// `connection.update-secret`, with the new password.
    UpdateSecret(Bytes),
}

impl Session {
    pub(crate) fn new(
        vhost: ShortStr,
        user: ShortStr,
        client: ClientProfile,
        tuned: Tuned,
    ) -> Self {
        Self {
            info: ConnectionInfo { vhost, user, client, tuned },
            channels: ChannelTable::default(),
            pending: None,
            is_secret_checked: false,
            alarm: Alarm::Off,
            pace: Pace::default(),
            unfinished_size: 0,
            begun: Vec::new(),
            unconfirmed: Vec::new(),
            delivered_size: 0,
            replied_size: 0,
        }
    }

    /// Whether input has to wait.
    pub(crate) const fn is_paused(&self) -> bool {
        self.pending.is_some()
            || self.is_secret_checked
            || self.is_blocked()
            || self.pace.is_waiting()
    }

    pub(super) const fn is_blocked(&self) -> bool {
        matches!(self.alarm, Alarm::Blocking)
    }

    pub(crate) fn count_channels(&self) -> usize {
        self.channels.count()
    }

    pub(crate) fn open_channels(&self) -> Vec<OpenChannel> {
        self.channels.list()
    }

    /// One frame.
    ///
    /// # Errors
    /// What closes the connection; what closes a channel is dealt with here.
    pub(crate) fn handle_frame(
        &mut self,
        outputs: &mut ConnectionOutputs,
        now: Now,
        broker: &BrokerSnapshot,
        frame: Frame,
    ) -> Result<ConnectionMethod, Failure> {
        let (channel, method) = match &frame {
            Frame::Heartbeat => return Ok(ConnectionMethod::Nothing),
            Frame::Method { channel: 0, method } => return connection_method(method),
            Frame::Method { channel, method } => (*channel, MethodId::of(method)),
            Frame::Header { channel, .. } | Frame::Body { channel, .. } => {
                (*channel, MethodId::default())
            }
        };
        let id = ChannelId(channel);
        match self.channels.slot(id) {
            Some(ChannelState::Open(_)) => {}
            Some(ChannelState::Closing) => {
                self.handle_closing_frame(outputs, id, &frame);
                return Ok(ConnectionMethod::Nothing);
            }
            None => {
                return self
                    .open_channel(outputs, id, &frame)
                    .map_err(|fault| Failure { fault, method });
            }
        }
        self.handle_channel_frame(outputs, now, broker, id, frame)?;
        Ok(ConnectionMethod::Nothing)
    }

    fn handle_channel_frame(
        &mut self,
        outputs: &mut ConnectionOutputs,
        now: Now,
        broker: &BrokerSnapshot,
        id: ChannelId,
        frame: Frame,
    ) -> Result<(), Failure> {
        let Some(channel) = self.channels.open(id) else { return Ok(()) };
        // A body that was begun before an alarm is no reason to take more of it during one.
        let is_publish = matches!(
            &frame,
            Frame::Method { method: Method::BasicPublish(_), .. }
                | Frame::Header { .. }
                | Frame::Body { .. }
        );
        if matches!(&frame, Frame::Method { method: Method::BasicPublish(_), .. }) {
            self.pace.note_publish(broker.access.limits(), &self.info.vhost, &self.info.user);
        }
        if std::mem::take(&mut channel.is_overdue) {
            outputs.commands.push(Command::Heard { channel: id });
        }
        let unfinished = channel.unfinished_size();
        let mut context = ChannelContext {
            now,
            routes: &broker.routes,
            access: &broker.access,
            info: &self.info,
            outputs,
            pending: &mut self.pending,
        };
        let (method, outcome) = match frame {
            Frame::Method { method, .. } => {
                let id = channel.blamed().unwrap_or(MethodId::of(&method));
                (id, channel.handle_method(&mut context, method))
            }
            Frame::Header { header, .. } => {
                (channel.blamed().unwrap_or_default(), channel.handle_header(&mut context, header))
            }
            Frame::Body { body, .. } => {
                (channel.blamed().unwrap_or_default(), channel.handle_body(&mut context, body))
            }
            Frame::Heartbeat => return Ok(()),
        };
        let has_confirms = channel.has_confirms();
        if channel.has_open_content() && self.begun.last() != Some(&id) {
            self.begun.push(id);
        }
        self.unfinished_size = self.unfinished_size - unfinished + channel.unfinished_size();
        if is_publish {
            self.check_unfinished(self.info.tuned.unfinished_size_max)
                .map_err(|fault| Failure { fault, method })?;
            self.alarm.note_publish(&self.info, outputs);
        }
        match outcome {
            Ok(()) => {
                if has_confirms {
                    self.note_confirms(outputs, id);
                }
            }
            Err(fault) => return self.fail(outputs, id, Failure { fault, method }),
        }
        self.drop_closed_by_client(outputs, id);
        Ok(())
    }

    /// All of an input was handled that could be: what has come of unfinished content is copied out
    /// of the receive buffer, which a few bytes of each channel would otherwise keep alive.
    pub(super) fn copy_out_content(&mut self) {
        for id in self.begun.drain(..) {
            if let Some(channel) = self.channels.open(id) {
                channel.copy_out_content();
            }
        }
    }

    /// `channel.close` was taken: its confirms leave before its close-ok.
    fn drop_closed_by_client(&mut self, outputs: &mut ConnectionOutputs, id: ChannelId) {
        if let Some(PendingRequest {
            awaited: AwaitedReply::ChannelClosed { by_client: true },
            ..
        }) = self.pending
        {
            self.flush_confirms(outputs);
            self.leave_channel(outputs, id);
            self.channels.remove(id);
        }
    }

    fn handle_closing_frame(
        &mut self,
        outputs: &mut ConnectionOutputs,
        id: ChannelId,
        frame: &Frame,
    ) {
        match frame {
            Frame::Method { method: Method::ChannelCloseOk(_), .. } => self.channels.remove(id),
            // Both sides closed at once: each gets its answer.
            Frame::Method { method: Method::ChannelClose(_), .. } => {
                outputs.output.put_method(id.0, &ChannelCloseOk {});
            }
            _ => {}
        }
    }

    fn open_channel(
        &mut self,
        outputs: &mut ConnectionOutputs,
        id: ChannelId,
        frame: &Frame,
    ) -> Result<ConnectionMethod, Fault> {
        match frame {
            Frame::Method { method: Method::ChannelOpen(_), .. } => {}
            Frame::Method { method, .. } => {
                let text = format!(
                    "expected 'channel.open', got '{}' on channel {id}, which is not open",
                    method.name()
                );
                return Err(Fault::connection(ReplyCode::ChannelError, text));
            }
            _ => {
                let text = format!(
                    "expected method frame, got non method frame instead, on channel {id}, which \
                     is not open"
                );
                return Err(Fault::connection(ReplyCode::UnexpectedFrame, text));
            }
        }
        // RabbitMQ counts channels, and takes any number for one.
        let (count, most) = (self.channels.count(), self.info.tuned.channels_max);
        if count >= usize::from(most) {
            let text = format!(
                "number of channels opened ({count}) has reached the negotiated channel_max ({most})"
            );
            return Err(Fault::connection(ReplyCode::NotAllowed, text));
        }
        outputs.traffic.channels_opened += 1;
        self.channels.insert(id);
        outputs.channels_changed = true;
        outputs.output.put_method(id.0, &ChannelOpenOk {});
        Ok(ConnectionMethod::Nothing)
    }

    /// A fault on a channel: closes the channel, or is passed on when it closes the connection.
    pub(super) fn fail(
        &mut self,
        outputs: &mut ConnectionOutputs,
        id: ChannelId,
        failure: Failure,
    ) -> Result<(), Failure> {
        if failure.fault.scope == FaultScope::Connection {
            return Err(failure);
        }
        self.flush_confirms(outputs);
        outputs.output.put_method(id.0, &failure.channel_close());
        outputs.commands.push(Command::CloseChannel { channel: id, closure: Closure::Failed });
        self.leave_channel(outputs, id);
        self.channels.close(id);
        self.pending = Some(PendingRequest {
            channel: id,
            method: failure.method,
            awaited: AwaitedReply::ChannelClosed { by_client: false },
        });
        Ok(())
    }

    /// A channel is about to be closed.
    fn leave_channel(&mut self, outputs: &mut ConnectionOutputs, id: ChannelId) {
        let Some(channel) = self.channels.open(id) else { return };
        outputs.channels_changed = true;
        outputs.publishers -= usize::from(channel.has_published());
        self.unfinished_size -= channel.unfinished_size();
    }

    /// # Errors
    /// 506 when more than this is neither whole nor committed.
    fn check_unfinished(&self, most: usize) -> Result<(), Fault> {
        if self.unfinished_size <= most {
            return Ok(());
        }
        let text = format!(
            "{} bytes of bodies that are not whole and of transactions that are not committed, at \
             most {most} are kept for a connection",
            self.unfinished_size
        );
        Err(Fault::connection(ReplyCode::ResourceError, text))
    }

    pub(super) fn channel(&mut self, id: ChannelId) -> Option<(&ConnectionInfo, &mut Channel)> {
        Some((&self.info, self.channels.open(id)?))
    }

    pub(super) fn note_confirms(&mut self, outputs: &mut ConnectionOutputs, id: ChannelId) {
        if self.unconfirmed.last() != Some(&id) {
            self.unconfirmed.push(id);
            if self.unconfirmed.len() > 2 * self.channels.count() {
                self.unconfirmed.sort_unstable();
                self.unconfirmed.dedup();
            }
        }
        if let Some(channel) = self.channels.open(id)
            && channel.has_overdue_confirms()
        {
            channel.flush_confirms(&mut outputs.output);
        }
    }

    /// Writes the confirms of all that happened since the last time.
    pub(crate) fn flush_confirms(&mut self, outputs: &mut ConnectionOutputs) {
        for id in self.unconfirmed.drain(..) {
            if let Some(channel) = self.channels.open(id) {
                channel.flush_confirms(&mut outputs.output);
            }
        }
    }

    /// `connection.blocked` waits for the first publish, as RabbitMQ's does: pure consumers are
    /// never told, since nothing of theirs is blocked.
    ///
    /// # Errors
    /// 506 when memory is short and this connection keeps much of it: it will not be read, so what
    /// it has begun would never be given back.
    pub(super) fn raise_alarm(
        &mut self,
        reason: ShortStr,
        is_memory_short: bool,
    ) -> Result<(), Fault> {
        if is_memory_short {
            self.check_unfinished(UNFINISHED_SHORT_OF_MEMORY_SIZE_MAX)?;
        }
        if !self.is_blocked() {
            self.alarm = Alarm::Raised { reason };
        }
        Ok(())
    }

    pub(super) fn clear_alarm(&mut self, outputs: &mut ConnectionOutputs) {
        let told = matches!(self.alarm, Alarm::Blocking) && self.info.client.connection_blocked;
        if told {
            outputs.output.put_method(0, &ConnectionUnblocked {});
        }
        self.alarm = Alarm::Off;
    }
}

impl Alarm {
    fn note_publish(&mut self, info: &ConnectionInfo, outputs: &mut ConnectionOutputs) {
        if let Self::Raised { reason } = self {
            if info.client.connection_blocked {
                outputs.output.put_method(0, &ConnectionBlocked { reason: std::mem::take(reason) });
            }
            *self = Self::Blocking;
        }
    }
}

/// A method on channel 0 of an open connection.
fn connection_method(method: &Method) -> Result<ConnectionMethod, Failure> {
    match method {
        Method::ConnectionClose(_) => Ok(ConnectionMethod::Close),
        Method::ConnectionUpdateSecret(update) => {
            Ok(ConnectionMethod::UpdateSecret(Bytes::copy_from_slice(&update.new_secret)))
        }
        _ => {
            let text = format!("unexpected method '{}' in connection state running", method.name());
            let fault = Fault::connection(ReplyCode::ChannelError, text);
            Err(Failure { fault, method: MethodId::of(method) })
        }
    }
}
