//! Seen messages on a Redis server, for many consumers on many machines.
//!
//! ```text
//! prefix:key  "c:<owner>"  with the time of the claim     in progress
//! prefix:key  "d"          with the time to remember      done
//! ```

use std::time::Duration;

use ::redis::{Client, RedisError, aio::ConnectionManager, cmd};

use super::{Claim, SeenStore};

const DONE: &str = "d";
/// Takes the key if it is free, or renews the claim if it is ours: 1 when it is ours now, 2 when it is
/// done, 0 when another owner has it.
const CLAIM: &str = "local found = redis.call('get', KEYS[1]) \
     if not found or found == ARGV[1] then \
     redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1 end \
     if found == ARGV[3] then return 2 end return 0";
/// Deletes the claim only if it is still ours.
const RELEASE: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";

/// Remembers on a Redis server, in keys with a time to live. As durable as that server is set up
/// to be; the connection restores itself.
#[derive(Clone)]
pub struct RedisSeen {
    connection: ConnectionManager,
    prefix: String,
}

impl std::fmt::Debug for RedisSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisSeen").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Redis can't be reached, or refused.
#[derive(Debug, thiserror::Error)]
#[error("Redis: {0}")]
pub struct RedisSeenError(#[from] RedisError);

impl RedisSeen {
    /// Connects to `redis://host:port/db`. Every key of this store begins with `prefix:`.
    ///
    /// # Errors
    /// When the URL is wrong or the server can't be reached.
    pub async fn connect(url: &str, prefix: &str) -> Result<Self, RedisSeenError> {
        let connection = Client::open(url)?.get_connection_manager().await?;
        Ok(Self { connection, prefix: prefix.to_owned() })
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b":", key].concat()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn claim_of(owner: u64) -> String {
    format!("c:{owner:016x}")
}

impl SeenStore for RedisSeen {
    type Error = RedisSeenError;

    async fn claim(
        &self,
        key: &[u8],
        owner: u64,
        lease: Duration,
    ) -> Result<Claim, RedisSeenError> {
        let mut eval = cmd("EVAL");
        eval.arg(CLAIM).arg(1).arg(self.key(key));
        eval.arg(claim_of(owner)).arg(milliseconds(lease)).arg(DONE);
        let answer: i64 = eval.query_async(&mut self.connection.clone()).await?;
        Ok(match answer {
            1 => Claim::Taken,
            2 => Claim::Done,
            _ => Claim::InProgress,
        })
    }

    async fn complete(&self, key: &[u8], _: u64, keep: Duration) -> Result<(), RedisSeenError> {
        let mut set = cmd("SET");
        set.arg(self.key(key)).arg(DONE).arg("PX").arg(milliseconds(keep));
        Ok(set.query_async(&mut self.connection.clone()).await?)
    }

    async fn release(&self, key: &[u8], owner: u64) -> Result<(), RedisSeenError> {
        let mut eval = cmd("EVAL");
        eval.arg(RELEASE).arg(1).arg(self.key(key)).arg(claim_of(owner));
        let _deleted: i64 = eval.query_async(&mut self.connection.clone()).await?;
        Ok(())
    }
}
