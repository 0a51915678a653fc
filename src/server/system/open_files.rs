//! How many files, and so how many sockets, the process may open. Raised once at the start.

use crate::limits::{
    CONNECTIONS_MAX, LOGIN_CONNECTIONS_ADDRESS_SHARE, LOGIN_CONNECTIONS_GRACE,
    LOGIN_CONNECTIONS_MAX, LOGIN_CONNECTIONS_SHARE, OPEN_FILES_RESERVED,
};
use crate::net::places::PlaceLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("the limit of open files stays at {:?}: {error}", limit.current);
    }
}

/// Connections that the limit of open files has room for, at most `CONNECTIONS_MAX`.
#[must_use]
pub fn connections_max() -> usize {
    connections_within(getrlimit(Resource::Nofile).current)
}

fn connections_within(open_files_max: Option<u64>) -> usize {
    let files = open_files_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    files.saturating_sub(OPEN_FILES_RESERVED).clamp(1, CONNECTIONS_MAX)
}

/// Of those, places for connections that have not logged in.
#[must_use]
pub fn login_places() -> PlaceLimits {
    let total_max = (connections_max() / LOGIN_CONNECTIONS_SHARE).clamp(1, LOGIN_CONNECTIONS_MAX);
    PlaceLimits {
        purpose: "a login",
        total_max,
        per_address_max: (total_max / LOGIN_CONNECTIONS_ADDRESS_SHARE).max(1),
        grace: LOGIN_CONNECTIONS_GRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_kept_for_the_store() {
        assert_eq!(connections_within(Some(20_000)), 20_000 - OPEN_FILES_RESERVED);
        assert_eq!(connections_within(None), CONNECTIONS_MAX);
        assert_eq!(connections_within(Some(10)), 1);
    }
}
