//! Methods: the payload of method frames (AMQP 0-9-1, 2.3.5.1).
//!
//! ```text
//! class:u16 method:u16 arguments (each as its type says; consecutive bits share a byte)
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

            /// Whether an argument of the method keeps slices of the payload.
            const fn slices(key: u32) -> bool {
                match key {
                    $(<$name as Definition>::KEY => <$name as Definition>::SLICES,)*
                    _ => false,
                }
            }

            /// Reads the method to its end and hands it to `wrap`, which puts it where it is
            /// wanted: a method is moved so often otherwise that moving costs more than reading.
            #[inline(always)]
            fn read<T>(
                key: u32,
                reader: &mut Reader<'_>,
                wrap: impl Fn(Self) -> T,
            ) -> Result<T, WireError> {
                match key {
                    $(<$name as Definition>::KEY => match read_all(reader) {
                        Ok(method) => Ok(wrap(Self::$name(method))),
                        Err(kind) => Err(fault(kind, key)),
                    },)*
                    _ => Err(fault(unknown(key), key)),
                }
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
        Self::decode_with(payload, payload, |method| method)
    }

    /// Whether the payload is of a method whose arguments are numbers and bits alone: its owner
    /// is not looked at.
    pub(crate) fn is_plain(payload: &[u8]) -> bool {
        split_key(payload).is_ok_and(|(key, _)| !Self::slices(key))
    }

    /// Decodes a payload that lies in `owner` (any, if [`Method::is_plain`]), and hands it to
    /// `wrap`.
    pub(crate) fn decode_with<T>(
        payload: &[u8],
        owner: &Bytes,
        wrap: impl Fn(Self) -> T,
    ) -> Result<T, WireError> {
        let (key, arguments) = split_key(payload)?;
        Self::read(key, &mut Reader::new(owner, arguments), wrap)
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

/// Class and method as one number, and what follows them.
fn split_key(payload: &[u8]) -> Result<(u32, &[u8]), WireError> {
    match payload.split_first_chunk() {
        Some((ids, arguments)) => Ok((u32::from_be_bytes(*ids), arguments)),
        None => Err(WireErrorKind::MethodTooShort { size: payload.len() }.into()),
    }
}

#[inline(always)]
fn read_all<M: Definition>(reader: &mut Reader<'_>) -> Result<M, WireErrorKind> {
    let method = M::read(reader)?;
    match reader.rest() {
        [] => Ok(method),
        rest => Err(WireErrorKind::ArgumentsTrailing { bytes: rest.len() }),
    }
}

fn fault(kind: WireErrorKind, key: u32) -> WireError {
    WireError::of_method(kind, (key >> 16) as u16, key as u16)
}

fn unknown(key: u32) -> WireErrorKind {
    let (class_id, method_id) = ((key >> 16) as u16, key as u16);
    match class_id {
        10 | 20 | 40 | 50 | 60 | 85 | 90 => WireErrorKind::UnknownMethod { class_id, method_id },
        _ => WireErrorKind::UnknownClass { class_id },
    }
}
