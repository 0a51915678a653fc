//! Tells merges of tables from flushes: the store opens the tables that it merges just before it makes
//! the new one, and in a flush none but the one that it has just written.

use super::trouble::Deed;
use std::collections::{BTreeMap, BTreeSet};

/// What was seen in each directory of tables.
#[derive(Default)]
pub(super) struct Merges {
    directories: BTreeMap<String, Directory>,
}

#[derive(Default)]
struct Directory {
    newest: String,
    /// Since then.
    opened: BTreeSet<String>,
    /// Tables into which others are merged.
    merged: BTreeSet<String>,
}

impl Merges {
    /// Whether this is a write into a table that comes of others.
    pub(super) fn observe(&mut self, deed: Deed, path: &str) -> bool {
        let Some((directory, table)) = path.rsplit_once('/') else { return false };
        if !directory.ends_with("/tables") {
            return false;
        }
        let directory = self.directories.entry(directory.to_owned()).or_default();
        match deed {
            Deed::Open if table != directory.newest => drop(directory.opened.insert(table.into())),
            Deed::Create => {
                if directory.opened.len() > 1 {
                    directory.merged.insert(table.into());
                }
                directory.opened.clear();
                directory.newest = table.into();
            }
            Deed::Write => return directory.merged.contains(table),
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_opens_what_it_merges() {
        let mut merges = Merges::default();
        for table in ["a/tables/0", "a/tables/1", "a/tables/2"] {
            assert!(!merges.observe(Deed::Create, table));
            assert!(!merges.observe(Deed::Write, table), "{table} comes of a flush");
            merges.observe(Deed::Open, table);
        }
        merges.observe(Deed::Open, "a/tables/0");
        merges.observe(Deed::Open, "a/tables/1");
        assert!(!merges.observe(Deed::Write, "b/tables/3"));
        merges.observe(Deed::Create, "a/tables/3");
        assert!(merges.observe(Deed::Write, "a/tables/3"));
        merges.observe(Deed::Open, "a/tables/3");
        merges.observe(Deed::Create, "a/tables/4");
        assert!(!merges.observe(Deed::Write, "a/tables/4"));
    }
}
