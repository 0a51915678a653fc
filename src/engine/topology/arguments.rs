//! Reading the arguments of a declare, and the definitions of policies: typed, within bounds, with
//! one way to say what is wrong.

use super::field_equality::{shown, type_name};
use super::names::Resource;
use crate::model::{Fault, ObjectName};
use crate::session::limits::EXPIRATION_MS_MAX;
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};
use std::ops::RangeInclusive;

const I64_MIN: i128 = i64::MIN as i128;
const I64_MAX: i128 = i64::MAX as i128;

/// The argument that names where unmatched messages go.
pub(crate) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

/// Begins the names of arguments; the same settings stand in policies without it.
const ARGUMENT_PREFIX: &str = "x-";

/// The arguments of one declare, or the definition of one policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arguments<'a> {
    table: &'a FieldTable,
    is_policy: bool,
}

/// An argument with a value that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadArgument {
    /// The argument's name, as it was sent.
    pub(crate) name: String,
    /// What was found, and what is allowed.
    pub(crate) reason: String,
}

impl BadArgument {
    /// 406, naming the argument, its value, what is allowed, and the object.
    pub(crate) fn fault(&self, resource: Resource<'_>) -> Fault {
        let text = format!("invalid arg '{}' for {resource}: {}", self.name, self.reason);
        Fault::channel(ReplyCode::PreconditionFailed, text)
    }
}

impl<'a> Arguments<'a> {
    /// Arguments of a declare.
    pub(crate) fn new(table: &'a FieldTable) -> Self {
        Self { table, is_policy: false }
    }

    /// The definition of a policy. Settings are asked for by the names of their arguments.
    pub(crate) fn policy(table: &'a FieldTable) -> Self {
        Self { table, is_policy: true }
    }

    /// Whether the argument was given.
    pub(crate) fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// An integer of any width within the bounds.
    pub(crate) fn integer(
        self,
        name: &str,
        bounds: RangeInclusive<i128>,
    ) -> Result<Option<i128>, BadArgument> {
        self.read(
            name,
            |value| value.as_integer().filter(|value| bounds.contains(value)),
            || match (*bounds.start(), *bounds.end()) {
                (I64_MIN, I64_MAX) => "an integer of at most 64 bits".to_owned(),
                (least, I64_MAX) => format!("an integer of {least} or more"),
                (least, most) => format!("an integer from {least} to {most}"),
            },
        )
    }

    /// An integer of any sign that fits 64 bits.
    pub(crate) fn signed(self, name: &str) -> Result<Option<i64>, BadArgument> {
        let value = self.integer(name, I64_MIN..=I64_MAX)?;
        Ok(value.and_then(|value| i64::try_from(value).ok()))
    }

    /// An integer from `least` up to what fits 63 bits, as most arguments are.
    pub(crate) fn unsigned(self, name: &str, least: u32) -> Result<Option<u64>, BadArgument> {
        let value = self.integer(name, i128::from(least)..=I64_MAX)?;
        Ok(value.and_then(|value| u64::try_from(value).ok()))
    }

    /// Milliseconds, from `least` up to ten years.
    pub(crate) fn duration(self, name: &str, least: u32) -> Result<Option<u64>, BadArgument> {
        let value = self.integer(name, i128::from(least)..=i128::from(EXPIRATION_MS_MAX))?;
        Ok(value.and_then(|value| u64::try_from(value).ok()))
    }

    /// A boolean.
    pub(crate) fn boolean(self, name: &str) -> Result<Option<bool>, BadArgument> {
        self.read(name, FieldValue::as_bool, || "a boolean".to_owned())
    }

    /// The name of an exchange or queue.
    pub(crate) fn object_name(self, name: &str) -> Result<Option<ObjectName>, BadArgument> {
        Ok(self.short_string(name)?.map(ObjectName::from))
    }

    /// A routing key, or the name of a header.
    pub(crate) fn short_string(self, name: &str) -> Result<Option<ShortStr>, BadArgument> {
        self.read(
            name,
            |value| {
                let bytes = value.as_long_str()?.clone();
                ShortStr::try_from(bytes).ok().map(|name| name.detached())
            },
            || "a string of at most 255 bytes".to_owned(),
        )
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, BadArgument> {
        self.read(
            name,
            |value| {
                let word = value.as_long_str()?;
                let choice = choices.iter().find(|(there, _)| there.as_bytes() == word.as_ref());
                choice.map(|(_, choice)| *choice)
            },
            || {
                let words: Vec<_> = choices.iter().map(|(word, _)| format!("'{word}'")).collect();
                words.join(" or ")
            },
        )
    }

    /// Whatever `is_allowed` accepts.
    pub(crate) fn accept(
        self,
        name: &str,
        allowed: &str,
        is_allowed: impl FnOnce(&FieldValue) -> bool,
    ) -> Result<(), BadArgument> {
        let accept = |value| is_allowed(value).then_some(());
        self.read(name, accept, || allowed.to_owned()).map(drop)
    }

    /// Says that the argument has a value that is not allowed.
    pub(crate) fn refused(self, name: &str, allowed: &str) -> BadArgument {
        let value = self.get(name).unwrap_or(&FieldValue::Void);
        let (shown, kind) = (shown(value), type_name(value));
        let reason = format!("'{shown}' of type '{kind}'; expected {allowed}");
        BadArgument { name: self.sent_name(name).to_owned(), reason }
    }

    fn get(self, name: &str) -> Option<&'a FieldValue> {
        self.table.get(self.sent_name(name))
    }

    /// The name under which a setting stands here.
    pub(crate) fn sent_name(self, name: &str) -> &str {
        match name.strip_prefix(ARGUMENT_PREFIX) {
            Some(stripped) if self.is_policy => stripped,
            _ => name,
        }
    }

    fn read<T>(
        self,
        name: &str,
        accept: impl FnOnce(&'a FieldValue) -> Option<T>,
        allowed: impl FnOnce() -> String,
    ) -> Result<Option<T>, BadArgument> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match accept(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.refused(name, &allowed())),
        }
    }
}
