//! The time of a run: one clock that never jumps and goes on through crashes, and the wall clock beside
//! it, which is set now and then.

/// What the wall clock shows when a run begins, in ms.
pub(crate) const WALL_START: u64 = 1_700_000_000_000;

/// See the module. All times are ms since the run began, unless they are said to be of the wall clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    now: u64,
    /// From when on the wall clock was so far ahead of where it would be without jumps; never empty.
    epochs: Vec<(u64, i64)>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { now: 0, epochs: vec![(0, 0)] }
    }
}

impl Clock {
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// The wall clock.
    pub(crate) fn wall(&self) -> u64 {
        self.wall_at(self.now, self.epochs.len() - 1)
    }

    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.now += milliseconds;
    }

    /// The wall clock is set.
    pub(crate) fn jump(&mut self, by: i64) {
        let (_, ahead) = self.epochs[self.epochs.len() - 1];
        self.epochs.push((self.now, ahead + by));
    }

    /// The highest that the wall clock showed at a time or later.
    pub(crate) fn highest_wall(&self, since: u64) -> u64 {
        let ends = self.epochs.iter().skip(1).map(|(from, _)| *from).chain([self.now]);
        let ended = ends.enumerate().filter(|(_, end)| *end >= since);
        ended.map(|(epoch, end)| self.wall_at(end, epoch)).max().unwrap()
    }

    /// How far the wall clock was ahead of where it was at a time, from then on: least and most.
    pub(crate) fn jumped_since(&self, then: u64) -> (i64, i64) {
        let first = self.epochs.iter().rposition(|(from, _)| *from <= then).unwrap();
        let (_, before) = self.epochs[first];
        let ahead = self.epochs[first..].iter().map(|(_, ahead)| ahead - before);
        (ahead.clone().min().unwrap(), ahead.max().unwrap())
    }

    /// When the wall clock showed this, if it did so since it was set last.
    pub(crate) fn shown_since_jump(&self, wall: u64) -> Option<u64> {
        let (from, ahead) = self.epochs[self.epochs.len() - 1];
        let then = wall.checked_sub(WALL_START)?.checked_add_signed(-ahead)?;
        (from..=self.now).contains(&then).then_some(then)
    }

    fn wall_at(&self, time: u64, epoch: usize) -> u64 {
        (WALL_START + time).saturating_add_signed(self.epochs[epoch].1)
    }
}
