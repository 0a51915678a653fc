//! `NAME=VALUE` on the command line, as an argument or header of AMQP.

use forebay_client::{FieldTable, FieldValue, ShortStr};

/// A name and a typed value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Argument {
    name: ShortStr,
    value: FieldValue,
}

/// Integers and `true`/`false` become what they look like, everything else is text; text that looks
/// like a number is written in quotes.
impl std::str::FromStr for Argument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
        let name = ShortStr::try_from(name).map_err(|error| error.to_string())?;
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = match (quoted, value.parse::<i64>(), value.parse::<bool>()) {
            (Some(text), _, _) => FieldValue::from(text),
            (None, Ok(number), _) => {
                i32::try_from(number).map_or(FieldValue::I64(number), FieldValue::I32)
            }
            (None, _, Ok(truth)) => FieldValue::Bool(truth),
            _ => FieldValue::from(value),
        };
        Ok(Self { name, value })
    }
}

/// All of them as a table.
pub(crate) fn table(arguments: &[Argument]) -> FieldTable {
    arguments.iter().map(|argument| (argument.name.clone(), argument.value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_it_looks_like() {
        let value = |text: &str| text.parse::<Argument>().unwrap().value;
        assert_eq!(value("x-max-length=10"), FieldValue::I32(10));
        assert_eq!(value("x=10000000000"), FieldValue::I64(10_000_000_000));
        assert_eq!(value("x-single-active-consumer=true"), FieldValue::Bool(true));
        assert_eq!(value("x-overflow=reject-publish"), "reject-publish".into());
        assert_eq!(value("x=\"10\""), "10".into());
        assert_eq!(value("x="), "".into());
        assert!("x-max-length".parse::<Argument>().unwrap_err().contains("NAME=VALUE"));
    }
}
