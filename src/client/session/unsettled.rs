//! Which deliveries of one channel are still to be settled, and the acks not yet written.
//!
//! Owned by a consumer's or puller's channel inside the session. Acks are collected until the driver
//! is about to write; then the longest run from the oldest delivery on becomes one
//! `basic.ack` with `multiple`, and what is out of order becomes single ones. May assume that the
//! broker numbers the deliveries of a channel upwards.

use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// In the program's hands.
    Open,
    /// Acked by the program, not yet written.
    Acked,
    /// Told to the broker.
    Settled,
    /// Neither acked nor refused: `basic.recover` returns it when the channel ends.
    Untried,
}

/// An ack to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) tag: u64,
    pub(crate) is_multiple: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    /// Delivery tag of the front of `marks`.
    first: u64,
    marks: VecDeque<Mark>,
    acked: Vec<u64>,
    open: usize,
    has_untried: bool,
}

impl Unsettled {
    /// A delivery came.
    pub(crate) fn push(&mut self, tag: u64) {
        if self.marks.is_empty() {
            self.first = tag;
        }
        while self.first + (self.marks.len() as u64) < tag {
            self.marks.push_back(Mark::Settled);
        }
        self.marks.push_back(Mark::Open);
        self.open += 1;
    }

    /// Deliveries in the program's hands.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Whether a delivery is in the program's hands.
    pub(crate) fn is_open(&self, tag: u64) -> bool {
        let at = tag.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.marks.get(at)) == Some(&Mark::Open)
    }

    fn settle(&mut self, tag: u64, to: Mark) -> bool {
        let at = tag.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| self.marks.get_mut(at)) {
            Some(mark) if *mark == Mark::Open => {
                *mark = to;
                self.open -= 1;
                true
            }
            _ => false,
        }
    }

    /// Takes an ack to be written later. False when the delivery is not open.
    pub(crate) fn ack(&mut self, tag: u64) -> bool {
        let is_open = self.settle(tag, Mark::Acked);
        if is_open {
            self.acked.push(tag);
        }
        is_open
    }

    /// Notes a nack or reject that is written at once. False when the delivery is not open.
    pub(crate) fn reject(&mut self, tag: u64) -> bool {
        self.settle(tag, Mark::Settled)
    }

    /// The program leaves it to the broker's `basic.recover`. False when the delivery is not open.
    pub(crate) fn leave_untried(&mut self, tag: u64) -> bool {
        let is_open = self.settle(tag, Mark::Untried);
        self.has_untried |= is_open;
        is_open
    }

    /// Whether the broker still waits for a settlement, once all acks are written.
    pub(crate) fn needs_recovery(&self) -> bool {
        self.open > 0 || self.has_untried
    }

    /// The acks to write now, as few as possible.
    pub(crate) fn take_acks(&mut self, mut write: impl FnMut(Ack)) {
        let (mut run, mut last) = (0_usize, 0);
        let is_done = |mark: &Mark| matches!(mark, Mark::Acked | Mark::Settled);
        while let Some(mark) = self.marks.front().copied().filter(is_done) {
            if mark == Mark::Acked {
                run += 1;
                last = self.first;
            }
            self.marks.pop_front();
            self.first += 1;
        }
        if run > 0 {
            // A multiple ack must name a tag that the broker still waits for, so never a nacked one.
            write(Ack { tag: last, is_multiple: run > 1 });
        }
        let mut acked = std::mem::take(&mut self.acked);
        for tag in acked.drain(..) {
            let at = tag.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
            if let Some(mark) = at.and_then(|at| self.marks.get_mut(at)) {
                *mark = Mark::Settled;
                write(Ack { tag, is_multiple: false });
            }
        }
        self.acked = acked;
    }

    /// The channel is gone, and with it every delivery.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Deliver,
        Ack(usize),
        Reject(usize),
        Leave(usize),
        Write,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Deliver),
            3 => (0..8_usize).prop_map(Step::Ack),
            1 => (0..8_usize).prop_map(Step::Reject),
            1 => (0..8_usize).prop_map(Step::Leave),
            1 => Just(Step::Write),
        ]
    }

    proptest! {
        /// The naive broker: a set of unacked tags. It must never see an ack for a tag that it does
        /// not hold, and in the end holds exactly what the program did not settle.
        #[test]
        fn the_broker_sees_each_ack_once(steps in proptest::collection::vec(step(), 0..200)) {
            let mut unsettled = Unsettled::default();
            let (mut broker, mut program) = (BTreeSet::new(), Vec::new());
            let mut left = BTreeSet::new();
            let mut next = 1_u64;
            let write = |unsettled: &mut Unsettled, broker: &mut BTreeSet<u64>| {
                unsettled.take_acks(|ack| {
                    assert!(broker.contains(&ack.tag), "unknown delivery tag {}", ack.tag);
                    if ack.is_multiple {
                        broker.retain(|tag| *tag > ack.tag);
                    } else {
                        broker.remove(&ack.tag);
                    }
                });
            };
            for step in steps {
                match step {
                    Step::Deliver => {
                        unsettled.push(next);
                        broker.insert(next);
                        program.push(next);
                        next += 1;
                    }
                    Step::Ack(at) if at < program.len() => prop_assert!(unsettled.ack(program.remove(at))),
                    Step::Reject(at) if at < program.len() => {
                        let tag = program.remove(at);
                        prop_assert!(unsettled.reject(tag));
                        broker.remove(&tag);
                    }
                    Step::Leave(at) if at < program.len() => {
                        let tag = program.remove(at);
                        prop_assert!(unsettled.leave_untried(tag));
                        left.insert(tag);
                    }
                    Step::Write => write(&mut unsettled, &mut broker),
                    _ => {}
                }
                prop_assert_eq!(unsettled.open(), program.len());
            }
            write(&mut unsettled, &mut broker);
            left.extend(program);
            prop_assert_eq!(unsettled.needs_recovery(), !left.is_empty());
            prop_assert_eq!(broker, left);
        }
    }

    #[test]
    fn acks_in_order_become_one() {
        let mut unsettled = Unsettled::default();
        (1..=100).for_each(|tag| unsettled.push(tag));
        (1..=100).for_each(|tag| assert!(unsettled.ack(tag)));
        let mut written = Vec::new();
        unsettled.take_acks(|ack| written.push(ack));
        assert_eq!(written, [Ack { tag: 100, is_multiple: true }]);
        assert!(!unsettled.ack(100), "a second ack of the same delivery is refused");
    }
}
