//! A message that the store has lost leaves its queue once, whoever still has to settle a delivery of it
//! that was taken back.

use super::bounds::Bounds;
use super::scene::{OTHER, Scene, WORKER, numbers, timeout};
use crate::command::Command;
use crate::event::{Delivery, Event, Reply};
use crate::model::{ChannelId, Closure, ConnectionId, Settle, Settlement};
use crate::shard::{Fetch, MemoryLimits, QueueStatistics};

const CHANNEL: ChannelId = ChannelId(1);

/// What becomes of the delivery that was taken back.
#[derive(Clone, Copy, Debug)]
enum End {
    Settled(Settlement),
    Lost(Closure),
}

const ENDS: [End; 5] = [
    End::Settled(Settlement::Ack),
    End::Settled(Settlement::Reject),
    End::Settled(Settlement::Recover),
    End::Lost(Closure::Failed),
    End::Lost(Closure::ByClient),
];

/// A consumer let the only message time out, memory does not have its content, and the store has lost it.
fn scene() -> (Scene, Delivery) {
    let mut scene = Scene::new(&[("q", &[timeout(1_000)])]);
    let memory = MemoryLimits { cached: 0, ..MemoryLimits::default() };
    scene.broker.bound(Bounds { memory, ..Bounds::default() });
    scene.join(WORKER, 1, "q", 1);
    scene.publish("q", 0..1);
    scene.broker.commit();
    let held = scene.take(WORKER).remove(0);
    scene.broker.pass(1_000);
    scene.broker.take_events(WORKER);
    assert_eq!((scene.ready("q"), scene.broker.shard.statistics().cached_bytes), (1, 0));
    let queue = scene.id("q");
    scene.broker.store.lost.insert(queue);
    (scene, held)
}

fn send(scene: &mut Scene, connection: ConnectionId, command: Command) {
    scene.broker.shard.handle_commands(scene.broker.now, connection, [command]);
}

/// Asks for a message; the store is to be asked for its content.
fn ask(scene: &mut Scene) -> Fetch {
    let queue = "q".try_into().unwrap();
    send(scene, OTHER, Command::Get { channel: CHANNEL, queue, no_ack: false });
    scene.broker.shard.poll_fetch().expect("a fetch")
}

/// The store has nothing. Whoever asked is told so.
fn answer(scene: &mut Scene, fetch: Fetch) {
    let fetched = scene.broker.store.read(fetch);
    scene.broker.shard.handle_fetched(scene.broker.now, fetched);
    scene.broker.fetch();
    scene.broker.collect();
    assert!(matches!(scene.broker.reply(OTHER), Ok(Reply::Empty)));
}

fn end(scene: &mut Scene, end: End, held: &Delivery) {
    match end {
        End::Settled(settlement) => {
            let run = super::broker::settle(scene.id("q"), settlement, &[held]);
            let Command::Settle(settle) = run else { unreachable!() };
            send(scene, WORKER, Command::Settle(Settle { channel: CHANNEL, ..settle }));
        }
        End::Lost(closure) => send(scene, WORKER, Command::CloseConnection { closure }),
    }
    scene.broker.fetch();
    scene.broker.collect();
}

/// The queue is empty, and what left it was counted once.
fn check(scene: &mut Scene, case: End, acked: u64, missing: u64) {
    let settled = u64::from(matches!(case, End::Settled(Settlement::Reject)));
    scene.broker.commit();
    let statistics = scene.broker.statistics("q");
    let QueueStatistics { ready, unacked, bytes, timed_out, .. } = statistics;
    assert_eq!((ready, unacked, bytes, timed_out), (0, 0, 0, 1), "{case:?}");
    assert_eq!((statistics.acked, statistics.missing), (acked, missing), "{case:?}");
    assert!(scene.dead("q") <= settled * acked, "{case:?}");
    // Later messages come and go as ever.
    scene.broker.store.lost.clear();
    scene.publish("q", 7..8);
    scene.broker.commit();
    let connection = match case {
        End::Settled(_) => WORKER,
        End::Lost(_) => OTHER,
    };
    let next = match case {
        End::Settled(_) => scene.take(WORKER),
        End::Lost(_) => scene.get(OTHER, 1, "q").into_iter().collect(),
    };
    assert_eq!(numbers(&next), [7], "{case:?}: its prefetch is free again");
    scene.ack(connection, 1, "q", &next[0]);
    scene.broker.commit();
    let statistics = scene.broker.statistics("q");
    assert_eq!((statistics.ready, statistics.unacked, statistics.bytes), (0, 0, 0), "{case:?}");
    assert_eq!(statistics.acked, acked + 1, "{case:?}");
    assert!(
        scene
            .broker
            .take_events(WORKER)
            .iter()
            .all(|event| !matches!(event, Event::Deliver { .. }))
    );
}

#[test]
fn a_late_settlement_of_what_is_lost_counts_for_no_message() {
    for case in ENDS {
        let (mut scene, held) = scene();
        let fetch = ask(&mut scene);
        answer(&mut scene, fetch);
        end(&mut scene, case, &held);
        check(&mut scene, case, 0, 1);
    }
}

#[test]
fn what_is_settled_late_while_it_is_read_is_not_missed() {
    for case in ENDS {
        let (mut scene, held) = scene();
        let fetch = ask(&mut scene);
        end(&mut scene, case, &held);
        answer(&mut scene, fetch);
        let is_end = matches!(case, End::Settled(Settlement::Ack));
        let is_dead = matches!(case, End::Settled(Settlement::Reject));
        // A dead letter needs its content, which is lost.
        check(&mut scene, case, u64::from(is_end || is_dead), u64::from(!is_end));
    }
}
