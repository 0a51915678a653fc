//! Reading the arguments of a declare: typed, within bounds, with one way to say what is wrong.

use super::meaning::{float, shown, type_name};
use super::names::Resource;
use crate::fault::Fault;
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};
use std::ops::RangeInclusive;

/// The arguments of one declare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arguments<'a> {
    table: &'a FieldTable,
    resource: Resource<'a>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(table: &'a FieldTable, resource: Resource<'a>) -> Self {
        Self { table, resource }
    }

    /// Whether the argument was given.
    pub(crate) fn has(self, name: &str) -> bool {
        self.table.get(name).is_some()
    }

    /// An integer of any width within the bounds.
    pub(crate) fn integer(
        self,
        name: &str,
        bounds: RangeInclusive<i128>,
    ) -> Result<Option<i128>, Fault> {
        self.read(
            name,
            |value| value.as_integer().filter(|value| bounds.contains(value)),
            || match i128::from(i64::MAX) == *bounds.end() {
                true => format!("an integer of {} or more", bounds.start()),
                false => format!("an integer from {} to {}", bounds.start(), bounds.end()),
            },
        )
    }

    /// An integer from `least` up to what fits 63 bits, as most arguments are.
    pub(crate) fn unsigned(self, name: &str, least: u32) -> Result<Option<u64>, Fault> {
        let value = self.integer(name, i128::from(least)..=i128::from(i64::MAX))?;
        Ok(value.and_then(|value| u64::try_from(value).ok()))
    }

    /// A number, integer or float, within the bounds.
    pub(crate) fn number(
        self,
        name: &str,
        bounds: RangeInclusive<f64>,
    ) -> Result<Option<f64>, Fault> {
        self.read(
            name,
            |value| {
                #[expect(clippy::cast_precision_loss, reason = "the bounds are small")]
                let number = value.as_integer().map(|value| value as f64).or_else(|| float(value));
                number.filter(|value| bounds.contains(value))
            },
            || format!("a number from {} to {}", bounds.start(), bounds.end()),
        )
    }

    /// A boolean.
    pub(crate) fn boolean(self, name: &str) -> Result<Option<bool>, Fault> {
        self.read(name, FieldValue::as_bool, || "a boolean".to_owned())
    }

    /// The name of an object, or a routing key.
    pub(crate) fn name(self, name: &str) -> Result<Option<ShortStr>, Fault> {
        self.read(
            name,
            |value| {
                let octets = value.as_long_str()?.clone();
                ShortStr::try_from(octets).ok().map(|name| name.detached())
            },
            || "a string of at most 255 octets".to_owned(),
        )
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Fault> {
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

    /// 406: the argument has a value that is not allowed.
    pub(crate) fn refused(self, name: &str, allowed: &str) -> Fault {
        let value = self.table.get(name).unwrap_or(&FieldValue::Void);
        let text = format!(
            "invalid arg '{name}' for {}: '{}' of type '{}'; expected {allowed}",
            self.resource,
            shown(value),
            type_name(value)
        );
        Fault::channel(ReplyCode::PreconditionFailed, text)
    }

    fn read<T>(
        self,
        name: &str,
        accept: impl FnOnce(&'a FieldValue) -> Option<T>,
        allowed: impl FnOnce() -> String,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.table.get(name) else { return Ok(None) };
        match accept(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.refused(name, &allowed())),
        }
    }
}
