//! What is to be said of a queue at one moment.

use crate::baseline::Confidence;

/// What is wrong with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Symptom {
    /// Lag is above the alert line.
    AboveLine,
    /// At the present rate it takes much longer than usual until the queue is empty.
    SlowDrain,
    /// The oldest message is older than the queue's oldest ones usually are, or than was allowed.
    TooOld,
    /// There are messages and consumers, and none was settled for three times as long as deliveries are held.
    Stalled,
    /// There are messages and no consumers, and none was fetched for longer than is usual.
    NoConsumers,
    /// The queue is never empty, and has become longer for two weeks.
    Growing,
    /// An operator has paused the queue: nothing is delivered from it, whatever consumers do.
    Paused,
}

impl Symptom {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AboveLine,
        Self::SlowDrain,
        Self::TooOld,
        Self::Stalled,
        Self::NoConsumers,
        Self::Growing,
        Self::Paused,
    ];

    /// Its name in output and labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AboveLine => "above-line",
            Self::SlowDrain => "slow-drain",
            Self::TooOld => "too-old",
            Self::Stalled => "stalled",
            Self::NoConsumers => "no-consumers",
            Self::Growing => "growing",
            Self::Paused => "paused",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What is to be said of a queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Assessment {
    pub(crate) symptoms: u8,
    /// The highest lag that is normal at this time of day; `None` while the history is too young.
    pub normal_peak: Option<f64>,
    /// Lag above this is not normal; `None` while the history is too young.
    pub line: Option<f64>,
    /// There are messages and no consumers, and nothing says that this is usual: it is the symptom [`Symptom::NoConsumers`], or
    /// becomes it in some minutes.
    pub is_unattended: bool,
    /// How far the history is to be trusted.
    pub confidence: Confidence,
    /// Since when lag has been above the line.
    pub above_since: Option<u64>,
    /// Seconds until the queue is empty at the present rate; `None` when that is not known.
    pub drain_seconds: Option<f64>,
    /// Seconds that the consumers need for what is there and for what comes in the next minute: a minute when they just keep
    /// up. `None` where nothing tells how many there are, or what they settle.
    pub needed_seconds: Option<f64>,
    /// Drain times above this are much longer than usual.
    pub drain_line_seconds: Option<f64>,
    /// Ages above this are not normal, or not allowed.
    pub age_line_seconds: Option<f64>,
    /// Seconds without a settlement while there was something to settle.
    pub pause_seconds: Option<f64>,
    /// Pauses above this are much longer than usual.
    pub pause_line_seconds: Option<f64>,
    /// The time in seconds within which 99 of 100 deliveries are settled; `None` until one was settled, or where consumers
    /// settle none themselves.
    pub service_seconds: Option<f64>,
    /// While there are consumers, pauses above this are stalls.
    pub stall_line_seconds: Option<f64>,
}

impl Assessment {
    /// How many normal peaks this many messages are, where a peak below one counts as one; `None` while the history is too
    /// young.
    #[must_use]
    pub fn ratio(&self, messages: u64) -> Option<f64> {
        self.normal_peak.map(|peak| messages as f64 / peak.max(1.0))
    }

    /// Whether the queue has this symptom.
    #[must_use]
    pub fn has(&self, symptom: Symptom) -> bool {
        self.symptoms & symptom.bit() != 0
    }

    /// Whether it has any.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.symptoms != 0
    }

    pub(crate) fn set(&mut self, symptom: Symptom, is: bool) {
        if is {
            self.symptoms |= symptom.bit();
        }
    }
}
