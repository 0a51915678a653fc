//! A policy: settings for all queues and exchanges whose names match a pattern. Users have their
//! policies and operators theirs; of each kind the one of the highest priority holds.

use super::arguments::{ALTERNATE_EXCHANGE, Arguments};
use super::dead_letter_queues::is_dead_letter_queue;
use super::ignored_arguments::{self, IGNORED_SETTINGS};
use super::reserved;
use super::settings::QueueKind;
use super::settings_layer::SettingsLayer;
use crate::model::{NamePattern, ObjectName};
use forebay_wire::{FieldTable, ShortStr};

/// Whose policy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyOwner {
    /// Anybody's who may set policies.
    User,
    /// The operator's: it only sets limits.
    Operator,
}

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliesTo {
    /// `all`: queues and exchanges, also when nothing is said.
    All,
    /// `queues`.
    Queues,
    /// `classic_queues`: those declared as such, or as nothing in particular.
    ClassicQueues,
    /// `quorum_queues`.
    QuorumQueues,
    /// `streams`: none, as there are no streams.
    Streams,
    /// `exchanges`.
    Exchanges,
}

/// A policy as its author wrote it.
#[derive(Clone, Copy, Debug)]
pub struct PolicyRequest<'a> {
    /// Its name, unique in the virtual host among its owner's.
    pub name: &'a ShortStr,
    /// Matches names of queues and exchanges.
    pub pattern: &'a str,
    /// As `queues`; empty for `all`.
    pub apply_to: &'a str,
    /// The settings, named like arguments without `x-`.
    pub definition: &'a FieldTable,
    /// The highest that matches holds.
    pub priority: i64,
}

/// A policy, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    owner: PolicyOwner,
    name: ShortStr,
    pattern: NamePattern,
    applies_to: AppliesTo,
    definition: FieldTable,
    priority: i64,
    layer: SettingsLayer,
    alternate: Option<ShortStr>,
}

/// A policy that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct PolicyError {
    /// The field, as `definition.max-length`.
    pub field: String,
    /// What was found there and what is allowed.
    pub reason: String,
}

/// What the pattern of a policy has in it that is meant for dead-letter queues.
const NAMES_DEAD_LETTERS: &str = "dlq";

/// What an operator's policy may set.
const OPERATOR_SETTINGS: [&str; 5] =
    ["delivery-limit", "expires", "max-length", "max-length-bytes", "message-ttl"];

/// What a user's policy may set beyond that.
const USER_SETTINGS: [&str; 19] = [
    ALTERNATE_EXCHANGE,
    "consumer-timeout",
    "dead-letter-exchange",
    "dead-letter-routing-key",
    "dedup-size",
    "dedup-window",
    "delayed-retry-max",
    "delayed-retry-min",
    "delayed-retry-multiplier",
    "delayed-retry-type",
    "lag-line-percent",
    "max-age-slo",
    "max-in-flight",
    "message-group",
    "overflow",
    "queue-role",
    "rate-burst",
    "rate-limit",
    "trace",
];

impl AppliesTo {
    const ALL: [Self; 6] = [
        Self::All,
        Self::Queues,
        Self::ClassicQueues,
        Self::QuorumQueues,
        Self::Streams,
        Self::Exchanges,
    ];

    /// The name as authors write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Queues => "queues",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
            Self::Exchanges => "exchanges",
        }
    }

    fn has_queue(self, kind: QueueKind) -> bool {
        match self {
            Self::All | Self::Queues => true,
            Self::ClassicQueues => kind == QueueKind::Classic,
            Self::QuorumQueues => kind == QueueKind::Quorum,
            Self::Streams | Self::Exchanges => false,
        }
    }

    fn has_exchanges(self) -> bool {
        matches!(self, Self::All | Self::Exchanges)
    }
}

impl Policy {
    /// Checks a policy.
    ///
    /// # Errors
    /// Names the first field that is wrong, and what is allowed.
    pub fn new(owner: PolicyOwner, request: PolicyRequest<'_>) -> Result<Self, PolicyError> {
        if let Some(setting) = reserved::setting(request.definition) {
            let (field, reason) = (format!("definition.{setting}"), reserved::REASON.to_owned());
            return Err(PolicyError { field, reason });
        }
        Self::stored(owner, request)
    }

    /// The same for one that is in the store: an earlier version took settings that have no effect.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn stored(
        owner: PolicyOwner,
        request: PolicyRequest<'_>,
    ) -> Result<Self, PolicyError> {
        let wrong = |field: &str, reason: String| PolicyError { field: field.to_owned(), reason };
        if request.name.is_empty() {
            return Err(wrong("name", "must not be empty".to_owned()));
        }
        let pattern = NamePattern::new(request.pattern)
            .map_err(|error| wrong("pattern", error.to_string()))?;
        let applies_to = match request.apply_to {
            "" => AppliesTo::All,
            name => {
                let known = AppliesTo::ALL.into_iter().find(|there| there.name() == name);
                known.ok_or_else(|| {
                    let names = AppliesTo::ALL.map(AppliesTo::name).join(", ");
                    wrong("apply-to", format!("'{name}'; expected one of {names}"))
                })?
            }
        };
        check_names(owner, request.definition)?;
        let settings = Arguments::policy(request.definition);
        let alternate = settings.object_name(ALTERNATE_EXCHANGE);
        let layer = SettingsLayer::read(settings);
        let wrong_setting = |bad: super::arguments::BadArgument| {
            wrong(&format!("definition.{}", bad.name), bad.reason)
        };
        ignored_arguments::check_policy(settings).map_err(wrong_setting)?;
        Ok(Self {
            owner,
            name: request.name.detached(),
            pattern,
            applies_to,
            definition: request.definition.detached(),
            priority: request.priority,
            layer: layer.map_err(wrong_setting)?,
            alternate: alternate.map_err(wrong_setting)?.map(ObjectName::into_short),
        })
    }

    /// The names of a definition that a policy of this owner can't set.
    #[must_use]
    pub fn unknown_settings(owner: PolicyOwner, definition: &FieldTable) -> Vec<ShortStr> {
        let allowed = allowed_settings(owner);
        let is_known = |name: &ShortStr| {
            let is_listed = allowed.iter().chain(&IGNORED_SETTINGS).any(|known| name == known);
            // Named by the check that follows, with what is to be done.
            is_listed || reserved::is_setting(name)
        };
        definition.iter().map(|(name, _)| name).filter(|name| !is_known(name)).cloned().collect()
    }

    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> PolicyOwner {
        self.owner
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ShortStr {
        &self.name
    }

    /// What names it matches.
    #[must_use]
    pub fn pattern(&self) -> &NamePattern {
        &self.pattern
    }

    /// What it is for.
    #[must_use]
    pub fn applies_to(&self) -> AppliesTo {
        self.applies_to
    }

    /// The settings as they were given.
    #[must_use]
    pub fn definition(&self) -> &FieldTable {
        &self.definition
    }

    /// The highest that matches holds.
    #[must_use]
    pub fn priority(&self) -> i64 {
        self.priority
    }

    pub(super) fn layer(&self) -> &SettingsLayer {
        &self.layer
    }

    pub(super) fn alternate(&self) -> Option<&ShortStr> {
        self.alternate.as_ref()
    }

    /// Whether it applies to a queue. Whoever writes `.*` or `^orders` thinks of queues, not of the
    /// dead letters that the broker keeps of them: it applies to these only when its pattern has
    /// `dlq` in it.
    pub(super) fn matches_queue(&self, name: &ShortStr, kind: QueueKind) -> bool {
        self.applies_to.has_queue(kind)
            && self.pattern.matches(name)
            && (!is_dead_letter_queue(name) || self.pattern.as_str().contains(NAMES_DEAD_LETTERS))
    }

    pub(super) fn matches_exchange(&self, name: &ShortStr) -> bool {
        self.applies_to.has_exchanges() && self.pattern.matches(name)
    }
}

fn check_names(owner: PolicyOwner, definition: &FieldTable) -> Result<(), PolicyError> {
    if definition.is_empty() {
        let reason = "must set something".to_owned();
        return Err(PolicyError { field: "definition".to_owned(), reason });
    }
    match Policy::unknown_settings(owner, definition).first() {
        None => Ok(()),
        Some(name) => Err(PolicyError {
            field: format!("definition.{name}"),
            reason: format!("expected one of {}", allowed_settings(owner).join(", ")),
        }),
    }
}

fn allowed_settings(owner: PolicyOwner) -> Vec<&'static str> {
    let mut allowed = OPERATOR_SETTINGS.to_vec();
    if owner == PolicyOwner::User {
        allowed.extend(USER_SETTINGS);
    }
    allowed.sort_unstable();
    allowed
}
