//! What a queue is for.

/// What a queue is for, which says what is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Consumers work on its messages.
    #[default]
    Work,
    /// Messages wait until their time to live ends, and go on from there. It has no consumers by design.
    Delay,
    /// Messages that were given up wait for people.
    DeadLetters,
    /// Replies for one client, which takes the queue with it.
    Reply,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Work, Self::Delay, Self::DeadLetters, Self::Reply];

    /// Its name in settings and labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Delay => "delay",
            Self::DeadLetters => "dead-letters",
            Self::Reply => "reply",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}
