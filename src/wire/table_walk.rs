//! The parsers behind field tables: one that builds values and one that only checks, for tables
//! that are passed on as they came. Both hold the same grammar (the tests compare them); the
//! payload is there in full, so nom's complete parsers serve.

use crate::error::{TableFlaw, WireError, WireErrorKind};
use crate::field_table::FieldTable;
use crate::field_value::FieldValue;
use crate::limits::FIELD_TABLE_DEPTH_MAX;
use crate::short_str::ShortStr;
use bytes::Bytes;
use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{
    be_f32, be_f64, be_i8, be_i16, be_i32, be_i64, be_u8, be_u16, be_u32, be_u64,
};

/// What is left, and what was read.
type Walked<'a, T> = Result<(&'a [u8], T), TableFlaw>;
/// [`Walked`] as nom has it.
type Parsed<'a, T> = nom::IResult<&'a [u8], T, TableFlaw>;

impl<'a> ParseError<&'a [u8]> for TableFlaw {
    // nom's own parsers fail here for one reason only: too few bytes.
    fn from_error_kind(_: &'a [u8], _: ErrorKind) -> Self {
        Self::Truncated
    }

    fn append(_: &'a [u8], _: ErrorKind, flaw: Self) -> Self {
        flaw
    }
}

fn walked<T>(parsed: Parsed<'_, T>) -> Walked<'_, T> {
    parsed.map_err(|error| match error {
        nom::Err::Error(flaw) | nom::Err::Failure(flaw) => flaw,
        nom::Err::Incomplete(_) => TableFlaw::Truncated,
    })
}

impl FieldTable {
    /// A whole table with its size in front, as it stands in methods and properties.
    ///
    /// # Errors
    /// [`WireErrorKind::Table`] when it is malformed or does not fill `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        match read_table(bytes, bytes) {
            Ok(([], table)) => Ok(table),
            Ok(_) => Err(WireErrorKind::Table(TableFlaw::Truncated).into()),
            Err(flaw) => Err(WireErrorKind::Table(flaw).into()),
        }
    }

    /// The fields alone, without a size in front: the response of SASL AMQPLAIN.
    ///
    /// # Errors
    /// [`WireErrorKind::Table`] when they are malformed.
    pub fn decode_fields(bytes: &Bytes) -> Result<Self, WireError> {
        read_fields(bytes, bytes, 1).map_err(|flaw| WireErrorKind::Table(flaw).into())
    }
}

/// A table with its size in front, its values slices of `owner`, which holds `input`.
pub(crate) fn read_table<'a>(owner: &Bytes, input: &'a [u8]) -> Walked<'a, FieldTable> {
    let (rest, fields) = sized(input)?;
    Ok((rest, read_fields(owner, fields, 1)?))
}

/// Fields up to the end of `input`.
pub(crate) fn read_fields(
    owner: &Bytes,
    mut input: &[u8],
    depth: usize,
) -> Result<FieldTable, TableFlaw> {
    check_depth(depth)?;
    let mut table = FieldTable::new();
    while !input.is_empty() {
        let (rest, name) = short(input)?;
        let (rest, value) = read_value(owner, rest, depth)?;
        table.push(ShortStr::from_bounded(owner.slice_ref(name)), value);
        input = rest;
    }
    Ok(table)
}

fn read_value<'a>(owner: &Bytes, input: &'a [u8], depth: usize) -> Walked<'a, FieldValue> {
    let (input, field_type) = walked(be_u8(input))?;
    match field_type {
        b'S' => map(sized(input), |bytes| FieldValue::LongStr(owner.slice_ref(bytes))),
        b'I' => map(walked(be_i32(input)), FieldValue::I32),
        b'l' => map(walked(be_i64(input)), FieldValue::I64),
        b't' => map(walked(be_u8(input)), |byte| FieldValue::Bool(byte != 0)),
        b'b' => map(walked(be_i8(input)), FieldValue::I8),
        b'B' => map(walked(be_u8(input)), FieldValue::U8),
        b's' => map(walked(be_i16(input)), FieldValue::I16),
        b'u' => map(walked(be_u16(input)), FieldValue::U16),
        b'i' => map(walked(be_u32(input)), FieldValue::U32),
        b'L' => map(walked(be_u64(input)), FieldValue::U64),
        b'f' => map(walked(be_f32(input)), FieldValue::F32),
        b'd' => map(walked(be_f64(input)), FieldValue::F64),
        b'T' => map(walked(be_u64(input)), FieldValue::Timestamp),
        b'x' => map(sized(input), |bytes| FieldValue::ByteArray(owner.slice_ref(bytes))),
        b'V' => Ok((input, FieldValue::Void)),
        b'D' => {
            let (input, scale) = walked(be_u8(input))?;
            map(walked(be_u32(input)), |value| FieldValue::Decimal { scale, value })
        }
        b'F' => {
            let (rest, fields) = sized(input)?;
            Ok((rest, FieldValue::Table(read_fields(owner, fields, depth + 1)?)))
        }
        b'A' => {
            let (rest, elements) = sized(input)?;
            Ok((rest, FieldValue::Array(read_elements(owner, elements, depth + 1)?)))
        }
        unknown => Err(TableFlaw::FieldType(unknown)),
    }
}

fn read_elements(
    owner: &Bytes,
    mut input: &[u8],
    depth: usize,
) -> Result<Vec<FieldValue>, TableFlaw> {
    check_depth(depth)?;
    let mut elements = Vec::new();
    while !input.is_empty() {
        let (rest, value) = read_value(owner, input, depth)?;
        elements.push(value);
        input = rest;
    }
    Ok(elements)
}

/// Checks a table with its size in front and allocates nothing.
pub(crate) fn check_table(input: &[u8]) -> Walked<'_, ()> {
    let (rest, fields) = sized(input)?;
    check_fields(fields, 1)?;
    Ok((rest, ()))
}

fn check_fields(mut input: &[u8], depth: usize) -> Result<(), TableFlaw> {
    check_depth(depth)?;
    while !input.is_empty() {
        let (rest, _name) = short(input)?;
        (input, ()) = check_value(rest, depth)?;
    }
    Ok(())
}

fn check_value(input: &[u8], depth: usize) -> Walked<'_, ()> {
    let (input, field_type) = walked(be_u8(input))?;
    let fixed: usize = match field_type {
        b'S' | b'x' => return map(sized(input), |_| ()),
        b'F' => {
            let (rest, fields) = sized(input)?;
            return check_fields(fields, depth + 1).map(|()| (rest, ()));
        }
        b'A' => {
            let (rest, elements) = sized(input)?;
            return check_elements(elements, depth + 1).map(|()| (rest, ()));
        }
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        unknown => return Err(TableFlaw::FieldType(unknown)),
    };
    map(walked(take(fixed)(input)), |_| ())
}

fn check_elements(mut input: &[u8], depth: usize) -> Result<(), TableFlaw> {
    check_depth(depth)?;
    while !input.is_empty() {
        (input, ()) = check_value(input, depth)?;
    }
    Ok(())
}

fn check_depth(depth: usize) -> Result<(), TableFlaw> {
    if depth > FIELD_TABLE_DEPTH_MAX { Err(TableFlaw::Depth) } else { Ok(()) }
}

/// A length byte and as many bytes.
fn short(input: &[u8]) -> Walked<'_, &[u8]> {
    let (input, length) = walked(be_u8(input))?;
    walked(take(length)(input))
}

/// A size of four bytes and as many bytes.
fn sized(input: &[u8]) -> Walked<'_, &[u8]> {
    let (input, size) = walked(be_u32(input))?;
    walked(take(size)(input))
}

fn map<T, U>(walked: Walked<'_, T>, value: impl FnOnce(T) -> U) -> Walked<'_, U> {
    walked.map(|(rest, read)| (rest, value(read)))
}
