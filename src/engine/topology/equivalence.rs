//! Whether what a client declares is what is there already: RabbitMQ's comparison and texts.

use super::field_equality::{same_meaning, shown, type_name};
use super::names::Resource;
use crate::model::Fault;
use forebay_wire::{FieldTable, FieldValue, ReplyCode};
use std::fmt;

/// Refuses a property that differs.
///
/// # Errors
/// 406, naming property and both values.
pub(crate) fn check_field<T: PartialEq + fmt::Display>(
    resource: Resource<'_>,
    name: &str,
    current: &T,
    received: &T,
) -> Result<(), Fault> {
    if current == received {
        return Ok(());
    }
    Err(inequivalent(resource, name, &format!("'{received}'"), &format!("'{current}'")))
}

/// Refuses arguments that differ in one of the names given; other names may differ.
///
/// # Errors
/// 406, naming the first argument that differs and both values.
pub(crate) fn check_arguments(
    resource: Resource<'_>,
    names: &[&str],
    current: &FieldTable,
    received: &FieldTable,
) -> Result<(), Fault> {
    for name in names {
        let (current, received) = (current.get(name), received.get(name));
        match (current, received) {
            (None, None) => {}
            (Some(current), Some(received)) if same_meaning(current, received) => {}
            (Some(current), Some(received)) => {
                let received = format!("'{}'", shown(received));
                return Err(inequivalent(
                    resource,
                    name,
                    &received,
                    &format!("'{}'", shown(current)),
                ));
            }
            _ => {
                return Err(inequivalent(
                    resource,
                    name,
                    &described(received),
                    &described(current),
                ));
            }
        }
    }
    Ok(())
}

fn described(value: Option<&FieldValue>) -> String {
    value.map_or_else(
        || "none".to_owned(),
        |value| format!("the value '{}' of type '{}'", shown(value), type_name(value)),
    )
}

fn inequivalent(resource: Resource<'_>, name: &str, received: &str, current: &str) -> Fault {
    let text = format!(
        "inequivalent arg '{name}' for {resource}: received {received} but current is {current}"
    );
    Fault::channel(ReplyCode::PreconditionFailed, text)
}
