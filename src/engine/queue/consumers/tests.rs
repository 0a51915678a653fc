//! Turns of consumers against the plainest way to keep them.

use super::*;
use crate::model::{ChannelId, ChannelKey, ClientIdentity, ConnectionId};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Subscribe {
        priority: i64,
    },
    Cancel(usize),
    Unblock(usize),
    UnblockLast(usize),
    /// It has all that it may have, or nothing.
    Hold(usize, bool),
    Next,
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0usize..8;
    prop_oneof![
        4 => (0i64..3).prop_map(|priority| Step::Subscribe { priority }),
        2 => which().prop_map(Step::Cancel),
        2 => which().prop_map(Step::Unblock),
        3 => which().prop_map(Step::UnblockLast),
        3 => (which(), any::<bool>()).prop_map(|(which, holds)| Step::Hold(which, holds)),
        6 => Just(Step::Next),
    ]
}

fn clients() -> (Clients, ChannelSlot) {
    let mut clients = Clients::default();
    let key = ChannelKey { connection: ConnectionId(1), channel: ChannelId(1) };
    clients.open(key.connection, ShortStr::from_static("/"), ClientIdentity::default());
    let slot = clients.channel(key).unwrap();
    (clients, slot)
}

/// The highest priority last.
#[derive(Default)]
struct Model {
    rings: [Vec<u64>; 3],
    /// By number: the priority, and whether it holds all that it may hold.
    there: BTreeMap<u64, (usize, bool)>,
}

impl Model {
    fn leave(&mut self, id: u64) {
        self.rings.iter_mut().for_each(|ring| ring.retain(|other| *other != id));
    }

    fn unblock(&mut self, id: u64) {
        let ring = &mut self.rings[self.there[&id].0];
        if !ring.contains(&id) {
            ring.push(id);
        }
    }

    fn next(&mut self) -> Option<u64> {
        for ring in self.rings.iter_mut().rev() {
            while !ring.is_empty() {
                let id = ring.remove(0);
                if !self.there[&id].1 {
                    ring.push(id);
                    return Some(id);
                }
            }
        }
        None
    }
}

proptest! {
    #[test]
    fn turns_go_round(steps in prop::collection::vec(step(), 1..200)) {
        let (clients, slot) = clients();
        let (mut consumers, mut model, mut last) = (Consumers::new(false), Model::default(), 0);
        let nth = |model: &Model, which: usize| model.there.keys().nth(which).copied();
        for step in steps {
            match step {
                Step::Subscribe { priority } => {
                    last += 1;
                    let tag = ShortStr::from_static("c");
                    let consumer = Consumer::new(ConsumerId(last), slot, tag);
                    consumers.add(Consumer { priority, prefetch: 1, ..consumer });
                    model.there.insert(last, (priority as usize, false));
                    model.unblock(last);
                }
                Step::Cancel(which) => if let Some(id) = nth(&model, which) {
                    consumers.remove(ConsumerId(id));
                    model.leave(id);
                    model.there.remove(&id);
                },
                Step::Unblock(which) => if let Some(id) = nth(&model, which) {
                    consumers.unblock(ConsumerId(id));
                    model.unblock(id);
                },
                Step::UnblockLast(which) => if let Some(id) = nth(&model, which) {
                    consumers.unblock_last(ConsumerId(id));
                    model.leave(id);
                    model.unblock(id);
                },
                Step::Hold(which, holds) => if let Some(id) = nth(&model, which) {
                    consumers.get_mut(ConsumerId(id)).unwrap().unacked = u64::from(holds);
                    model.there.get_mut(&id).unwrap().1 = holds;
                },
                Step::Next => {
                    let next = consumers.next(&clients).map(|id| id.0);
                    prop_assert_eq!(next, model.next());
                }
            }
            prop_assert_eq!(consumers.are_waiting(), model.rings.iter().any(|ring| !ring.is_empty()));
        }
    }
}

#[test]
fn places_that_were_left_do_not_add_up() {
    let (_, slot) = clients();
    let mut consumers = Consumers::new(false);
    let consumer = |id| Consumer::new(ConsumerId(id), slot, ShortStr::from_static("c"));
    (0..10).for_each(|id| consumers.add(consumer(id)));
    for id in 10..10_000 {
        consumers.add(consumer(id));
        consumers.unblock_last(ConsumerId(id % 10));
        consumers.remove(ConsumerId(id));
    }
    let places: usize = consumers.rings.values().map(|ring| ring.places.len()).sum();
    assert!(places <= 2 * 10 + SPARE_PLACES, "{places} places for 10 consumers");
}
