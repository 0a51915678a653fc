//! A settled state made of runs, for a repair.

use forebay_engine::model::Offset;
use forebay_engine::operation::{BLOCK_OFFSETS, Block, Watermark};
use std::collections::BTreeMap;

/// Raises the watermark over the runs (first and end, ascending) that reach it, and cuts the others
/// into blocks. `counts`: blocks of which only the counts of deliveries that came back are taken.
pub(crate) fn blocks(
    mut watermark: Watermark,
    runs: &[(u64, u64)],
    counts: BTreeMap<u64, Block>,
) -> (Watermark, BTreeMap<u64, Block>) {
    let mut blocks = counts;
    blocks.values_mut().for_each(|block| block.settled.clear());
    for (first, end) in runs {
        if *first <= watermark.low.0 {
            watermark.low = watermark.low.max(Offset(*end));
            continue;
        }
        let mut at = *first;
        while at < *end {
            let number = at / BLOCK_OFFSETS;
            let to = (*end).min((number + 1) * BLOCK_OFFSETS);
            let start = number * BLOCK_OFFSETS;
            let run = ((at - start) as u16, (to - 1 - start) as u16);
            let settled = &mut blocks.entry(number).or_default().settled;
            match settled.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(run.0) => *last = run.1,
                _ => settled.push(run),
            }
            at = to;
        }
    }
    let low = watermark.low.0;
    blocks.retain(|number, _| (number + 1) * BLOCK_OFFSETS > low);
    (watermark, blocks)
}
