//! A step of an operator's walk over a queue ([`Browse`]), asked for over HTTP: with how many messages at
//! most, what an earlier step left over, and what this one leaves.

use super::api_error::ApiError;
use super::caller::Caller;
use super::context::Admin;
use super::request_body::RequestBody;
use crate::shard::shard_link::SESSION_CHANNEL;
use forebay_engine::browse::{Browse, BrowsePage};
use forebay_engine::command::Command;
use forebay_engine::event::Reply;
use forebay_engine::limits::{BROWSE_MESSAGES_MAX, BROWSE_RANGES_MAX};
use forebay_engine::model::{Level, Offset, OffsetRange};
use forebay_wire::ShortStr;
use serde_json::{Value, json};

impl Admin {
    /// Does one step.
    pub(super) async fn browse(
        &self,
        caller: &Caller,
        vhost: ShortStr,
        browse: Browse,
    ) -> Result<BrowsePage, ApiError> {
        let command = Command::Browse { channel: SESSION_CHANNEL, browse: Box::new(browse) };
        match self.link().ask(vhost, caller.name.clone(), command).await? {
            Reply::BrowsePage(page) => Ok(*page),
            _ => Ok(BrowsePage::default()),
        }
    }
}

/// With how many messages at most.
pub(super) fn count(body: &RequestBody, default: usize) -> Result<usize, ApiError> {
    match body.integer("count")? {
        None => Ok(default),
        Some(count) => usize::try_from(count)
            .ok()
            .filter(|count| (1..=BROWSE_MESSAGES_MAX).contains(count))
            .ok_or_else(|| {
                ApiError::bad(format!("count: {count}, expected 1 to {BROWSE_MESSAGES_MAX}"))
            }),
    }
}

/// What an earlier step left.
pub(super) fn runs(body: &RequestBody) -> Result<Option<Vec<OffsetRange>>, ApiError> {
    let wrong = |found: &Value| {
        ApiError::bad(format!(
            "runs: {found}, expected at most {BROWSE_RANGES_MAX} times [priority, first, last], as in \
             'rest'"
        ))
    };
    let Some(value) = body.get("runs") else { return Ok(None) };
    let listed = value.as_array().filter(|runs| runs.len() <= BROWSE_RANGES_MAX);
    let runs = listed.ok_or_else(|| wrong(value))?.iter().map(|run| {
        let numbers: Option<Vec<u64>> = run.as_array()?.iter().map(Value::as_u64).collect();
        match numbers?.as_slice() {
            &[level, first, last] if first <= last => Some(OffsetRange {
                level: Level(u8::try_from(level).ok()?),
                first: Offset(first),
                last: Offset(last),
            }),
            _ => None,
        }
    });
    let runs: Option<Vec<OffsetRange>> = runs.collect();
    runs.map(Some).ok_or_else(|| wrong(value))
}

/// What is left over, as [`runs`] reads it.
pub(super) fn rest(runs: &[OffsetRange]) -> Value {
    runs.iter().map(|run| json!([run.level.0, run.first.0, run.last.0])).collect()
}
