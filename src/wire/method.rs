//! Methods: the payload of method frames (AMQP 0-9-1, 2.3.5.1).
//!
//! ```text
//! class:u16 method:u16 arguments (each as its type says; consecutive bits share an octet)
//! ```

#[cfg(test)]
mod any_arguments;
mod basic;
mod channel;
mod confirm;
mod connection;
mod definition;
mod exchange;
mod queue;
#[cfg(test)]
mod spec_table;
mod tx;

pub use basic::*;
pub use channel::*;
pub use confirm::*;
pub use connection::*;
pub use exchange::*;
pub use queue::*;
pub use tx::*;

use crate::error::{WireError, WireErrorKind};
use crate::reader::Reader;
use bytes::{Bytes, BytesMut};
use definition::Definition;
use std::fmt;

/// Octets of class and method in front of the arguments.
const IDS_SIZE: usize = 4;

/// Anything that goes into a method frame: each method, and [`Method`].
pub trait EncodeMethod {
    /// Writes class, method and arguments: the payload of a method frame.
    fn encode(&self, out: &mut BytesMut);
}

macro_rules! method_enum {
    ($($name:ident),* $(,)?) => {
        /// Any method.
        #[derive(Clone, PartialEq)]
        #[allow(missing_docs, reason = "the structs within say it")]
        pub enum Method {
            $($name($name),)*
        }

        $(impl From<$name> for Method {
            fn from(method: $name) -> Self {
                Self::$name(method)
            }
        })*

        // The variant and its struct have one name, and it is enough to read it once.
        impl fmt::Debug for Method {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name(method) => method.fmt(formatter),)*
                }
            }
        }

        impl EncodeMethod for Method {
            fn encode(&self, out: &mut BytesMut) {
                match self {
                    $(Self::$name(method) => method.encode(out),)*
                }
            }
        }

        impl Method {
            /// The class.
            #[must_use]
            pub const fn class_id(&self) -> u16 {
                match self {
                    $(Self::$name(_) => <$name as Definition>::CLASS_ID,)*
                }
            }

            /// The method within its class.
            #[must_use]
            pub const fn method_id(&self) -> u16 {
                match self {
                    $(Self::$name(_) => <$name as Definition>::METHOD_ID,)*
                }
            }

            /// The name as the standard writes it: `queue.declare`.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => <$name as Definition>::NAME,)*
                }
            }

            fn read(key: u32, reader: &mut Reader<'_>) -> Option<Result<Self, WireErrorKind>> {
                Some(match key {
                    $(<$name as Definition>::KEY => $name::read(reader).map(Self::$name),)*
                    _ => return None,
                })
            }
        }

        #[cfg(test)]
        mod listing {
            use super::*;

            /// What the code says about a method, to be held against `protocol-spec/methods.toml`.
            pub(super) struct Entry {
                pub(super) class_id: u16,
                pub(super) method_id: u16,
                pub(super) name: &'static str,
                pub(super) arguments: &'static [(Option<&'static str>, &'static str)],
                pub(super) method: Method,
            }

            pub(super) fn entries() -> Vec<Entry> {
                vec![$(Entry {
                    class_id: $name::CLASS_ID,
                    method_id: $name::METHOD_ID,
                    name: $name::NAME,
                    arguments: $name::ARGUMENTS,
                    method: $name::default().into(),
                },)*]
            }
        }
    };
}

method_enum! {
    ConnectionStart, ConnectionStartOk, ConnectionSecure, ConnectionSecureOk, ConnectionTune,
    ConnectionTuneOk, ConnectionOpen, ConnectionOpenOk, ConnectionClose, ConnectionCloseOk,
    ConnectionBlocked, ConnectionUnblocked, ConnectionUpdateSecret, ConnectionUpdateSecretOk,
    ChannelOpen, ChannelOpenOk, ChannelFlow, ChannelFlowOk, ChannelClose, ChannelCloseOk,
    ExchangeDeclare, ExchangeDeclareOk, ExchangeDelete, ExchangeDeleteOk, ExchangeBind,
    ExchangeBindOk, ExchangeUnbind, ExchangeUnbindOk,
    QueueDeclare, QueueDeclareOk, QueueBind, QueueBindOk, QueuePurge, QueuePurgeOk, QueueDelete,
    QueueDeleteOk, QueueUnbind, QueueUnbindOk,
    BasicQos, BasicQosOk, BasicConsume, BasicConsumeOk, BasicCancel, BasicCancelOk, BasicPublish,
    BasicReturn, BasicDeliver, BasicGet, BasicGetOk, BasicGetEmpty, BasicAck, BasicReject,
    BasicRecoverAsync, BasicRecover, BasicRecoverOk, BasicNack,
    ConfirmSelect, ConfirmSelectOk,
    TxSelect, TxSelectOk, TxCommit, TxCommitOk, TxRollback, TxRollbackOk,
}

impl Method {
    /// Decodes the payload of a method frame. Strings are slices of it.
    ///
    /// # Errors
    /// 501 when the payload is too short or too long for its method, 502 when a table in it is
    /// malformed, 540 when class or method are unknown.
    pub fn decode(payload: &Bytes) -> Result<Self, WireError> {
        let Some(&[class_high, class_low, method_high, method_low]) =
            payload.first_chunk::<IDS_SIZE>()
        else {
            return Err(WireErrorKind::MethodTooShort { size: payload.len() }.into());
        };
        let class_id = u16::from_be_bytes([class_high, class_low]);
        let method_id = u16::from_be_bytes([method_high, method_low]);
        let fail = |kind| WireError::of_method(kind, class_id, method_id);
        let mut reader = Reader::new(payload, IDS_SIZE);
        let key = u32::from(class_id) << 16 | u32::from(method_id);
        let method = Self::read(key, &mut reader).ok_or_else(|| fail(unknown(key)))?;
        let method = method.map_err(fail)?;
        match reader.rest() {
            [] => Ok(method),
            rest => Err(fail(WireErrorKind::ArgumentsTrailing { octets: rest.len() })),
        }
    }

    /// Writes class, method and arguments.
    pub fn encode(&self, out: &mut BytesMut) {
        EncodeMethod::encode(self, out);
    }

    /// Whether a content header and bodies follow.
    #[must_use]
    pub const fn carries_content(&self) -> bool {
        matches!(
            self,
            Self::BasicPublish(_)
                | Self::BasicReturn(_)
                | Self::BasicDeliver(_)
                | Self::BasicGetOk(_)
        )
    }
}

fn unknown(key: u32) -> WireErrorKind {
    let (class_id, method_id) = ((key >> 16) as u16, key as u16);
    match class_id {
        10 | 20 | 40 | 50 | 60 | 85 | 90 => WireErrorKind::UnknownMethod { class_id, method_id },
        _ => WireErrorKind::UnknownClass { class_id },
    }
}
