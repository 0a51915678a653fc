//! Settlement instructions: what a consumer says of one delivery beyond `basic.ack`, `basic.nack` and
//! `basic.reject`, which have no room for it. It publishes to the default exchange, with a reserved
//! routing key and headers, on the channel that holds the delivery; every client can do that.
//!
//! ```text
//! exchange ""   routing key amq.forebay.retry   headers x-delivery-tag, x-delay   no body
//! ```
//!
//! An instruction is no message: it is routed nowhere and counted for no exchange. It has its place among
//! the settlements and publishes of the channel, a number when the channel is in confirm mode, and waits
//! for the commit of a transaction.

use super::confirms::Verdict;
use super::content::Content;
use super::{Channel, Mode};
use crate::limits::RETRY_DELAY_MS_MAX;
use crate::model::{DeliveryTag, Fault, Settlement};
use crate::session::ChannelContext;
use crate::topology::{shown, type_name};
use forebay_wire::{FieldTable, ReplyCode};
use std::ops::RangeInclusive;

/// Begins the routing keys of instructions.
const PREFIX: &[u8] = b"amq.forebay.";

/// Ends the routing key of [`Instruction::Retry`].
const RETRY: &[u8] = b"retry";

/// The delivery that an instruction is about, by its tag on this channel.
const DELIVERY_TAG: &str = "x-delivery-tag";

/// How long a message is to wait, in ms.
const DELAY: &str = "x-delay";

/// What is to become of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    /// It failed, and is to be made again after `delay` ms, whatever the queue says of retries.
    Retry { tag: DeliveryTag, delay: u64 },
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
        if verb != RETRY {
            return Err(refused(format!(
                "no settlement instruction has routing key '{key}'; expected 'amq.forebay.retry'"
            )));
        }
        if !content.body.is_empty() {
            let size = content.body.len();
            return Err(refused(format!("'{key}' came with {size} bytes of body; expected none")));
        }
        let headers = content.properties.headers().unwrap_or_default();
        let integer = |name, bounds| integer(&headers, name, bounds);
        let tag = DeliveryTag(integer(DELIVERY_TAG, 1..=u64::MAX)?);
        Ok(Some(Self::Retry { tag, delay: integer(DELAY, 0..=RETRY_DELAY_MS_MAX)? }))
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
        }
        // As an acknowledgement, it is not waited for: should it be lost, the message comes back at once.
        if let Mode::Confirm(tracker) = &mut self.mode {
            let seq = tracker.issue();
            self.resolve(seq, seq, Verdict::Stored);
        }
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
