//! What the broker owes: messages that were confirmed and that no consumer has seen yet.

use std::collections::BTreeSet;
use std::sync::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    confirmed: u64,
    seen: u64,
    owed: BTreeSet<u64>,
    /// Seen before their confirm, or never confirmed because a connection was lost; also what was
    /// seen again.
    early: BTreeSet<u64>,
}

impl Ledger {
    pub(crate) fn confirm(&self, number: u64) {
        let mut book = self.0.lock().unwrap();
        book.confirmed += 1;
        if !book.early.remove(&number) {
            book.owed.insert(number);
        }
    }

    pub(crate) fn see(&self, number: u64) {
        let mut book = self.0.lock().unwrap();
        book.seen += 1;
        if !book.owed.remove(&number) {
            book.early.insert(number);
        }
    }

    /// Messages confirmed, deliveries seen, messages still owed.
    pub(crate) fn counts(&self) -> (u64, u64, usize) {
        let book = self.0.lock().unwrap();
        (book.confirmed, book.seen, book.owed.len())
    }
}
