//! The tags of a user or virtual host.

use crate::limits::ADMIN_TEXT_BYTES_MAX;
use serde_json::Value;

/// Tags as a list, or separated by commas.
///
/// # Errors
/// What was expected.
pub(crate) fn user_tags(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || "expected a list of names, or names separated by commas".to_owned();
    let tags: Vec<String> = match value {
        Value::String(text) => text.split(',').map(|tag| tag.trim().to_owned()).collect(),
        Value::Array(tags) => {
            let names = tags.iter().map(|tag| tag.as_str().map(str::to_owned));
            names.collect::<Option<_>>().ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    let bytes: usize = tags.iter().map(|tag| tag.len() + 1).sum();
    if bytes > ADMIN_TEXT_BYTES_MAX || tags.iter().any(|tag| tag.contains(',')) {
        let text = format!("without commas, at most {ADMIN_TEXT_BYTES_MAX} bytes together");
        return Err(text);
    }
    Ok(tags.into_iter().filter(|tag| !tag.is_empty()).collect())
}
