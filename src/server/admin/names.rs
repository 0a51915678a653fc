//! Names from a path or a body.

use super::api_error::ApiError;
use forebay_engine::model::ObjectName;
use forebay_wire::ShortStr;

/// What the default exchange is called in paths.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// A name from a path or a body.
pub(super) fn short(what: &str, text: &str) -> Result<ShortStr, ApiError> {
    ShortStr::try_from(text).map_err(|_| ApiError::bad(format!("{what}: longer than 255 bytes")))
}

/// The name of an exchange or queue from a path or a body.
pub(super) fn object_name(what: &str, text: &str) -> Result<ObjectName, ApiError> {
    short(what, text).map(ObjectName::from)
}

/// The exchange that a path names, in the part called `part`.
pub(super) fn exchange_name(part: &str, path: &str) -> Result<ObjectName, ApiError> {
    let name = object_name(part, path)?;
    Ok(if name == DEFAULT_EXCHANGE { ObjectName::EMPTY } else { name })
}
