//! Files of definitions as RabbitMQ 3.x and 4.x write them: virtual hosts, users, permissions,
//! policies, exchanges, queues and bindings as JSON. Taken whole or refused with the path of the
//! field that is wrong.

mod export;
mod node;
mod parse;
mod user_warnings;

pub(crate) use export::parameters;
pub use export::{export, export_vhost};
pub use parse::{Definitions, parse};
pub use user_warnings::warnings_of_users;

use forebay_engine::definition::DefinitionError;
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
    #[error("definitions {path}: {error}; nothing of it was taken")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What, and where.
        error: DefinitionError,
    },
}

/// Reads a file, without asking a broker whether it fits what is there.
///
/// # Errors
/// When it can't be read, or something in it is wrong by itself.
pub fn read(path: &Path) -> Result<Definitions, DefinitionsFileError> {
    let octets = std::fs::read(path)
        .map_err(|error| DefinitionsFileError::Read { path: path.to_owned(), error })?;
    parse(&octets, None)
        .map_err(|error| DefinitionsFileError::Refused { path: path.to_owned(), error })
}

/// Reads a file and checks that an empty broker could take it.
///
/// # Errors
/// When it can't be read, or an empty broker could not take it.
pub fn check(path: &Path) -> Result<Definitions, DefinitionsFileError> {
    let read = read(path)?;
    forebay_engine::definition::check(&read.definitions)
        .map_err(|error| DefinitionsFileError::Refused { path: path.to_owned(), error })?;
    Ok(read)
}
