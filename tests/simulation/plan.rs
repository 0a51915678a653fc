//! What a seed decides before the run begins: which kinds of trouble there are, and how much of each.

use crate::random::Random;

/// Something that a run may have or not: runs that lack some reach states that others drown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    Crashes,
    StoreFaults,
    Kills,
    Cuts,
    ClockJumps,
    Leaps,
    Transactions,
    Purges,
    Deletes,
    Gets,
    Rejects,
    Requeues,
    LargeBodies,
    Mistakes,
    Expirations,
    NoAcks,
    SlowDisk,
    Retries,
    Groups,
    Delays,
    Duplicates,
    Leases,
    Limits,
}

impl Feature {
    pub(crate) const ALL: [Self; 23] = [
        Self::Crashes,
        Self::StoreFaults,
        Self::Kills,
        Self::Cuts,
        Self::ClockJumps,
        Self::Leaps,
        Self::Transactions,
        Self::Purges,
        Self::Deletes,
        Self::Gets,
        Self::Rejects,
        Self::Requeues,
        Self::LargeBodies,
        Self::Mistakes,
        Self::Expirations,
        Self::NoAcks,
        Self::SlowDisk,
        Self::Retries,
        Self::Groups,
        Self::Delays,
        Self::Duplicates,
        Self::Leases,
        Self::Limits,
    ];

    fn name(self) -> String {
        format!("{self:?}").to_uppercase()
    }
}

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) features: u32,
    pub(crate) left_out: Vec<Feature>,
}

const STEPS_DEFAULT: u64 = 900;

impl Plan {
    /// The plan of a seed, with what the environment changes of it.
    pub(crate) fn asked_for(seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Each is there two times out of three.
        let features = (0..Feature::ALL.len()).filter(|_| random.below(3) > 0);
        let features = features.fold(0, |features, place| features | 1 << place);
        let steps = crate::variable("FOREBAY_SIMULATION_STEPS").unwrap_or(STEPS_DEFAULT);
        let plan = Self { seed, steps, features, left_out: Vec::new() };
        let left_out = std::env::var("FOREBAY_SIMULATION_WITHOUT").unwrap_or_default();
        let left_out = left_out.split(',').filter(|name| !name.is_empty());
        left_out.fold(plan, |plan, name| {
            let known = Feature::ALL.into_iter().find(|feature| feature.name() == name);
            plan.without(known.expect("FOREBAY_SIMULATION_WITHOUT: a name of Feature"))
        })
    }

    pub(crate) fn has(&self, feature: Feature) -> bool {
        self.features & 1 << feature as u32 != 0
    }

    pub(crate) fn without(mut self, feature: Feature) -> Self {
        self.features &= !(1 << feature as u32);
        self.left_out.push(feature);
        self
    }

    /// What repeats it.
    pub(crate) fn command(&self) -> String {
        let left_out: Vec<String> = self.left_out.iter().map(|feature| feature.name()).collect();
        format!(
            "FOREBAY_SIMULATION_FIRST={} FOREBAY_SIMULATION_SEEDS=1 FOREBAY_SIMULATION_STEPS={} \
             FOREBAY_SIMULATION_WITHOUT={} FOREBAY_SIMULATION_TRACE=1 cargo test --test simulation",
            self.seed,
            self.steps,
            left_out.join(",")
        )
    }
}
