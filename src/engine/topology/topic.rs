//! The bindings of a topic exchange as a trie of words, persistent by path copying.
//!
//! A pattern is words between dots; `*` stands for exactly one word, `#` for any number of them,
//! none included (AMQP 0-9-1, 3.1.3.3). The empty key has no words, `.` has two empty ones.
//!
//! A key is matched like by a non-deterministic automaton whose states are the nodes: all nodes
//! that the words so far may have led to go on together. A node is entered at most once per word,
//! so hostile patterns (`#.a.#.a.#`) cost at most words × nodes and no backtracking.

use super::destinations::{Destinations, Endpoint};
use super::limits::TOPIC_WORDS_INLINE;
use super::persistent::Map;
use bytes::Bytes;
use forebay_wire::ShortStr;
use smallvec::SmallVec;
use std::sync::Arc;

type WordList<'a> = SmallVec<[&'a [u8]; TOPIC_WORDS_INLINE]>;
type States<'a> = SmallVec<[&'a Node; TOPIC_WORDS_INLINE]>;

/// All patterns of one exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicTrie {
    root: Arc<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    words: Map<Bytes, Arc<Node>>,
    star: Option<Arc<Node>>,
    hash: Option<Arc<Node>>,
    destinations: Destinations,
}

impl TopicTrie {
    /// Adds a binding.
    pub(crate) fn insert(&mut self, pattern: &ShortStr, endpoint: &Endpoint) {
        let words: WordList<'_> = words(pattern.as_bytes()).collect();
        Arc::make_mut(&mut self.root).insert(&words, endpoint);
    }

    /// Takes a binding out, and the nodes that only it needed.
    pub(crate) fn remove(&mut self, pattern: &ShortStr, endpoint: &Endpoint) {
        let words: WordList<'_> = words(pattern.as_bytes()).collect();
        Arc::make_mut(&mut self.root).remove(&words, endpoint);
    }

    /// Calls `visit` with the destinations of every pattern that matches the key, each once.
    pub(crate) fn visit<'a>(&'a self, key: &[u8], mut visit: impl FnMut(&'a Destinations)) {
        let mut plain = States::from_slice(&[&self.root]);
        let mut hashes = States::new();
        enter_hashes(&plain, &mut hashes);
        for word in words(key) {
            let mut next_plain = States::new();
            for node in plain.iter().chain(&hashes) {
                next_plain.extend(node.words.get(word).map(|child| &**child));
                next_plain.extend(node.star.as_deref());
            }
            // A `#` node takes any word and stays; those below it are entered afresh.
            enter_hashes(&next_plain, &mut hashes);
            plain = next_plain;
            if plain.is_empty() && hashes.is_empty() {
                return;
            }
        }
        plain.iter().chain(&hashes).for_each(|node| visit(&node.destinations));
    }
}

/// Adds the `#` nodes right below the states, and those right below them; each stands there once.
fn enter_hashes<'a>(plain: &[&'a Node], hashes: &mut States<'a>) {
    let entered_before = hashes.len();
    hashes.extend(plain.iter().filter_map(|node| node.hash.as_deref()));
    let mut at = entered_before;
    while let Some(node) = hashes.get(at).copied() {
        hashes.extend(node.hash.as_deref());
        at += 1;
    }
    if hashes.len() > entered_before && hashes.len() > 1 {
        hashes.sort_unstable_by_key(|node| std::ptr::from_ref::<Node>(node));
        hashes.dedup_by_key(|node| std::ptr::from_ref::<Node>(node));
    }
}

impl Node {
    fn insert(&mut self, words: &[&[u8]], endpoint: &Endpoint) {
        let Some((&word, rest)) = words.split_first() else {
            self.destinations.insert(endpoint);
            return;
        };
        let mut child = self.child(word).cloned().unwrap_or_default();
        Arc::make_mut(&mut child).insert(rest, endpoint);
        match word {
            b"*" => self.star = Some(child),
            b"#" => self.hash = Some(child),
            _ => self.words.insert_mut(Bytes::copy_from_slice(word), child),
        }
    }

    fn child(&self, word: &[u8]) -> Option<&Arc<Self>> {
        match word {
            b"*" => self.star.as_ref(),
            b"#" => self.hash.as_ref(),
            _ => self.words.get(word),
        }
    }

    fn remove(&mut self, words: &[&[u8]], endpoint: &Endpoint) {
        let Some((word, rest)) = words.split_first() else {
            self.destinations.remove(endpoint);
            return;
        };
        let child = match *word {
            b"*" => self.star.as_mut(),
            b"#" => self.hash.as_mut(),
            word => self.words.get_mut(word),
        };
        let Some(child) = child else { return };
        let node = Arc::make_mut(child);
        node.remove(rest, endpoint);
        if !node.is_empty() {
            return;
        }
        match *word {
            b"*" => self.star = None,
            b"#" => self.hash = None,
            word => {
                self.words.remove_mut(word);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.destinations.is_empty()
            && self.words.is_empty()
            && self.star.is_none()
            && self.hash.is_none()
    }
}

/// The words of a key or pattern.
fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = if key.is_empty() { None } else { Some(key.split(|byte| *byte == b'.')) };
    words.into_iter().flatten()
}
