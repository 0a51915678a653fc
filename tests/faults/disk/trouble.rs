//! How a disk fails.

use super::merges::Merges;
use fuser::Errno;

/// What can be done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Write,
    Sync,
    Create,
    Rename,
    /// Of a file that is there.
    Open,
}

/// Sees each deed, and tells whether it is one of those that fail.
type Sight = dyn FnMut(Deed, &str) -> bool + Send;

/// From a certain deed on, a kind of deeds fails.
pub(crate) struct Trouble {
    /// By the deed, and the path of the file.
    is_meant: Box<Sight>,
    /// Deeds that still succeed.
    spared: u64,
    error: Errno,
    /// How often it has struck.
    pub(crate) strikes: u64,
}

impl Trouble {
    /// The `spared + 1`th of these deeds fails, and all that follow.
    pub(crate) fn new(
        deed: Deed,
        spared: u64,
        error: Errno,
        is_meant: impl Fn(&str) -> bool + Send + 'static,
    ) -> Self {
        Self::of(spared, error, move |found, path| found == deed && is_meant(path))
    }

    /// The same of the writes to tables into which others are merged.
    pub(crate) fn in_merges(spared: u64, error: Errno) -> Self {
        let mut merges = Merges::default();
        Self::of(spared, error, move |deed, path| merges.observe(deed, path))
    }

    fn of(
        spared: u64,
        error: Errno,
        is_meant: impl FnMut(Deed, &str) -> bool + Send + 'static,
    ) -> Self {
        Self { is_meant: Box::new(is_meant), spared, error, strikes: 0 }
    }

    /// The error with which a deed fails, if it does.
    pub(crate) fn strike(&mut self, deed: Deed, path: &str) -> Option<Errno> {
        if !(self.is_meant)(deed, path) {
            return None;
        }
        if self.spared > 0 {
            self.spared -= 1;
            return None;
        }
        self.strikes += 1;
        Some(self.error)
    }
}

impl std::fmt::Debug for Trouble {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "fails with {:?} after {} more", self.error, self.spared)
    }
}
