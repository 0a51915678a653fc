//! How a disk fails.

use fuser::Errno;

/// What can be done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Write,
    Sync,
    Create,
    Rename,
}

/// From a certain deed on, a kind of deeds fails.
pub(crate) struct Trouble {
    deed: Deed,
    /// Whether it concerns the file with this path.
    is_meant: Box<dyn Fn(&str) -> bool + Send>,
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
        Self { deed, is_meant: Box::new(is_meant), spared, error, strikes: 0 }
    }

    /// The error with which a deed fails, if it does.
    pub(crate) fn strike(&mut self, deed: Deed, path: &str) -> Option<Errno> {
        if deed != self.deed || !(self.is_meant)(path) {
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
        write!(formatter, "{:?} fails with {:?} after {} more", self.deed, self.error, self.spared)
    }
}
