//! Files of definitions as RabbitMQ 3.x and 4.x write them: virtual hosts, users, permissions,
//! policies, exchanges, queues and bindings as JSON; beside them our own schedules. Taken whole or refused with the path of the
//! field that is wrong.

pub(crate) mod at_start;
mod export;
mod flaws;
mod import;
pub(crate) mod message_properties;
mod node;
pub(crate) mod object_json;
mod parse;
pub(crate) mod schedule_json;
pub mod table_json;
mod user_tags;
mod user_warnings;

pub(crate) use export::parameters;
pub use export::{export, export_vhost};
pub use flaws::DefinitionFlaws;
pub use import::{ImportError, import};
pub use parse::{Definitions, ReadOptions, parse};
pub(crate) use user_tags::user_tags;
pub use user_warnings::warnings_of_users;

use forebay_engine::definition;
use forebay_engine::topology::Topology;
use forebay_wire::ShortStr;
use std::path::{Path, PathBuf};

/// Why a file of definitions is refused.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsFileError {
    /// It can't be read.
    #[error("cannot read the definitions {path}: {error}; check the path and its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("definitions {path}: nothing of it was taken\n{error}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What, and where.
        error: DefinitionFlaws,
    },
}

/// Reads a file, without asking a broker whether it fits what is there.
///
/// # Errors
/// When it can't be read, or something in it is wrong by itself.
pub fn read(path: &Path, options: ReadOptions<'_>) -> Result<Definitions, DefinitionsFileError> {
    let bytes = std::fs::read(path)
        .map_err(|error| DefinitionsFileError::Read { path: path.to_owned(), error })?;
    parse(&bytes, options)
        .map_err(|error| DefinitionsFileError::Refused { path: path.to_owned(), error })
}

/// Reads a file and checks that an empty broker could take it.
///
/// # Errors
/// When it can't be read, or an empty broker could not take it.
pub fn check(path: &Path, options: ReadOptions<'_>) -> Result<Definitions, DefinitionsFileError> {
    let read = read(path, options)?;
    let mut empty = Topology::new();
    empty.create_vhost(&ShortStr::from_static("/"));
    if let Some(vhost) = options.vhost {
        empty.create_vhost(vhost);
    }
    match DefinitionFlaws::of(definition::check(empty, &read.definitions)) {
        None => Ok(read),
        Some(error) => Err(DefinitionsFileError::Refused { path: path.to_owned(), error }),
    }
}
