//! Commits that no journal holds any more as a whole, by the numbers of those around them: so much
//! that no record tells of may be lost.

use super::journal_items::Stretch;
use crate::format::high_water::Mark;
use crate::format::progress::{MessagesPut, Progress};

/// Some commits in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LostCommits {
    /// `None` when it is not known with which commit the journals began.
    pub(crate) first: Option<u64>,
    pub(crate) last: u64,
    /// Messages that they put into pages; `None` when that can't be known.
    pub(crate) messages: Option<u64>,
    /// fjall's numbers of the batches before and behind them.
    after: u64,
    before: u64,
}

impl LostCommits {
    /// Whether what has this number of fjall's is of one of them.
    pub(crate) fn have(&self, seqno: u64) -> bool {
        self.after < seqno && seqno < self.before
    }
}

/// Looks at batch after batch of all journals.
#[derive(Debug, Default)]
pub(super) struct CommitSequence {
    last: Option<(Progress, u64)>,
    is_begin_broken: bool,
    lost: Vec<LostCommits>,
}

impl CommitSequence {
    pub(super) fn add(&mut self, stretch: &Stretch) {
        let Some(progress) = stretch.progress else {
            self.is_begin_broken |= !stretch.is_whole && self.last.is_none();
            return;
        };
        let before = progress.put.map(|put| put.before);
        let up_to = progress.applied.saturating_sub(1);
        match self.last {
            Some((last, seqno)) if up_to > last.applied => {
                self.lose(Some((last, seqno)), up_to, before, stretch.seqno);
            }
            None if self.is_begin_broken && up_to > 0 => {
                self.lose(None, up_to, before, stretch.seqno);
            }
            _ => {}
        }
        self.last = Some((progress, stretch.seqno));
    }

    /// A journal that is not the last one is at its end.
    pub(super) fn end_of_sealed(&mut self, has_batches: bool) {
        // One that is sealed was full.
        self.is_begin_broken |= !has_batches && self.last.is_none();
    }

    /// What is lost, up to the high-water mark.
    pub(super) fn lost(mut self, mark: Option<Mark>) -> Vec<LostCommits> {
        let Some(Mark { synced, messages }) = mark else { return self.lost };
        match self.last {
            Some((last, seqno)) if last.applied < synced => {
                self.lose(Some((last, seqno)), synced, messages, u64::MAX);
            }
            None if self.is_begin_broken && synced > 0 => {
                self.lose(None, synced, messages, u64::MAX)
            }
            _ => {}
        }
        self.lost
    }

    fn lose(
        &mut self,
        last: Option<(Progress, u64)>,
        up_to: u64,
        messages_up_to: Option<u64>,
        seqno: u64,
    ) {
        let put = last.and_then(|(last, _)| last.put).map(MessagesPut::after);
        let messages = put.zip(messages_up_to).map(|(put, up_to)| up_to.saturating_sub(put));
        self.lost.push(LostCommits {
            first: last.map(|(last, _)| last.applied + 1),
            last: up_to,
            messages,
            after: last.map_or(0, |(_, seqno)| seqno),
            before: seqno,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(applied: u64, before: u64, count: u64) -> Stretch {
        let put = Some(MessagesPut { before, count });
        let progress = Some(Progress { applied, synced: 0, put });
        Stretch { from: 0, to: 0, is_whole: true, seqno: 10 * applied, progress, items: Vec::new() }
    }

    #[test]
    fn what_stood_between_and_behind_whole_batches_is_counted() {
        let mut sequence = CommitSequence::default();
        sequence.add(&batch(4, 100, 5));
        sequence.add(&batch(5, 105, 1));
        // Of the reclaimer.
        let none = Stretch { progress: None, ..batch(0, 0, 0) };
        sequence.add(&none);
        sequence.add(&batch(9, 150, 2));
        let lost = sequence.lost(Some(Mark { synced: 11, messages: Some(160) }));
        let told: Vec<_> = lost.iter().map(|lost| (lost.first, lost.last, lost.messages)).collect();
        assert_eq!(told, [(Some(6), 8, Some(44)), (Some(10), 11, Some(8))]);
        assert!(lost[0].have(51) && lost[0].have(89) && !lost[0].have(50) && !lost[0].have(90));
        assert!(lost[1].have(u64::MAX - 1));
    }

    #[test]
    fn what_stood_before_the_first_whole_batch_is_not_known() {
        let mut sequence = CommitSequence::default();
        sequence.add(&Stretch { is_whole: false, progress: None, ..batch(0, 0, 0) });
        sequence.add(&batch(9, 150, 2));
        let lost = sequence.lost(Some(Mark { synced: 9, messages: Some(152) }));
        assert_eq!((lost[0].first, lost[0].last, lost[0].messages), (None, 8, None));
        assert_eq!(lost.len(), 1);
        assert_eq!(CommitSequence::default().lost(Some(Mark { synced: 9, messages: None })), []);
    }

    #[test]
    fn what_an_earlier_version_wrote_tells_no_number() {
        let mut sequence = CommitSequence::default();
        let old = |applied| {
            let progress = Some(Progress { applied, synced: 0, put: None });
            Stretch { progress, ..batch(applied, 0, 0) }
        };
        sequence.add(&old(4));
        sequence.add(&batch(9, 150, 2));
        assert_eq!(sequence.lost(None)[0].messages, None);
    }
}
