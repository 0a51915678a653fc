//! A file of definitions into a running broker: looked through as a whole beside the shard, so that all
//! flaws are told at once. The shard takes it in slices.

use super::flaws::DefinitionFlaws;
use crate::shard::shard_link::{SESSION_CHANNEL, SessionError, ShardLink};
use forebay_engine::administration::Administration;
use forebay_engine::command::Command;
use forebay_engine::definition::{self, Definition};
use forebay_engine::topology::Topology;
use forebay_wire::ShortStr;

/// Why definitions are not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Some of them can't be. None was taken.
    #[error("{0}")]
    Flaws(DefinitionFlaws),
    /// The shard refused one that could have been taken a moment before, or the broker stops.
    #[error("{0}")]
    Interrupted(SessionError),
}

/// Takes all definitions, or none when one of them does not fit what is there.
///
/// # Errors
/// All that do not fit; or what came between.
pub async fn import(
    link: &ShardLink,
    catalogue: Topology,
    user: ShortStr,
    definitions: Vec<Definition>,
) -> Result<(), ImportError> {
    let checked = tokio::task::spawn_blocking(move || {
        let flaws = definition::check(catalogue, &definitions);
        (DefinitionFlaws::of(flaws), definitions)
    });
    let stopping = |_| ImportError::Interrupted(SessionError::Stopping);
    let (flaws, definitions) = checked.await.map_err(stopping)?;
    if let Some(flaws) = flaws {
        return Err(ImportError::Flaws(flaws));
    }
    let request = Box::new(Administration::Import(definitions));
    let command = Command::Administer { channel: SESSION_CHANNEL, request };
    let asked = link.ask(ShortStr::default(), user, command).await;
    asked.map(drop).map_err(ImportError::Interrupted)
}
