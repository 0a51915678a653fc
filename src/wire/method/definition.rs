//! How a class is written down: one listing from which struct, ids, decoder and encoder come.
//!
//! ```text
//! class 50 {
//!     /// What it does.
//!     QueuePurge = 30 "queue.purge" [u16] {   // [reserved arguments in front of the fields]
//!         /// What it is.
//!         queue: ShortStr,                     // fields in the order of the standard
//!     } [];                                    // [reserved arguments behind the fields]
//! }
//! ```
//!
//! Reserved arguments are read and ignored, and written as 0 or empty.

use crate::error::WireErrorKind;
use crate::reader::Reader;

/// A method's place in the protocol and its way from bytes; for the dispatch in `method.rs`.
pub(crate) trait Definition: Sized {
    const CLASS_ID: u16;
    const METHOD_ID: u16;
    const NAME: &'static str;
    /// Class and method as one number, as they stand in the payload.
    const KEY: u32;
    /// Whether an argument keeps slices of the payload.
    const SLICES: bool;
    /// Name (`None`: reserved) and kind of each argument.
    #[cfg(test)]
    const ARGUMENTS: &'static [(Option<&'static str>, &'static str)];

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireErrorKind>;
}

macro_rules! methods {
    (class $class:literal {
        $(
            $(#[$doc:meta])*
            $name:ident = $id:literal $text:literal [$($front:ty),*] {
                $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
            } [$($back:ty),*];
        )*
    }) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type,)*
            }

            impl $crate::method::definition::Definition for $name {
                const CLASS_ID: u16 = $class;
                const METHOD_ID: u16 = $id;
                const NAME: &'static str = $text;
                const KEY: u32 = ($class << 16) | $id;
                const SLICES: bool = false
                    $(|| <$front as $crate::reader::Argument>::SLICES)*
                    $(|| <$type as $crate::reader::Argument>::SLICES)*
                    $(|| <$back as $crate::reader::Argument>::SLICES)*;
                #[cfg(test)]
                const ARGUMENTS: &'static [(Option<&'static str>, &'static str)] = &[
                    $((None, <$front as $crate::reader::Argument>::KIND),)*
                    $((Some(stringify!($field)), <$type as $crate::reader::Argument>::KIND),)*
                    $((None, <$back as $crate::reader::Argument>::KIND),)*
                ];

                #[allow(unused_variables, reason = "methods without arguments")]
                #[inline]
                fn read(
                    reader: &mut $crate::reader::Reader<'_>,
                ) -> Result<Self, $crate::error::WireErrorKind> {
                    $(<$front as $crate::reader::Argument>::read(reader)?;)*
                    let method = Self { $($field: $crate::reader::Argument::read(reader)?,)* };
                    $(<$back as $crate::reader::Argument>::read(reader)?;)*
                    Ok(method)
                }
            }

            impl $crate::method::EncodeMethod for $name {
                #[inline]
                fn encode(&self, out: &mut bytes::BytesMut) {
                    #[allow(unused_mut, unused_variables, reason = "methods without arguments")]
                    let mut writer = $crate::writer::Writer::method(out, $class, $id);
                    $($crate::writer::WriteArgument::write(&<$front>::default(), &mut writer);)*
                    $($crate::writer::WriteArgument::write(&self.$field, &mut writer);)*
                    $($crate::writer::WriteArgument::write(&<$back>::default(), &mut writer);)*
                }
            }
        )*
    };
}

pub(crate) use methods;
