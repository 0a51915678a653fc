//! Topic patterns.

use super::{Host, name};
use crate::model::QueueId;
use crate::topology::destinations::Endpoint;
use crate::topology::topic::TopicTrie;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The definition: `*` is one word, `#` any number of words.
fn matches(pattern: &[&str], words: &[&str]) -> bool {
    match pattern.split_first() {
        None => words.is_empty(),
        Some((&"#", rest)) => (0..=words.len()).any(|skipped| matches(rest, &words[skipped..])),
        Some((word, rest)) => words.split_first().is_some_and(|(first, others)| {
            (*word == "*" || word == first) && matches(rest, others)
        }),
    }
}

fn words(key: &str) -> Vec<&str> {
    if key.is_empty() { Vec::new() } else { key.split('.').collect() }
}

fn pattern() -> impl Strategy<Value = String> {
    vec(prop_oneof![Just("a"), Just("b"), Just("*"), Just("#"), Just("")], 0..6)
        .prop_map(|words| words.join("."))
}

fn key() -> impl Strategy<Value = String> {
    vec(
        prop_oneof![3 => Just("a"), 3 => Just("b"), 1 => Just("*"), 1 => Just("#"), 1 => Just("")],
        0..7,
    )
    .prop_map(|words| words.join("."))
}

/// The queues that the trie finds, each exactly once.
fn found(trie: &TopicTrie, key: &str) -> BTreeSet<u64> {
    let mut places = Vec::new();
    trie.visit(key.as_bytes(), |destinations| places.push(std::ptr::from_ref(destinations)));
    let distinct: BTreeSet<_> = places.iter().collect();
    assert_eq!(distinct.len(), places.len(), "a node was visited twice");
    let mut queues = BTreeSet::new();
    trie.visit(key.as_bytes(), |destinations| {
        queues.extend(destinations.queues().iter().map(|queue| queue.0));
    });
    queues
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_trie_matches_like_the_definition(
        patterns in vec(pattern(), 0..12),
        removed in vec(any::<bool>(), 12),
        keys in vec(key(), 1..8),
    ) {
        let mut trie = TopicTrie::default();
        let endpoint = |queue: usize| Endpoint::Queue(QueueId(queue as u64));
        for (queue, pattern) in patterns.iter().enumerate() {
            trie.insert(&name(pattern), &endpoint(queue));
        }
        let before = trie.clone();
        for (queue, pattern) in patterns.iter().enumerate().filter(|(queue, _)| removed[*queue]) {
            trie.remove(&name(pattern), &endpoint(queue));
        }
        for key in &keys {
            let expected = |keep: &dyn Fn(usize) -> bool| -> BTreeSet<u64> {
                let all = patterns.iter().enumerate();
                let hit = all.filter(|(queue, pattern)| {
                    keep(*queue) && matches(&words(pattern), &words(key))
                });
                hit.map(|(queue, _)| queue as u64).collect()
            };
            prop_assert_eq!(found(&trie, key), expected(&|queue| !removed[queue]));
            prop_assert_eq!(found(&before, key), expected(&|_| true), "the copy has changed");
        }
    }
}

#[test]
fn patterns_as_rabbitmq_matches_them() {
    let cases = [
        ("*", "", false),
        ("*", "a", true),
        ("*", ".", false),
        ("*", "a.b", false),
        ("#", "", true),
        ("#", ".", true),
        ("*.*", ".", true),
        ("*.*", "a.", true),
        ("*.*", "", false),
        ("", "", true),
        ("", "a", false),
        ("", ".", false),
        ("a.#", "a", true),
        ("a.#", "a.", true),
        ("a.#", "a.b", true),
        ("a.#", "b", false),
        ("#.a", "a", true),
        ("#.a", ".a", true),
        ("a.*", "a.", true),
        ("a.*", "a", false),
        ("*.#", "", false),
        ("*.#", "a", true),
    ];
    for (pattern, key, expected) in cases {
        let mut host = Host::new();
        host.queue("q");
        host.exchange("x", "topic");
        host.bind("x", "q", pattern);
        assert_eq!(!host.route("x", key).is_empty(), expected, "{pattern:?} {key:?}");
    }
}

#[test]
fn removing_the_last_pattern_leaves_nothing_behind() {
    let mut trie = TopicTrie::default();
    let empty = format!("{trie:?}");
    let patterns = ["a.b.c", "a.*.#", "#.#", "", "a"];
    for pattern in patterns {
        trie.insert(&name(pattern), &Endpoint::Queue(QueueId(1)));
    }
    for pattern in patterns {
        trie.remove(&name(pattern), &Endpoint::Queue(QueueId(1)));
    }
    assert_eq!(format!("{trie:?}"), empty);
}

#[test]
fn hostile_patterns_and_keys_take_no_time_without_bound() {
    let mut trie = TopicTrie::default();
    let pattern = ["#.a"; 60].join(".");
    trie.insert(&name(&pattern), &Endpoint::Queue(QueueId(1)));
    let key = ["a"; 120].join(".");
    assert_eq!(found(&trie, &key).len(), 1);
    let key = ["b"; 120].join(".");
    assert_eq!(found(&trie, &key).len(), 0);
}
