//! One priority level by itself.

use super::*;
use crate::model::{DeathReason, Offset};
use crate::queue::level::PriorityLevel;
use crate::queue::message_states::Held;

fn filled(bodies: &[&str], persist: bool) -> PriorityLevel {
    let mut level = PriorityLevel::default();
    for text in bodies {
        let envelope = Envelope {
            exchange: &ShortStr::EMPTY,
            routing_key: &ShortStr::EMPTY,
            properties: &Properties::default().encode(),
            published_at: WallClock(START),
            expiration: None,
        };
        let message = Message::new(envelope, (*text).to_owned().into(), &mut BytesMut::new());
        level.enqueue(message, persist, Instants::default());
    }
    level
}

fn held(channel: ChannelSlot, size: u32) -> Held {
    Held {
        channel,
        consumer: None,
        size,
        delivered_at: Monotonic(0),
        extended_to: Monotonic::AT_ONCE,
    }
}

/// Takes the next ready message out of the order, and has a channel hold it.
fn deliver(level: &mut PriorityLevel, channel: ChannelSlot) -> Offset {
    let offset = level.next_ready().unwrap();
    let size = level.content(offset).unwrap().body().len() as u32;
    level.take(offset);
    level.deliver(offset, held(channel, size));
    offset
}

fn end(level: &mut PriorityLevel, channel: ChannelSlot, first: u64, last: u64) -> Vec<u64> {
    let mut ended = Vec::new();
    let level_number = crate::model::Level(0);
    let run = OffsetRange { level: level_number, first: Offset(first), last: Offset(last) };
    level.end_deliveries(channel, run, &mut ended);
    ended.iter().map(|(offset, _)| offset.0).collect()
}

#[test]
fn every_message_is_ready_or_held_or_gone() {
    for persist in [true, false] {
        let mut level = filled(&["aa", "b", "c"], persist);
        assert_eq!((level.ready(), level.unacked(), level.bytes()), (3, 0, 4));
        let first = deliver(&mut level, ChannelSlot::FIRST);
        assert_eq!((level.ready(), level.unacked(), level.bytes()), (2, 1, 4));
        assert_eq!(level.ready_bytes(), 2);
        assert_eq!(end(&mut level, ChannelSlot::FIRST, 0, 2), [0]);
        assert_eq!(level.settle([(first, 2)]), persist, "whether the store has to learn of it");
        assert_eq!((level.ready(), level.unacked(), level.bytes()), (2, 0, 2));
        assert_eq!(level.next_ready(), Some(Offset(1)));
    }
}

#[test]
fn a_run_ends_only_what_its_channel_holds() {
    let mut level = filled(&["a", "b", "c"], true);
    let (one, other) = (ChannelSlot::FIRST, ChannelSlot::LAST);
    for channel in [one, other, one] {
        deliver(&mut level, channel);
    }
    assert!(level.is_held_by(one) && level.is_held_by(other));
    assert_eq!(end(&mut level, one, 0, 2), [0, 2]);
    assert_eq!(end(&mut level, one, 0, 2), [] as [u64; 0], "not twice");
    assert_eq!(end(&mut level, other, 2, 5), [] as [u64; 0]);
    assert_eq!(end(&mut level, other, 1, 1), [1]);
}

#[test]
fn a_dead_message_waits_for_its_copy_and_is_not_ready() {
    let mut level = filled(&["a", "b"], true);
    let offset = deliver(&mut level, ChannelSlot::FIRST);
    end(&mut level, ChannelSlot::FIRST, 0, 0);
    level.mark_dead(offset, DeathReason::Rejected, 1);
    assert_eq!((level.ready(), level.unacked()), (1, 1));
    assert_eq!(level.first_dead(), Some((offset, DeathReason::Rejected)));
    assert!(level.remove_dead(offset), "the store has to learn of it");
    assert_eq!((level.first_dead(), level.unacked(), level.bytes()), (None, 0, 1));
}
