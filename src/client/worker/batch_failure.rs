//! What a handler of batches says about messages that it could not handle.

use std::{collections::BTreeMap, error::Error, fmt};

use crate::Failure;

/// Which messages of a batch were not handled, and why.
///
/// Any error that `?` meets in a handler concerns the whole batch.
#[derive(Debug)]
pub struct BatchFailure(pub(crate) Failed);

#[derive(Debug)]
pub(crate) enum Failed {
    Whole(Failure),
    /// By place in the batch.
    Some(BTreeMap<usize, Failure>),
}

impl BatchFailure {
    /// None of the messages was handled.
    pub fn whole(failure: Failure) -> Self {
        Self(Failed::Whole(failure))
    }

    /// These messages were not handled, by their places in the batch, from 0; all others were, and are acked. A place
    /// that the batch does not have is passed over.
    pub fn some(failures: impl IntoIterator<Item = (usize, Failure)>) -> Self {
        Self(Failed::Some(failures.into_iter().collect()))
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for BatchFailure {
    fn from(cause: E) -> Self {
        Self(Failed::Whole(Failure::retry(cause)))
    }
}

impl fmt::Display for BatchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failed::Whole(failure) => failure.fmt(f),
            Failed::Some(failures) => write!(f, "{} messages of the batch failed", failures.len()),
        }
    }
}
