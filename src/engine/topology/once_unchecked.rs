//! Arguments and settings that version 0.1 took with any value, because they had no effect then. One that a
//! data directory holds with a value that is not allowed has none now either: it is dropped when it is
//! read, otherwise the broker would not start.

use super::arguments::Arguments;
use super::policy::PolicyOwner;
use super::settings_layer::SettingsLayer;
use forebay_wire::FieldTable;

/// Arguments of queues; in policies without `x-`.
const ARGUMENTS: [&str; 11] = [
    "x-dedup-size",
    "x-dedup-window",
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-delayed-retry-multiplier",
    "x-delayed-retry-type",
    "x-max-in-flight",
    "x-rate-burst",
    "x-rate-limit",
    "x-message-group",
    "x-trace",
];

/// Takes out of the arguments of a stored queue what would not be taken today.
pub(super) fn mend_queue(arguments: &mut FieldTable) {
    mend(arguments, false);
    let stands_alone = |arguments: &FieldTable| {
        let has = |name: &str| arguments.get(name).is_some();
        !has("x-delayed-retry-type") && !has("x-delayed-retry-min")
    };
    if stands_alone(arguments) {
        arguments.remove("x-delayed-retry-max");
        arguments.remove("x-delayed-retry-multiplier");
    }
    for (name, needed) in [("x-dedup-size", "x-dedup-window"), ("x-rate-burst", "x-rate-limit")] {
        if arguments.get(needed).is_none() {
            arguments.remove(name);
        }
    }
}

/// Takes out of the definition of a stored policy what would not be taken today.
pub(super) fn mend_policy(owner: PolicyOwner, definition: &mut FieldTable) {
    mend(definition, true);
    if owner == PolicyOwner::Operator {
        for name in ARGUMENTS.iter().filter_map(|name| name.strip_prefix("x-")) {
            definition.remove(name);
        }
    }
}

fn mend(table: &mut FieldTable, is_policy: bool) {
    for _ in ARGUMENTS {
        let read = |table: &FieldTable| {
            let arguments =
                if is_policy { Arguments::policy(table) } else { Arguments::new(table) };
            SettingsLayer::read(arguments).err()
        };
        let Some(bad) = read(table) else { return };
        let mut names = ARGUMENTS.iter().map(|name| match is_policy {
            true => name.strip_prefix("x-").unwrap_or(name),
            false => name,
        });
        if !names.any(|name| name == bad.name) {
            return;
        }
        table.remove(&bad.name);
    }
}
