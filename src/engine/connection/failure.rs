//! A fault with what the peer is told besides: the method that failed and the text on the wire.

use crate::model::Fault;
use crate::session::MethodId;
use crate::session::limits::REPLY_TEXT_LENGTH_MAX;
use forebay_wire::method::{ChannelClose, ConnectionClose};
use forebay_wire::{ShortStr, WireError};

/// What closes a channel or the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) method: MethodId,
}

impl Failure {
    pub(crate) fn connection_close(&self) -> ConnectionClose {
        ConnectionClose {
            reply_code: self.fault.code.code(),
            reply_text: reply_text(&self.fault),
            class_id: self.method.class_id,
            method_id: self.method.method_id,
        }
    }

    pub(crate) fn channel_close(&self) -> ChannelClose {
        ChannelClose {
            reply_code: self.fault.code.code(),
            reply_text: reply_text(&self.fault),
            class_id: self.method.class_id,
            method_id: self.method.method_id,
        }
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self {
            fault: Fault::connection(error.reply_code(), error.to_string()),
            method: MethodId { class_id: error.class_id, method_id: error.method_id },
        }
    }
}

impl From<Fault> for Failure {
    /// Of a fault that belongs to no method.
    fn from(fault: Fault) -> Self {
        Self { fault, method: MethodId::default() }
    }
}

/// As much of the text as a short string holds, whole characters only.
fn reply_text(fault: &Fault) -> ShortStr {
    let mut text = fault.to_string();
    while text.len() > REPLY_TEXT_LENGTH_MAX {
        text.pop();
    }
    ShortStr::try_from(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_wire::ReplyCode;

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let fault = Fault::channel(ReplyCode::NotFound, "é".repeat(300));
        let text = reply_text(&fault);
        assert!(text.as_bytes().len() >= REPLY_TEXT_LENGTH_MAX - 1);
        assert!(text.as_str().unwrap().starts_with("NOT_FOUND - éé"));
    }
}
