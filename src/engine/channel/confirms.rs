//! Which publishes of a channel in confirm mode were answered, and the fewest frames that answer
//! the rest: RabbitMQ's confirm extension, `basic.ack` and `basic.nack` from the broker.
//!
//! Answers arrive as runs in any order. Everything below `low` was told to the client; runs above
//! it that were told are remembered, so nothing is ever told twice.

use crate::model::PublishSeq;
use crate::session::limits::CONFIRM_RUNS_UNTOLD_MAX;

/// What a publish came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `basic.ack`.
    Stored,
    /// `basic.nack`.
    Refused,
}

/// One frame for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// The publish.
    pub(crate) seq: PublishSeq,
    /// It and all before it that have no answer yet.
    pub(crate) multiple: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u64,
    last: u64,
    verdict: Verdict,
}

/// The confirms of one channel.
#[derive(Debug)]
pub(crate) struct ConfirmTracker {
    /// The number of the next publish.
    next: u64,
    /// The lowest number that the client has no answer for.
    low: u64,
    /// Known, not told yet; in the order in which it became known.
    fresh: Vec<Run>,
    /// Told, above `low`; ascending, apart from one another.
    told: Vec<(u64, u64)>,
}

impl ConfirmTracker {
    /// Numbers publishes from above `last`.
    pub(crate) const fn after(last: PublishSeq) -> Self {
        let first = last.0 + 1;
        Self { next: first, low: first, fresh: Vec::new(), told: Vec::new() }
    }

    /// The number of the last publish.
    pub(crate) const fn last(&self) -> PublishSeq {
        PublishSeq(self.next - 1)
    }

    /// The number of a new publish.
    pub(crate) const fn issue(&mut self) -> PublishSeq {
        let seq = PublishSeq(self.next);
        self.next += 1;
        seq
    }

    /// Something became known of the publishes from `first` to `last`.
    pub(crate) fn resolve(&mut self, first: PublishSeq, last: PublishSeq, verdict: Verdict) {
        let (first, last) = (first.0.max(self.low), last.0.min(self.next - 1));
        if first > last {
            return;
        }
        match self.fresh.last_mut() {
            Some(run) if run.verdict == verdict && run.last + 1 == first => run.last = last,
            _ => self.fresh.push(Run { first, last, verdict }),
        }
    }

    /// How many publishes the client has no answer for.
    pub(crate) fn count_open(&self) -> u64 {
        let told: u64 = self.told.iter().map(|(first, last)| last - first + 1).sum();
        (self.next - self.low).saturating_sub(told)
    }

    /// Whether [`Self::flush`] has something to say.
    pub(crate) const fn has_news(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Whether so much is known and not told that it is to be told although other output waits.
    /// Answers of one kind that follow one another count as one.
    pub(crate) const fn is_overdue(&self) -> bool {
        self.fresh.len() > CONFIRM_RUNS_UNTOLD_MAX
    }

    /// The frames for everything that became known since the last call, appended to `answers`.
    pub(crate) fn flush(&mut self, answers: &mut Vec<Answer>) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort_by_key(|run| run.first);
        let begin = answers.len();
        for run in fresh.drain(..) {
            self.tell(run, begin, answers);
        }
        self.fresh = fresh;
    }

    fn tell(&mut self, run: Run, begin: usize, answers: &mut Vec<Answer>) {
        let mut seq = run.first.max(self.low);
        while seq <= run.last {
            if seq == self.low {
                let stop = self.told.first().map_or(run.last, |told| run.last.min(told.0 - 1));
                push_cumulative(answers, begin, run.verdict, self.low, stop);
                self.low = stop + 1;
                self.absorb();
                seq = self.low.max(stop + 1);
            } else if let Some(last) = self.told_until(seq) {
                seq = last + 1;
            } else {
                answers.push(Answer {
                    verdict: run.verdict,
                    seq: PublishSeq(seq),
                    multiple: false,
                });
                self.remember(seq);
                seq += 1;
            }
        }
    }

    /// The end of the told run that covers `seq`.
    fn told_until(&self, seq: u64) -> Option<u64> {
        let place = self.told.partition_point(|told| told.1 < seq);
        self.told.get(place).filter(|told| told.0 <= seq).map(|told| told.1)
    }

    fn remember(&mut self, seq: u64) {
        let place = self.told.partition_point(|told| told.1 < seq);
        let joins_next = self.told.get(place).is_some_and(|told| told.0 == seq + 1);
        let previous = place.checked_sub(1).and_then(|before| self.told.get_mut(before));
        match previous {
            Some(told) if told.1 + 1 == seq => {
                told.1 = seq;
                if joins_next {
                    let (_, last) = self.told.remove(place);
                    if let Some(told) = self.told.get_mut(place - 1) {
                        told.1 = last;
                    }
                }
            }
            _ if joins_next => {
                if let Some(told) = self.told.get_mut(place) {
                    told.0 = seq;
                }
            }
            _ => self.told.insert(place, (seq, seq)),
        }
    }

    fn absorb(&mut self) {
        let below = self.told.iter().take_while(|told| told.0 <= self.low).count();
        for (_, last) in self.told.drain(..below) {
            self.low = self.low.max(last + 1);
        }
    }
}

/// Extends the last frame when it says the same of everything before.
fn push_cumulative(answers: &mut Vec<Answer>, begin: usize, verdict: Verdict, low: u64, seq: u64) {
    let own = answers.len() > begin;
    match answers.last_mut() {
        Some(answer) if own && answer.verdict == verdict && answer.seq.0 < low => {
            answer.seq = PublishSeq(seq);
            answer.multiple = true;
        }
        _ => answers.push(Answer { verdict, seq: PublishSeq(seq), multiple: seq > low }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn flush(tracker: &mut ConfirmTracker) -> Vec<Answer> {
        let mut answers = Vec::new();
        tracker.flush(&mut answers);
        answers
    }

    fn stored(tracker: &mut ConfirmTracker, first: u64, last: u64) {
        tracker.resolve(PublishSeq(first), PublishSeq(last), Verdict::Stored);
    }

    #[test]
    fn neighbouring_runs_make_one_cumulative_ack() {
        let mut tracker = ConfirmTracker::after(PublishSeq(0));
        for _ in 0..10 {
            tracker.issue();
        }
        stored(&mut tracker, 4, 7);
        stored(&mut tracker, 1, 3);
        let expected = Answer { verdict: Verdict::Stored, seq: PublishSeq(7), multiple: true };
        assert_eq!(flush(&mut tracker), [expected]);
        assert!(!tracker.has_news());
    }

    #[test]
    fn a_publish_that_waits_does_not_hold_up_those_behind_it() {
        let mut tracker = ConfirmTracker::after(PublishSeq(0));
        for _ in 0..4 {
            tracker.issue();
        }
        stored(&mut tracker, 2, 3);
        let single =
            |seq| Answer { verdict: Verdict::Stored, seq: PublishSeq(seq), multiple: false };
        assert_eq!(flush(&mut tracker), [single(2), single(3)]);
        stored(&mut tracker, 1, 1);
        assert_eq!(flush(&mut tracker), [single(1)]);
        stored(&mut tracker, 4, 4);
        assert_eq!(flush(&mut tracker), [single(4)]);
    }

    /// A client that keeps its unconfirmed publishes and reads the broker's frames.
    struct Client {
        open: BTreeMap<u64, ()>,
        told: BTreeMap<u64, Verdict>,
    }

    impl Client {
        fn read(&mut self, answer: Answer) {
            let covered: Vec<u64> = if answer.multiple {
                self.open.range(..=answer.seq.0).map(|(seq, ())| *seq).collect()
            } else {
                vec![answer.seq.0]
            };
            assert!(self.open.contains_key(&answer.seq.0), "answered twice: {answer:?}");
            for seq in covered {
                self.open.remove(&seq);
                self.told.insert(seq, answer.verdict);
            }
        }
    }

    proptest! {
        #[test]
        fn every_publish_is_answered_once_and_as_decided(
            verdicts in prop::collection::vec(any::<bool>(), 1..120),
            runs in prop::collection::vec((0usize..120, 0usize..6, 0u8..4), 0..200),
        ) {
            let verdict = |seq: u64| {
                if verdicts[seq as usize - 1] { Verdict::Stored } else { Verdict::Refused }
            };
            let mut tracker = ConfirmTracker::after(PublishSeq(0));
            let mut client = Client { open: BTreeMap::new(), told: BTreeMap::new() };
            let mut decided: BTreeMap<u64, Verdict> = BTreeMap::new();
            for seq in 1..=verdicts.len() as u64 {
                prop_assert_eq!(tracker.issue().0, seq);
                client.open.insert(seq, ());
            }
            let all = (0..verdicts.len()).map(|start| (start, 0, 0));
            for (start, length, gate) in runs.into_iter().chain(all) {
                let first = (start % verdicts.len()) as u64 + 1;
                let mut last = first;
                // A run has one verdict throughout.
                while last - first < length as u64
                    && last < verdicts.len() as u64
                    && verdict(last + 1) == verdict(first)
                {
                    last += 1;
                }
                tracker.resolve(PublishSeq(first), PublishSeq(last), verdict(first));
                decided.extend((first..=last).map(|seq| (seq, verdict(seq))));
                if gate == 0 {
                    flush(&mut tracker).into_iter().for_each(|answer| client.read(answer));
                    prop_assert_eq!(&client.told, &decided);
                }
            }
            prop_assert!(client.open.is_empty());
            prop_assert!(tracker.told.is_empty());
        }
    }
}
