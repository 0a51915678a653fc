//! Turns settled deliveries into commands: one per queue and batch, neighbours as runs.

use super::unacked::Unacked;
use crate::command::Command;
use crate::model::{ChannelId, OffsetRange, QueueId, Settle, Settlement};

/// One delivery is settled.
pub(crate) fn settle(
    commands: &mut Vec<Command>,
    channel: ChannelId,
    settlement: Settlement,
    unacked: Unacked,
) {
    if let Some(Command::Settle(open)) = commands.last_mut()
        && accepts(open, channel, settlement, unacked.queue)
    {
        extend(&mut open.runs, unacked);
        return;
    }
    commands.push(Command::Settle(begin(channel, settlement, unacked)));
}

/// Many deliveries are settled, in the order in which they were delivered.
pub(crate) fn settle_all(
    commands: &mut Vec<Command>,
    channel: ChannelId,
    settlement: Settlement,
    settled: &mut Vec<Unacked>,
) {
    if settled.windows(2).any(|pair| matches!(pair, [a, b] if a.queue != b.queue)) {
        // Stable: the order within a queue stays.
        settled.sort_by_key(|unacked| unacked.queue);
    }
    for unacked in settled.drain(..) {
        settle(commands, channel, settlement, unacked);
    }
}

fn accepts(open: &Settle, channel: ChannelId, settlement: Settlement, queue: QueueId) -> bool {
    open.channel == channel && open.queue == queue && open.settlement == settlement
}

/// A request of one delivery.
fn begin(channel: ChannelId, settlement: Settlement, unacked: Unacked) -> Settle {
    let mut runs = Vec::new();
    extend(&mut runs, unacked);
    Settle { channel, queue: unacked.queue, settlement, runs }
}

fn extend(runs: &mut Vec<OffsetRange>, unacked: Unacked) {
    let position = unacked.position;
    match runs.last_mut() {
        Some(run) if run.level == position.level && run.last.next() == position.offset => {
            run.last = position.offset;
        }
        _ => runs.push(OffsetRange {
            level: position.level,
            first: position.offset,
            last: position.offset,
        }),
    }
}
