//! One day of a queue, and its encoded form.
//!
//! ```text
//! version:u8
//! high bytes of 96 quarter-hour peaks of lag, then their low bytes
//! level that was accepted as normal on this day, or 65,535: u16
//! of 12 blocks of two hours: high bytes of the lowest lag, low bytes of it,
//!     longest drain time, oldest age, longest pause, arrivals,
//!     settlements (since version 3 less the arrivals: mostly the same),
//!     and since version 2 service time, speed of a consumer
//! ```
//! Each of the eleven columns is written as [`crate::column`] says. Who stores the record adds a checksum.

use crate::column;
use crate::level::{Coarse, Peak};
use crate::limits::{DAY_BLOCKS, DAY_QUARTERS};

const VERSION: u8 = 3;
/// Settlements stand there as they are.
const VERSION_WITH_SETTLEMENTS: u8 = 2;
/// As 2, without the last two columns.
const VERSION_SHORT: u8 = 1;

/// Columns of a block beside its lowest lag.
const COLUMNS: usize = 7;

/// Why an encoded day can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DayError {
    /// It was written by another version.
    #[error("a day of a lag history has version {0}, expected {VERSION}")]
    Version(u8),
    /// It is not laid out as its version says.
    #[error("a day of a lag history is not laid out as expected")]
    Layout,
}

/// What is kept of two hours beside the peaks of lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Least lag.
    pub(crate) low: Peak,
    /// Longest drain time, in seconds.
    pub(crate) drain: Coarse,
    /// Oldest age, in seconds.
    pub(crate) age: Coarse,
    /// Longest pause between settlements, in seconds.
    pub(crate) pause: Coarse,
    /// Messages that came in.
    pub(crate) arrivals: Coarse,
    /// Messages that were settled.
    pub(crate) settled: Coarse,
    /// The time within which 99 of 100 deliveries were settled, in milliseconds.
    pub(crate) service: Coarse,
    /// Messages that one consumer settled in a thousand seconds, at most.
    pub(crate) speed: Coarse,
}

impl Block {
    pub(crate) const UNKNOWN: Self = Self {
        low: Peak::UNKNOWN,
        drain: Coarse::UNKNOWN,
        age: Coarse::UNKNOWN,
        pause: Coarse::UNKNOWN,
        arrivals: Coarse::UNKNOWN,
        settled: Coarse::UNKNOWN,
        service: Coarse::UNKNOWN,
        speed: Coarse::UNKNOWN,
    };

    fn columns(&self) -> [Coarse; COLUMNS] {
        [self.drain, self.age, self.pause, self.arrivals, self.settled, self.service, self.speed]
    }

    /// As they are written: of settlements, what they differ by from arrivals.
    fn bytes(&self) -> [u8; COLUMNS] {
        let Self { arrivals, settled, .. } = self;
        let difference = settled.to_byte().wrapping_sub(arrivals.to_byte());
        Self { settled: Coarse::from_byte(difference), ..*self }.columns().map(Coarse::to_byte)
    }

    fn add_arrivals_to_settled(&mut self) {
        let settled = self.settled.to_byte().wrapping_add(self.arrivals.to_byte());
        self.settled = Coarse::from_byte(settled);
    }

    fn columns_mut(&mut self) -> [&mut Coarse; COLUMNS] {
        let Self { low: _, drain, age, pause, arrivals, settled, service, speed } = self;
        [drain, age, pause, arrivals, settled, service, speed]
    }
}

/// One day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) peaks: [Peak; DAY_QUARTERS],
    /// What a person called normal.
    pub(crate) accepted: Peak,
    pub(crate) blocks: [Block; DAY_BLOCKS],
}

impl Default for Day {
    fn default() -> Self {
        Self {
            peaks: [Peak::UNKNOWN; DAY_QUARTERS],
            accepted: Peak::UNKNOWN,
            blocks: [Block::UNKNOWN; DAY_BLOCKS],
        }
    }
}

impl Day {
    /// How fast a consumer was concerns the next hours only.
    pub(crate) fn forget_speeds(&mut self) {
        self.blocks.iter_mut().for_each(|block| block.speed = Coarse::UNKNOWN);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut record = vec![VERSION];
        write_levels(&mut record, self.peaks.iter().copied());
        record.extend(self.accepted.to_bytes());
        write_levels(&mut record, self.blocks.iter().map(|block| block.low));
        for which in 0..COLUMNS {
            let bytes: Vec<u8> = (self.blocks.iter())
                .filter_map(|block| block.bytes().get(which).copied())
                .collect();
            column::write(&mut record, &bytes);
        }
        record
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, DayError> {
        let (&version, mut rest) = record.split_first().ok_or(DayError::Layout)?;
        let columns = match version {
            VERSION | VERSION_WITH_SETTLEMENTS => COLUMNS,
            VERSION_SHORT => COLUMNS - 2,
            other => return Err(DayError::Version(other)),
        };
        let mut day = Self::default();
        for (peak, level) in day.peaks.iter_mut().zip(read_levels(&mut rest, DAY_QUARTERS)?) {
            *peak = level;
        }
        let (accepted, after) = rest.split_first_chunk::<2>().ok_or(DayError::Layout)?;
        day.accepted = Peak::from_bytes(*accepted);
        rest = after;
        for (block, level) in day.blocks.iter_mut().zip(read_levels(&mut rest, DAY_BLOCKS)?) {
            block.low = level;
        }
        for which in 0..columns {
            let bytes = column::read(&mut rest, DAY_BLOCKS).ok_or(DayError::Layout)?;
            for (block, byte) in day.blocks.iter_mut().zip(bytes) {
                if let Some(level) = block.columns_mut().into_iter().nth(which) {
                    *level = Coarse::from_byte(byte);
                }
            }
        }
        if version == VERSION {
            day.blocks.iter_mut().for_each(Block::add_arrivals_to_settled);
        }
        if rest.is_empty() { Ok(day) } else { Err(DayError::Layout) }
    }
}

/// Two columns: the high bytes, which seldom change, and the low ones.
fn write_levels(record: &mut Vec<u8>, levels: impl Iterator<Item = Peak>) {
    let (high, low): (Vec<u8>, Vec<u8>) =
        levels.map(Peak::to_bytes).map(|[high, low]| (high, low)).unzip();
    column::write(record, &high);
    column::write(record, &low);
}

fn read_levels(record: &mut &[u8], count: usize) -> Result<Vec<Peak>, DayError> {
    let high = column::read(record, count).ok_or(DayError::Layout)?;
    let low = column::read(record, count).ok_or(DayError::Layout)?;
    Ok(high.into_iter().zip(low).map(|(high, low)| Peak::from_bytes([high, low])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DAY_ENCODED_BYTES_MAX;
    use proptest::prelude::*;

    fn day(bytes: &[u8]) -> Day {
        let mut day = Day::default();
        let mut bytes = bytes.iter().copied().cycle();
        let mut next = || bytes.next().unwrap();
        day.peaks.fill_with(|| Peak::from_bytes([next(), next()]));
        day.accepted = Peak::from_bytes([next(), next()]);
        for block in &mut day.blocks {
            block.low = Peak::from_bytes([next(), next()]);
            block.columns_mut().into_iter().for_each(|level| *level = Coarse::from_byte(next()));
        }
        day
    }

    proptest! {
        #[test]
        fn a_day_comes_back_as_it_was(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
            let day = day(&bytes);
            let record = day.encode();
            prop_assert!(record.len() <= DAY_ENCODED_BYTES_MAX, "{} bytes", record.len());
            prop_assert_eq!(Day::decode(&record), Ok(day));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Day::decode(&bytes);
        }
    }

    #[test]
    fn a_quiet_day_is_short_and_another_version_is_told() {
        let mut record = Day::default().encode();
        assert!(record.len() < 40, "{} bytes", record.len());
        record[0] = 9;
        assert_eq!(Day::decode(&record), Err(DayError::Version(9)));
        assert_eq!(Day::decode(&[1, 7]), Err(DayError::Layout));
    }

    #[test]
    fn a_day_that_was_written_before_there_were_service_times_is_read() {
        let mut day = day(&[3, 5, 8]);
        for block in &mut day.blocks {
            (block.service, block.speed) = (Coarse::UNKNOWN, Coarse::UNKNOWN);
        }
        let mut record = encode_with_settlements(&day);
        // The last columns are one run each.
        record.truncate(record.len() - 2 * 3);
        record[0] = VERSION_SHORT;
        assert_eq!(Day::decode(&record), Ok(day));
    }

    /// As version 2 wrote it.
    fn encode_with_settlements(day: &Day) -> Vec<u8> {
        let mut record = vec![VERSION_WITH_SETTLEMENTS];
        write_levels(&mut record, day.peaks.iter().copied());
        record.extend(day.accepted.to_bytes());
        write_levels(&mut record, day.blocks.iter().map(|block| block.low));
        for which in 0..COLUMNS {
            let column: Vec<u8> =
                day.blocks.iter().map(|block| block.columns()[which].to_byte()).collect();
            column::write(&mut record, &column);
        }
        record
    }

    #[test]
    fn a_day_that_was_written_with_settlements_as_they_are_is_read() {
        let day = day(&[3, 5, 8, 13]);
        assert_eq!(Day::decode(&encode_with_settlements(&day)), Ok(day));
    }
}
