//! What is to be said of the users in a file of definitions before they are taken.

use crate::auth::password;
use crate::auth::user::GUEST;
use forebay_engine::access::{PasswordHash, User};
use forebay_engine::definition::{DefinedObject, Definition};
use forebay_wire::ShortStr;

/// Users whose password everybody knows, and users that stand behind those of the configuration with
/// these names. Takes some 20 ms of a core when the file has a `guest` of ours.
#[must_use]
pub fn warnings_of_users(definitions: &[Definition], configured: &[&ShortStr]) -> Vec<String> {
    let mut warnings = Vec::new();
    for Definition { path, object } in definitions {
        let DefinedObject::User(name, user) = object else { continue };
        if is_guessable(name, user) {
            warnings.push(format!(
                "{path}: the password of user '{}' is '{GUEST}', which everybody knows: change it",
                name.to_string().escape_debug()
            ));
        }
        if configured.contains(&name) {
            warnings.push(format!(
                "{path}: has no effect, since user '{}' comes from the configuration file",
                name.to_string().escape_debug()
            ));
        }
    }
    warnings
}

fn is_guessable(name: &ShortStr, user: &User) -> bool {
    match &user.password {
        // Each check costs a lot on purpose, so only the name that comes with that password is looked
        // at.
        hash @ PasswordHash::Argon2id(_) => {
            name.as_bytes() == GUEST.as_bytes() && password::matches(hash, GUEST.as_bytes())
        }
        hash => password::is_rabbitmq_hash_of(hash, GUEST.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::{ReadOptions, parse};

    #[test]
    fn a_password_that_everybody_knows_is_named_with_its_path() {
        // SHA-256 of the salt 00000000 and "guest", and of RabbitMQ's documentation ("test12").
        let file = r#"{"users":[
            {"name":"a","password_hash":"AAAAAPEoQ8a3jY6DABRiJzkoKooQbXiBp2iGLke7d+FVKzJx","tags":""},
            {"name":"b","password_hash":"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR","tags":""},
            {"name":"guest","password":"guest","tags":""},
            {"name":"none","password_hash":"","tags":""}
        ]}"#;
        let definitions = parse(file.as_bytes(), ReadOptions::default()).unwrap().definitions;
        let configured = ShortStr::from_static("b");
        let warnings = warnings_of_users(&definitions, &[&configured]);
        let [first, second, third] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(first.starts_with("users[0]: the password of user 'a' is 'guest'"), "{first}");
        assert!(second.starts_with("users[1]: has no effect"), "{second}");
        assert!(third.starts_with("users[2]: the password of user 'guest'"), "{third}");
    }
}
