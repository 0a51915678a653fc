//! What a schedule makes good of the due times that it missed.

/// Which of the due times that passed while the broker could not publish are made good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// `none`: no due time that is more than [`SCHEDULE_ON_TIME_MS`](crate::limits::SCHEDULE_ON_TIME_MS) ago.
    None,
    /// `last`: the latest one, unless a later one is still on time.
    #[default]
    Last,
    /// `all`: each, the latest [`SCHEDULE_CATCH_UP_MAX`](crate::limits::SCHEDULE_CATCH_UP_MAX) of them.
    All,
}

impl CatchUp {
    /// Each.
    pub const ALL: [Self; 3] = [Self::None, Self::Last, Self::All];

    /// The name as users write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Last => "last",
            Self::All => "all",
        }
    }

    /// The one of this name; `None`: there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|catch_up| catch_up.name() == name)
    }

    /// Its number in records of the store.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Last => 1,
            Self::All => 2,
        }
    }

    /// The one with this number in records; `None`: there is none.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|catch_up| catch_up.number() == number)
    }
}
