//! A flipped bit in a page of one queue.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The tables of pages, and where in each a message of `orders` stands. A table that a running broker
/// merges meanwhile is left out: none is found while only its successor has the message.
pub(crate) fn tables_with_orders(directory: &Path) -> Vec<(PathBuf, u64)> {
    let tables = fs::read_dir(directory.join("fjall/keyspaces/1/tables")).unwrap();
    let paths = tables.map(|entry| entry.unwrap().path());
    let place = |path: &PathBuf| {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            read => read.unwrap(),
        };
        let needle = b"orders 5 3 xx";
        bytes.windows(needle.len()).position(|window| window == needle)
    };
    paths.filter_map(|path| place(&path).map(|at| (path, at as u64))).collect()
}

pub(crate) fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

/// Flips a bit of a message of `orders`; flips it back when it is done again.
pub(crate) fn flip_orders(directory: &Path) {
    let tables = tables_with_orders(directory);
    assert!(!tables.is_empty());
    for (table, at) in tables {
        flip(&table, at);
    }
}
