//! Reads the arguments of a method one after the other. The payload is there in full.

use crate::error::{TableFlaw, WireErrorKind};
use crate::field_table::FieldTable;
use crate::short_str::ShortStr;
use crate::table_walk;
use bytes::Bytes;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};

/// Where the next argument begins. Strings become slices of the owner, which holds the payload;
/// for methods without any (see [`Argument::SLICES`]) the owner is not looked at.
pub(crate) struct Reader<'a> {
    owner: &'a Bytes,
    rest: &'a [u8],
    /// Consecutive bits share octets (AMQP 0-9-1, 4.2.5.2): the octet, shifted by those read, and
    /// how many it still has.
    bits: u8,
    bits_left: u8,
}

type Parsed<'a, T> = nom::IResult<&'a [u8], T, TableFlaw>;

impl<'a> Reader<'a> {
    /// Begins at the front of `arguments`.
    pub(crate) fn new(owner: &'a Bytes, arguments: &'a [u8]) -> Self {
        Self { owner, rest: arguments, bits: 0, bits_left: 0 }
    }

    /// Octets not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    fn take<T>(
        &mut self,
        mut parser: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
    ) -> Result<T, WireErrorKind> {
        self.bits_left = 0;
        let (rest, value) =
            parser(self.rest).map_err(|_too_few| WireErrorKind::ArgumentsTruncated)?;
        self.rest = rest;
        Ok(value)
    }
}

/// What stands in a method's argument list.
pub(crate) trait Argument: Sized + Default {
    /// Its name in `protocol-spec/methods.toml`.
    #[cfg(test)]
    const KIND: &'static str;
    /// Whether it keeps slices of the payload.
    const SLICES: bool = false;

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireErrorKind>;
}

impl Argument for bool {
    #[cfg(test)]
    const KIND: &'static str = "bit";

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireErrorKind> {
        if reader.bits_left == 0 {
            reader.bits = reader.take(be_u8)?;
            reader.bits_left = 8;
        }
        let bit = reader.bits & 1 != 0;
        reader.bits >>= 1;
        reader.bits_left -= 1;
        Ok(bit)
    }
}

macro_rules! number {
    ($type:ty, $kind:literal, $parser:ident) => {
        impl Argument for $type {
            #[cfg(test)]
            const KIND: &'static str = $kind;

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Result<Self, WireErrorKind> {
                reader.take($parser)
            }
        }
    };
}

number!(u8, "octet", be_u8);
number!(u16, "short", be_u16);
number!(u32, "long", be_u32);
number!(u64, "longlong", be_u64);

impl Argument for ShortStr {
    #[cfg(test)]
    const KIND: &'static str = "shortstr";
    const SLICES: bool = true;

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireErrorKind> {
        let length = reader.take(be_u8)?;
        let octets = reader.take(take(length))?;
        Ok(Self::from_bounded(reader.owner.slice_ref(octets)))
    }
}

impl Argument for Bytes {
    #[cfg(test)]
    const KIND: &'static str = "longstr";
    const SLICES: bool = true;

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireErrorKind> {
        let size = reader.take(be_u32)?;
        let octets = reader.take(take(size))?;
        Ok(reader.owner.slice_ref(octets))
    }
}

impl Argument for FieldTable {
    #[cfg(test)]
    const KIND: &'static str = "table";
    const SLICES: bool = true;

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireErrorKind> {
        let size = reader.take(be_u32)?;
        let fields = reader.take(take(size))?;
        table_walk::read_fields(reader.owner, fields, 1).map_err(WireErrorKind::Table)
    }
}
