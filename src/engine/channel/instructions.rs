//! Settlement instructions: what a consumer says of one delivery beyond `basic.ack`, `basic.nack` and
//! `basic.reject`, which have no room for it. It publishes to the default exchange, with a reserved
//! routing key and headers, on the channel that holds the delivery; every client can do that.
//!
//! ```text
//! exchange ""   routing key amq.forebay.retry    headers x-delivery-tag, x-delay   no body
//!               routing key amq.forebay.extend   headers x-delivery-tag, x-lease   no body
//! ```
//!
//! An instruction is no message: it is routed nowhere and counted for no exchange. It has its place among
//! the settlements and publishes of the channel, a number when the channel is in confirm mode, and waits
//! for the commit of a transaction, except that an extension holds at once.

use super::confirms::Verdict;
use super::content::Content;
use super::settle_methods::unknown_tag;
use super::unacked::Unacked;
use super::{Channel, Mode};
use crate::command::{Command, Extend};
use crate::limits::RETRY_DELAY_MS_MAX;
use crate::model::{DeliveryTag, Fault, Settlement};
use crate::session::ChannelContext;
use crate::session::limits::EXPIRATION_MS_MAX;
use crate::topology::{shown, type_name};
use forebay_wire::{FieldTable, ReplyCode};
use std::ops::RangeInclusive;

/// Begins the routing keys of instructions.
const PREFIX: &[u8] = b"amq.forebay.";

/// Ends the routing key of [`Instruction::Retry`].
const RETRY: &[u8] = b"retry";

/// Ends the routing key of [`Instruction::Extend`].
const EXTEND: &[u8] = b"extend";

/// The delivery that an instruction is about, by its tag on this channel.
const DELIVERY_TAG: &str = "x-delivery-tag";

/// How long a message is to wait, in ms.
const DELAY: &str = "x-delay";

/// How long a message may be held from now on, in ms.
const LEASE: &str = "x-lease";

/// What is to become of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    /// It failed, and is to be made again after `delay` ms, whatever the queue says of retries.
    Retry { tag: DeliveryTag, delay: u64 },
    /// It may be held for `lease` ms from now on.
    Extend { tag: DeliveryTag, lease: u64 },
}

impl Instruction {
    /// The instruction that a publish is; `None`: it is an ordinary one.
    ///
    /// # Errors
    /// 406 when there is no such instruction, it has a body, or a header is missing or not allowed.
    pub(super) fn parse(content: &Content) -> Result<Option<Self>, Fault> {
        let address = &content.address;
        if !address.exchange.is_empty() {
            return Ok(None);
        }
        let Some(verb) = address.routing_key.as_bytes().strip_prefix(PREFIX) else {
            return Ok(None);
        };
        let key = &address.routing_key;
        if verb != RETRY && verb != EXTEND {
            return Err(refused(format!(
                "no settlement instruction has routing key '{key}'; expected 'amq.forebay.retry' or \
                 'amq.forebay.extend'"
            )));
        }
        if !content.body.is_empty() {
            let size = content.body.len();
            return Err(refused(format!("'{key}' came with {size} bytes of body; expected none")));
        }
        let headers = content.properties.headers().unwrap_or_default();
        let integer = |name, bounds| integer(&headers, name, bounds);
        let tag = DeliveryTag(integer(DELIVERY_TAG, 1..=u64::MAX)?);
        Ok(Some(if verb == EXTEND {
            Self::Extend { tag, lease: integer(LEASE, 1..=EXPIRATION_MS_MAX)? }
        } else {
            Self::Retry { tag, delay: integer(DELAY, 0..=RETRY_DELAY_MS_MAX)? }
        }))
    }
}

impl Channel {
    /// Does what an instruction says.
    ///
    /// # Errors
    /// 406 when the channel holds no delivery with that tag.
    pub(super) fn instruct(
        &mut self,
        context: &mut ChannelContext<'_>,
        instruction: Instruction,
    ) -> Result<(), Fault> {
        match instruction {
            Instruction::Retry { tag, delay } => {
                self.settle(context, tag, false, Settlement::Retry(delay))?;
            }
            Instruction::Extend { tag, lease } => return self.extend(context, tag, lease),
        }
        // As an acknowledgement, it is not waited for: should it be lost, the message comes back at once.
        if let Mode::Confirm(tracker) = &mut self.mode {
            let seq = tracker.issue();
            self.resolve(seq, seq, Verdict::Stored);
        }
        Ok(())
    }
}

impl Channel {
    /// Asks the shard, which knows whether the delivery was taken back meanwhile.
    fn extend(
        &mut self,
        context: &mut ChannelContext<'_>,
        tag: DeliveryTag,
        lease: u64,
    ) -> Result<(), Fault> {
        let Unacked { queue, position, .. } =
            self.unacked.get(tag).ok_or_else(|| unknown_tag(tag))?;
        let confirm = match &mut self.mode {
            Mode::Confirm(tracker) => Some(tracker.issue()),
            Mode::Plain | Mode::Transaction(_) => None,
        };
        let extend = Extend { channel: self.id, queue, position, lease, confirm };
        context.outputs.commands.push(Command::Extend(extend));
        Ok(())
    }
}

fn integer(headers: &FieldTable, name: &str, bounds: RangeInclusive<u64>) -> Result<u64, Fault> {
    let (least, most) = (bounds.start(), bounds.end());
    let Some(value) = headers.get(name) else {
        let text =
            format!("header '{name}' is missing; expected an integer from {least} to {most}");
        return Err(refused(text));
    };
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
    number.filter(|number| bounds.contains(number)).ok_or_else(|| {
        let found = format!("'{}' of type '{}'", shown(value), type_name(value));
        refused(format!("header '{name}' is {found}; expected an integer from {least} to {most}"))
    })
}

fn refused(text: String) -> Fault {
    Fault::channel(ReplyCode::PreconditionFailed, format!("invalid settlement instruction: {text}"))
}
