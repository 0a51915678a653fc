//! Who the first user of a broker is, decided once for a data directory: the default user, when
//! nothing else names a user. From then on it is a stored user like any other, which an operator
//! changes and deletes.

use crate::auth::password;
use crate::auth::user::{ADMINISTRATOR, DefaultUser};
use crate::config::settings::Settings;
use crate::shard::shard_link::{SESSION_CHANNEL, ShardLink};
use crate::start_error::StartError;
use arc_swap::ArcSwap;
use forebay_engine::BrokerSnapshot;
use forebay_engine::access::{User as StoredUser, Users};
use forebay_engine::administration::Administration;
use forebay_engine::command::Command;
use forebay_wire::ShortStr;
use std::io;
use tokio::task::spawn_blocking;

/// Decides it, unless that was done at an earlier start, and makes the user. Called before clients are
/// served, when the definitions are loaded. `is_new`: the data directory held nothing before.
pub(crate) async fn decide(
    link: &ShardLink,
    snapshot: &ArcSwap<BrokerSnapshot>,
    settings: &Settings,
    is_new: bool,
) -> Result<(), StartError> {
    let asked = link.query_shard(|shard| shard.access().first_user_decided()).await;
    let default = &settings.default_user;
    if asked.map_err(StartError::FirstUser)? {
        warn_of_no_effect(default, snapshot.load().access.users()).await?;
    } else {
        let makes = is_wanted(settings, snapshot.load().access.users(), is_new);
        let user = if makes { Some(account_of(default).await?) } else { None };
        let request = Box::new(Administration::DecideFirstUser(user));
        let command = Command::Administer { channel: SESSION_CHANNEL, request };
        let nobody = ShortStr::default();
        let made = link.ask(nobody.clone(), nobody, command).await;
        made.map_err(StartError::FirstUser)?;
        if makes {
            let user = &*default.name.to_string();
            tracing::info!(user, "the default user was made; it is an administrator");
        }
    }
    warn_of_nobody(settings, snapshot.load().access.users());
    Ok(())
}

/// A new directory gets the default user when no user is named. One of an older version, which had it
/// without storing it, gets it also when there is no other administrator: nobody could make one.
fn is_wanted(settings: &Settings, stored: &Users, is_new: bool) -> bool {
    let is_named = !settings.users.is_empty() || stored.iter().next().is_some();
    let is_stored = stored.get(&settings.default_user.name).is_some();
    !is_stored && (!is_named || (!is_new && !has_administrator(settings, stored)))
}

fn has_administrator(settings: &Settings, stored: &Users) -> bool {
    let is_administrator = |user: &StoredUser| user.tags.iter().any(|tag| tag == ADMINISTRATOR);
    settings.users.iter().any(|user| is_administrator(&user.account))
        || stored.iter().any(|(_, user)| is_administrator(user))
}

async fn account_of(default: &DefaultUser) -> Result<(ShortStr, StoredUser), StartError> {
    let user = default.clone();
    let hashed = spawn_blocking(move || user.account()).await.map_err(io::Error::other)?;
    let account = hashed.map_err(|error| io::Error::other(error.to_string()))?;
    Ok((default.name.clone(), account))
}

/// The environment names a user and a password, which count for an empty data directory alone.
async fn warn_of_no_effect(default: &DefaultUser, stored: &Users) -> Result<(), StartError> {
    if !default.is_named {
        return Ok(());
    }
    let user = &*default.name.to_string();
    let Some(there) = stored.get(&default.name) else {
        tracing::warn!(
            user,
            "the default user is not made again: RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS \
             count for an empty data directory only"
        );
        return Ok(());
    };
    let (hash, password) = (there.password.clone(), default.password.clone());
    let matches = spawn_blocking(move || password::matches(&hash, password.as_bytes()));
    if !matches.await.map_err(io::Error::other)? {
        tracing::warn!(
            user,
            "the stored password of the default user stays: RABBITMQ_DEFAULT_PASS counts for an \
             empty data directory only; change it with PUT /api/users"
        );
    }
    Ok(())
}

fn warn_of_nobody(settings: &Settings, stored: &Users) {
    if settings.users.is_empty() && stored.iter().next().is_none() {
        tracing::warn!(
            "there is no user, so nobody can log in: name one in the configuration file ([[users]])"
        );
    } else if !has_administrator(settings, stored) {
        tracing::warn!(
            "no user has the tag administrator, so nobody can change users and permissions: name \
             one in the configuration file ([[users]] with tags = [\"administrator\"])"
        );
    }
}
