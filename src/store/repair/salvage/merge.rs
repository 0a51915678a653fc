//! All items of a keyspace in the order of their keys, the newest of each key: a table is opened
//! when its first key is reached, so that few are open at a time.

use super::item::Item;
use super::table::{Found, TableReader};
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::path::PathBuf;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileDamage {
    pub(crate) file: PathBuf,
    pub(crate) what: String,
}

/// A table to be read.
#[derive(Clone, Debug)]
pub(super) struct TableFile {
    pub(super) path: PathBuf,
    /// Of the whole file, when its manifest tells.
    pub(super) checksum: Option<u128>,
}

/// Whether an item of a damaged block can be believed.
pub(super) type Trust = fn(&Item) -> bool;

/// The iterator.
pub(super) struct Merge {
    sources: Vec<Source>,
    /// What each source is at: the lowest key first, of that the newest, and what is not open yet
    /// before all.
    heads: BinaryHeap<Reverse<Head>>,
    trust: Trust,
    damages: Vec<FileDamage>,
    bytes_read: u64,
}

struct Source {
    file: Option<TableFile>,
    reader: Option<TableReader>,
    items: VecDeque<Item>,
    is_damaged: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    key: Bytes,
    newness: (bool, Reverse<u64>),
    source: usize,
}

impl Merge {
    /// `newest`: what no table has yet, by key.
    pub(super) fn new(newest: Vec<Item>, tables: Vec<TableFile>, trust: Trust) -> io::Result<Self> {
        let mut merge = Self {
            sources: Vec::with_capacity(tables.len() + 1),
            heads: BinaryHeap::new(),
            trust,
            damages: Vec::new(),
            bytes_read: 0,
        };
        let source = |items, file| Source { file, reader: None, items, is_damaged: false };
        merge.sources.push(source(newest.into(), None));
        merge.show_head(0);
        for table in tables {
            let key = first_key(&table, trust)?;
            let number = merge.sources.len();
            merge.sources.push(source(VecDeque::new(), Some(table)));
            let newness = (false, Reverse(u64::MAX));
            merge.heads.push(Reverse(Head { key, newness, source: number }));
        }
        Ok(merge)
    }

    /// The newest item of the next key, removed keys too.
    pub(super) fn next(&mut self) -> io::Result<Option<Item>> {
        let mut newest: Option<Item> = None;
        while let Some(Reverse(head)) = self.heads.peek() {
            if newest.as_ref().is_some_and(|item| item.key != head.key) {
                break;
            }
            let number = head.source;
            self.heads.pop();
            let item = self.sources.get_mut(number).and_then(|source| source.items.pop_front());
            self.fill(number)?;
            self.show_head(number);
            newest = newest.or(item);
        }
        Ok(newest)
    }

    pub(super) fn damages(&mut self) -> Vec<FileDamage> {
        std::mem::take(&mut self.damages)
    }

    /// Bytes of tables that were read since this was asked last.
    pub(super) fn bytes_read(&mut self) -> u64 {
        std::mem::take(&mut self.bytes_read)
    }

    fn show_head(&mut self, number: usize) {
        let item = self.sources.get(number).and_then(|source| source.items.front());
        if let Some(item) = item {
            let newness = (true, Reverse(item.seqno));
            self.heads.push(Reverse(Head { key: item.key.clone(), newness, source: number }));
        }
    }

    /// Reads on until the source has an item, or has come to its end.
    fn fill(&mut self, number: usize) -> io::Result<()> {
        let Some(source) = self.sources.get_mut(number) else { return Ok(()) };
        let Some(file) = source.file.clone() else { return Ok(()) };
        while source.items.is_empty() {
            let reader = match &mut source.reader {
                Some(reader) => reader,
                none => none.insert(TableReader::open(&file.path)?),
            };
            let before = reader.position();
            let mut damage = |what| self.damages.push(FileDamage { file: file.path.clone(), what });
            match reader.next()? {
                Found::Block(items) => source.items = items.into(),
                Found::Damage { from, to, items } => {
                    source.is_damaged = true;
                    source.items = items.into_iter().filter(self.trust).collect();
                    let saved = source.items.len();
                    damage(format!(
                        "bytes {from} to {to} are damaged; {saved} values in them could be saved"
                    ));
                }
                Found::End { checksum } => {
                    let is_right = file.checksum.is_none_or(|expected| expected == checksum);
                    if !is_right && !source.is_damaged {
                        damage("what finds its values is damaged; all values are there".to_owned());
                    }
                    source.file = None;
                    self.bytes_read += reader.position() - before;
                    source.reader = None;
                    return Ok(());
                }
            }
            self.bytes_read += reader.position() - before;
        }
        Ok(())
    }
}

/// The first key that can be read; none sorts before all.
fn first_key(table: &TableFile, trust: Trust) -> io::Result<Bytes> {
    let mut reader = TableReader::open(&table.path)?;
    loop {
        let items = match reader.next()? {
            Found::Block(items) => items,
            Found::Damage { items, .. } => items.into_iter().filter(trust).collect(),
            Found::End { .. } => return Ok(Bytes::new()),
        };
        if let Some(item) = items.into_iter().next() {
            return Ok(item.key);
        }
    }
}
