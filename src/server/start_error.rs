//! Why a broker did not start: what was wrong, and what to do.

use crate::damaged_data::DamagedData;
use crate::definitions::{DefinitionsFileError, ImportError};
use crate::limits::MEMORY_LIMIT_MIN;
use crate::otlp::OtlpError;
use crate::shard::shard_link::SessionError;
use crate::tls::TlsError;
use forebay_engine::shard::RecoverError;
use forebay_store::StoreError;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be listened on.
    #[error("cannot listen for {purpose} on {address}: {error}; {}", listen_advice(.error, flag))]
    Listen {
        /// What for.
        purpose: &'static str,
        /// The flag that sets it.
        flag: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// Spans can't be exported.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    /// Certificates can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What is stored is damaged.
    #[error("{0}")]
    Damaged(DamagedData),
    /// The store can't be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store was read and makes no sense.
    #[error("cannot recover the queues from {path}: {error}")]
    Recover {
        /// Where.
        path: PathBuf,
        /// Why not.
        error: RecoverError,
    },
    /// The file of definitions can't be read or is wrong.
    #[error(transparent)]
    DefinitionsFile(#[from] DefinitionsFileError),
    /// The file of definitions does not fit what is there.
    #[error("definitions {path}: {error}")]
    Definitions {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ImportError,
    },
    /// There is less memory than a broker needs.
    #[error(
        "cannot start with so little memory: {limit}; at least {MEMORY_LIMIT_MIN} bytes (128 MiB) are \
         needed; raise the limit"
    )]
    Memory {
        /// How much there is, and what says so.
        limit: String,
    },
    /// The first user can't be made.
    #[error("cannot make the default user: {0}")]
    FirstUser(SessionError),
    /// The system lacks something: threads, randomness.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl StartError {
    /// The store in a data directory could not be opened or read.
    pub(crate) fn of_store(directory: &Path, error: StoreError) -> Self {
        match error {
            StoreError::Damaged(first) => Self::Damaged(DamagedData::find(directory, *first)),
            error => Self::Store(error),
        }
    }
}

fn listen_advice(error: &io::Error, flag: &str) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program, perhaps another broker, listens there: stop it or choose another \
             address with {flag}"
        ),
        ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address: choose another one with {flag}")
        }
        ErrorKind::PermissionDenied => {
            format!("ports below 1024 are for root: choose another one with {flag}")
        }
        _ => format!("choose another address with {flag}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_says_which_and_what_to_do() {
        let error = StartError::Listen {
            purpose: "AMQP",
            flag: "--listen",
            address: "127.0.0.1:5672".parse().unwrap(),
            error: ErrorKind::AddrInUse.into(),
        };
        let text = error.to_string();
        assert!(text.contains("127.0.0.1:5672") && text.contains("--listen"), "{text}");
    }
}
