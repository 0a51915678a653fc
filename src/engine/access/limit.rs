//! What operators limit by virtual host and by user, with RabbitMQ's names. Kept and published like
//! permissions. Whatever counts what is limited enforces the limit, too.
//!
//! ```text
//! key    'l' limit:u8 owner
//! value  version:u8 most:u64
//!
//! limit: the numbers of [`Limit`]; integers big endian
//! ```

use super::record::AccessRecordError;
use crate::operation::Operation;
use bytes::{BufMut, Bytes, BytesMut};
use forebay_wire::ShortStr;
use rpds::RedBlackTreeMapSync;

const VERSION: u8 = 1;
const KIND: u8 = b'l';

/// What can be limited. The numbers stand in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Connections that are open in a virtual host.
    VhostConnections = 0,
    /// Queues of a virtual host. Those that the broker makes for dead letters are always made.
    VhostQueues = 1,
    /// Connections of a user.
    UserConnections = 2,
    /// Channels of a user, over all of its connections.
    UserChannels = 3,
    /// Messages that a user publishes in a second, over all of its connections. RabbitMQ has
    /// no such limit.
    UserPublishRate = 4,
    /// Messages that are published in a virtual host in a second.
    VhostPublishRate = 5,
}

impl Limit {
    /// The limits of virtual hosts.
    pub const OF_VHOST: [Self; 3] =
        [Self::VhostConnections, Self::VhostQueues, Self::VhostPublishRate];
    /// The limits of users.
    pub const OF_USER: [Self; 3] =
        [Self::UserConnections, Self::UserChannels, Self::UserPublishRate];

    /// RabbitMQ's name of the limit; limits of virtual hosts and of users share names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VhostConnections | Self::UserConnections => "max-connections",
            Self::VhostQueues => "max-queues",
            Self::UserChannels => "max-channels",
            Self::UserPublishRate | Self::VhostPublishRate => "max-publish-rate",
        }
    }

    /// The limit of this name, among those of virtual hosts or of users.
    #[must_use]
    pub fn named(name: &str, among: [Self; 3]) -> Option<Self> {
        among.into_iter().find(|limit| limit.name() == name)
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::OF_VHOST.into_iter().chain(Self::OF_USER).find(|limit| *limit as u8 == number)
    }
}

/// All limits, as of one version. A copy costs a few reference counts.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    most: RedBlackTreeMapSync<(Limit, ShortStr), u64>,
    /// How many of them limit a rate.
    rates: usize,
}

impl Limits {
    /// The most that the owner may have; `None`: without limit.
    #[must_use]
    pub fn get(&self, limit: Limit, owner: &ShortStr) -> Option<u64> {
        self.most.get(&(limit, owner.clone())).copied()
    }

    /// Every limit that is set: what it limits, its virtual host or user, and the most it allows.
    pub fn iter(&self) -> impl Iterator<Item = (Limit, &ShortStr, u64)> {
        self.most.iter().map(|((limit, owner), most)| (*limit, owner, *most))
    }

    /// The publish rates that hold for this user in this virtual host: the user's own, and the
    /// virtual host's. Costs no look-up when no rate is limited.
    #[must_use]
    pub fn publish_rates(&self, vhost: &ShortStr, user: &ShortStr) -> [Option<u64>; 2] {
        if self.rates == 0 {
            return [None; 2];
        }
        [self.get(Limit::UserPublishRate, user), self.get(Limit::VhostPublishRate, vhost)]
    }

    pub(super) fn set(&mut self, limit: Limit, owner: ShortStr, most: Option<u64>) -> Operation {
        let key = key(limit, &owner);
        if matches!(limit, Limit::UserPublishRate | Limit::VhostPublishRate) {
            self.rates -= usize::from(self.get(limit, &owner).is_some());
            self.rates += usize::from(most.is_some());
        }
        match most {
            Some(most) => {
                self.most.insert_mut((limit, owner), most);
                let mut value = BytesMut::from_iter([VERSION]);
                value.put_u64(most);
                Operation::PutRecord { key, value: value.freeze() }
            }
            None => {
                self.most.remove_mut(&(limit, owner));
                Operation::RemoveRecord { key }
            }
        }
    }
}

pub(super) fn is_ours(key: &[u8]) -> bool {
    key.first() == Some(&KIND)
}

fn key(limit: Limit, owner: &ShortStr) -> Bytes {
    let mut key = BytesMut::from_iter([KIND, limit as u8]);
    key.put_slice(owner.as_bytes());
    key.freeze()
}

/// What a record says.
pub(super) fn read(
    key: &Bytes,
    value: &Bytes,
) -> Result<(Limit, ShortStr, u64), AccessRecordError> {
    let error = |flaw: String| AccessRecordError { key: key.escape_ascii().to_string(), flaw };
    let damaged = || error("damaged".to_owned());
    let (version, most) = value.split_first().ok_or_else(damaged)?;
    if *version != VERSION {
        let text = format!("has version {version}, expected {VERSION}: written by a newer version");
        return Err(error(text));
    }
    let most = most.try_into().map(u64::from_be_bytes).map_err(|_| damaged())?;
    let limit = key.get(1).and_then(|number| Limit::from_number(*number)).ok_or_else(damaged)?;
    let owner = ShortStr::try_from(key.slice(2..)).map_err(|_| damaged())?;
    Ok((limit, owner, most))
}
