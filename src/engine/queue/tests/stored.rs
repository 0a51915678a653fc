//! What a queue tells the store, and what it does without the content that only the store has.

use super::*;
use crate::model::{Level, Offset};
use crate::operation::{Operation, RecoveredLevel, Watermark};
use crate::page::Page;

fn commit(driven: &mut Driven) -> Vec<Operation> {
    let mut operations = Vec::new();
    let (pages, _) = driven.queue.take_commit(&mut operations);
    for (level, first) in pages {
        driven.queue.handle_committed(level, first, false);
    }
    operations
}

fn pages(operations: &[Operation]) -> Vec<Page> {
    let page = |operation: &Operation| match operation {
        Operation::PutPage { page, .. } => Some(Page::clone(page)),
        _ => None,
    };
    operations.iter().filter_map(page).collect()
}

#[test]
fn a_commit_has_one_page_with_the_persistent_messages_and_only_once() {
    let mut driven = Driven::new(rules());
    driven.publish(&["a"]);
    driven.publish_with("transient", 0, |it| it.delivery_mode = Some(1));
    driven.publish(&["b"]);
    let pages = pages(&commit(&mut driven));
    assert_eq!(pages.len(), 1);
    let records: Vec<_> =
        pages[0].records.iter().map(|it| (it.offset.0, body(&it.message))).collect();
    assert_eq!(records, [(0, "a".to_owned()), (2, "b".to_owned())]);
    assert_eq!(commit(&mut driven).len(), 0);
}

#[test]
fn a_message_that_was_acknowledged_before_the_commit_is_never_written() {
    let mut driven = Driven::new(rules());
    let channel = driven.consume(1, 0);
    driven.publish(&["a"]);
    driven.turn();
    let held = driven.deliveries();
    driven.settle(channel, Settlement::Ack, &held[0].1);
    assert_eq!(pages(&commit(&mut driven)).len(), 0);
}

#[test]
fn the_last_acknowledgement_of_a_page_removes_it_and_raises_the_watermark() {
    let mut driven = Driven::new(rules());
    let channel = driven.consume(1, 0);
    driven.publish(&["a", "b"]);
    driven.turn();
    let held = driven.deliveries();
    commit(&mut driven);
    driven.settle(channel, Settlement::Ack, &held[1].1);
    let removes_page = |operations: &[Operation]| {
        operations.iter().any(|it| matches!(it, Operation::RemovePage { first: Offset(0), .. }))
    };
    assert!(!removes_page(&commit(&mut driven)), "one of its messages is left");
    driven.settle(channel, Settlement::Ack, &held[0].1);
    let operations = commit(&mut driven);
    assert!(removes_page(&operations));
    let low = operations.iter().find_map(|it| match it {
        Operation::PutWatermark { watermark, .. } => Some(*watermark),
        _ => None,
    });
    assert_eq!(low, Some(Watermark { low: Offset(2), bytes_settled: 2 }));
}

#[test]
fn a_recovered_queue_asks_for_content_when_a_consumer_wants_it_and_then_delivers() {
    let mut before = Driven::new(rules());
    before.publish(&["a", "b"]);
    let stored = pages(&commit(&mut before));
    let mut driven = Driven::new(rules());
    let recovered = RecoveredLevel {
        queue: QUEUE,
        level: Level(0),
        watermark: Watermark::default(),
        blocks: Vec::new(),
        last_page: Some((stored[0].end, stored[0].bytes_after)),
        bounds: stored[0].bounds,
    };
    driven.queue.recover(&recovered, None);
    assert_eq!((driven.queue.ready(), driven.queue.statistics().bytes), (2, 2));
    driven.turn();
    assert_eq!(driven.queue.poll_fetch(), None, "no consumer wants it");
    driven.consume(1, 0);
    assert!(driven.turn().wants_fetch);
    let (level, from, _) = driven.queue.poll_fetch().unwrap();
    assert_eq!((level, from), (Level(0), Offset(0)));
    driven.queue.handle_fetched(level, from, stored);
    driven.turn();
    let deliveries = driven.deliveries();
    // Nobody knows whether the process before delivered them.
    assert!(deliveries.iter().all(|(_, delivery)| delivery.redelivered));
    let bodies: Vec<_> = deliveries.iter().map(|(_, it)| body(&it.message)).collect();
    assert_eq!(bodies, ["a", "b"]);
}

#[test]
fn a_message_that_the_store_should_have_and_has_not_is_counted_and_passed_over() {
    let mut driven = Driven::new(rules());
    let recovered = RecoveredLevel {
        queue: QUEUE,
        level: Level(0),
        watermark: Watermark::default(),
        blocks: Vec::new(),
        last_page: Some((Offset(2), 20)),
        bounds: None,
    };
    driven.queue.recover(&recovered, None);
    driven.consume(1, 0);
    driven.turn();
    while let Some((level, from, _)) = driven.queue.poll_fetch() {
        assert!(
            driven.queue.handle_fetched(level, from, Vec::new()),
            "the store has to learn of it"
        );
        driven.turn();
    }
    assert_eq!(driven.bodies(), Vec::<String>::new());
    let counts = driven.queue.statistics();
    assert_eq!((counts.missing, counts.ready), (2, 0));
}
