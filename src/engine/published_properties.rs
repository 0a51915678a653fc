//! The properties that the broker reads before it takes a message, over AMQP and over HTTP alike:
//! expiration, delivery mode, user-id, `CC` and `BCC`.

use crate::model::{BLIND_CARBON_COPY, CARBON_COPY, Fault};
use crate::session::limits::EXPIRATION_MS_MAX;
use forebay_wire::{FieldValue, RawProperties, ReplyCode, ShortStr};

/// The time to live in ms.
///
/// # Errors
/// 406 when it is no number from 0 to ten years.
pub fn expiration(properties: &RawProperties) -> Result<Option<u64>, Fault> {
    let Some(text) = properties.expiration() else { return Ok(None) };
    let digits = text.as_str().filter(|text| !text.starts_with("++"));
    let number = digits.and_then(|digits| digits.parse::<u64>().ok());
    match number.filter(|number| *number <= EXPIRATION_MS_MAX) {
        Some(number) => Ok(Some(number)),
        None => Err(refused(format!(
            "invalid expiration '{text}': expected whole milliseconds from 0 to {EXPIRATION_MS_MAX}"
        ))),
    }
}

/// Checks that it is said whether the message is to be kept: 1 for no, 2 for yes, or nothing.
///
/// # Errors
/// 406 for another number.
pub fn check_delivery_mode(properties: &RawProperties) -> Result<(), Fault> {
    match properties.delivery_mode() {
        None | Some(1 | 2) => Ok(()),
        Some(mode) => Err(refused(format!(
            "invalid delivery_mode {mode}: expected 1 (transient) or 2 (persistent)"
        ))),
    }
}

/// Checks that nobody publishes in another's name.
///
/// # Errors
/// 406 names both.
pub fn check_user(properties: &RawProperties, user: &ShortStr) -> Result<(), Fault> {
    match properties.user_id() {
        Some(claimed) if claimed != *user => Err(refused(format!(
            "user_id property set to '{claimed}' but authenticated user was '{user}'"
        ))),
        _ => Ok(()),
    }
}

/// Further routing keys of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copies {
    /// Beside the message's own.
    pub routing_keys: Vec<ShortStr>,
    /// Some of them are in `BCC`, which stays with the message and is shown to nobody.
    pub has_blind: bool,
}

/// Reads `CC` and `BCC`; nothing when there are none.
///
/// # Errors
/// 406 when one is no array. What is no string in it is passed over, as RabbitMQ does.
pub fn copies(properties: &RawProperties) -> Result<Option<Copies>, Fault> {
    if !properties.has_headers() || !may_have_copies(properties.as_bytes()) {
        return Ok(None);
    }
    let Some(headers) = properties.headers() else { return Ok(None) };
    let has_blind = headers.get(BLIND_CARBON_COPY).is_some();
    let mut copies = Copies { routing_keys: Vec::new(), has_blind };
    for name in [CARBON_COPY, BLIND_CARBON_COPY] {
        match headers.get(name) {
            None => {}
            Some(FieldValue::Array(values)) => {
                let keys = values.iter().filter_map(FieldValue::as_long_str).cloned();
                copies.routing_keys.extend(keys.filter_map(|key| ShortStr::try_from(key).ok()));
            }
            Some(_) => {
                let text = format!("invalid message: header '{name}' must be an array of strings");
                return Err(refused(text));
            }
        }
    }
    let is_plain = copies.routing_keys.is_empty() && !has_blind;
    Ok((!is_plain).then_some(copies))
}

/// Whether the bytes hold one of the names with its length in front: a look that allocates
/// nothing, wrong in the safe direction only.
fn may_have_copies(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|window| window == b"\x02CC")
        || bytes.windows(4).any(|window| window == b"\x03BCC")
}

pub(crate) fn refused(text: String) -> Fault {
    Fault::channel(ReplyCode::PreconditionFailed, text)
}
