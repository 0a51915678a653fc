//! The users that the configuration names.

use crate::auth::user::{GUEST, User, argon2id_hash};
use crate::config::config_file::{ConfigPermission, ConfigUser, Tables};
use crate::config::config_value::{FilePath, LoopbackUsers, Names, Text};
use crate::config::settings_error::SettingsError;
use forebay_engine::access::{Permission, User as StoredUser};
use forebay_wire::ShortStr;

/// Of two with the same name the last one.
pub(super) fn configured_users(
    Tables(listed): &Tables<ConfigUser>,
) -> Result<Vec<User>, SettingsError> {
    let mut users: Vec<User> = Vec::new();
    for user in listed {
        let user = configured_user(user)?;
        users.retain(|there| there.name != user.name);
        users.push(user);
    }
    Ok(users)
}

pub(super) fn loopback_users(
    listed: Option<LoopbackUsers>,
) -> Result<Vec<ShortStr>, SettingsError> {
    match listed {
        None => Ok(vec![ShortStr::from_static(GUEST)]),
        Some(LoopbackUsers(names)) => {
            names.iter().map(|name| user_name("loopback_users", name)).collect()
        }
    }
}

fn configured_user(user: &ConfigUser) -> Result<User, SettingsError> {
    let password = argon2id_hash(&password_hash(user)?)
        .map_err(|error| SettingsError::PasswordHash { user: user.name.0.clone(), error })?;
    let permissions = user.permissions.as_ref().map(|Tables(listed)| {
        listed.iter().map(|permission| configured_permission(user, permission)).collect()
    });
    let tags = user.tags.clone().map_or_else(Vec::new, |Names(tags)| tags);
    Ok(User {
        name: user_name("users.name", &user.name.0)?,
        account: StoredUser { password, tags },
        permissions: permissions.transpose()?,
    })
}

/// The hash that the user has in the configuration file, or in a file of its own.
fn password_hash(user: &ConfigUser) -> Result<String, SettingsError> {
    let name = || user.name.0.clone();
    match (&user.password_hash, &user.password_hash_file) {
        (Some(Text(hash)), None) => Ok(hash.clone()),
        (None, Some(FilePath(path))) => match std::fs::read_to_string(path) {
            // Editors and `echo` end a file with a line feed.
            Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
            Err(error) => {
                Err(SettingsError::PasswordHashFile { user: name(), path: path.clone(), error })
            }
        },
        (None, None) => {
            Err(SettingsError::PasswordHashPlace { user: name(), found: "no password hash" })
        }
        (Some(_), Some(_)) => Err(SettingsError::PasswordHashPlace {
            user: name(),
            found: "password_hash and password_hash_file",
        }),
    }
}

pub(super) fn user_name(place: &'static str, name: &str) -> Result<ShortStr, SettingsError> {
    ShortStr::try_from(name).map_err(|_| SettingsError::NameTooLong { place, length: name.len() })
}

fn configured_permission(
    user: &ConfigUser,
    listed: &ConfigPermission,
) -> Result<(ShortStr, Permission), SettingsError> {
    let fault = |reason: String| SettingsError::Permission {
        user: user.name.0.clone(),
        vhost: listed.vhost.0.clone(),
        reason,
    };
    let pattern = |text: &Option<Text>| text.clone().map_or_else(String::new, |Text(text)| text);
    let vhost = ShortStr::try_from(listed.vhost.0.as_str()).map_err(|e| fault(e.to_string()))?;
    let [configure, write, read] = [&listed.configure, &listed.write, &listed.read].map(pattern);
    let permission =
        Permission::new(&configure, &write, &read).map_err(|error| fault(error.to_string()))?;
    Ok((vhost, permission))
}
