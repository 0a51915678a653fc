//! Passwords of users that an operator made: our own hashes, and RabbitMQ's.
//!
//! RabbitMQ keeps base64 of a salt of 4 bytes and the hash of salt and password.

use crate::auth::password_memory;
use crate::auth::user::argon2id_hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use forebay_engine::access::PasswordHash;
use sha2::digest::{CtOutput, Digest, Output, OutputSizeUser};
use sha2::{Sha256, Sha512};

/// The name of our hashes where RabbitMQ's API and files say `hashing_algorithm`.
pub const ARGON2ID: &str = "forebay_argon2id";
/// RabbitMQ's default.
pub const RABBITMQ_SHA256: &str = "rabbit_password_hashing_sha256";
/// RabbitMQ's stronger one.
pub const RABBITMQ_SHA512: &str = "rabbit_password_hashing_sha512";

const SALT_BYTES: usize = 4;

/// The hash that a user of RabbitMQ's API or files has.
///
/// # Errors
/// Says what is wrong with it, and what is allowed.
pub fn imported(algorithm: &str, hash: &str) -> Result<PasswordHash, String> {
    if hash.is_empty() {
        return Ok(PasswordHash::Disabled);
    }
    match algorithm {
        ARGON2ID => argon2id_hash(hash).map_err(|error| error.to_string()),
        RABBITMQ_SHA256 => {
            salted::<Sha256>(hash)?;
            Ok(PasswordHash::RabbitmqSha256(hash.to_owned()))
        }
        RABBITMQ_SHA512 => {
            salted::<Sha512>(hash)?;
            Ok(PasswordHash::RabbitmqSha512(hash.to_owned()))
        }
        other => Err(format!(
            "unknown hashing algorithm '{other}'; expected {RABBITMQ_SHA256}, {RABBITMQ_SHA512} \
             or {ARGON2ID}"
        )),
    }
}

/// Whether hashes of this algorithm are taken.
#[must_use]
pub fn is_known(algorithm: &str) -> bool {
    [ARGON2ID, RABBITMQ_SHA256, RABBITMQ_SHA512].contains(&algorithm)
}

/// Algorithm and hash as the API and files show them.
#[must_use]
pub fn exported(password: &PasswordHash) -> (&'static str, &str) {
    match password {
        PasswordHash::Disabled => (RABBITMQ_SHA256, ""),
        PasswordHash::Argon2id(hash) => (ARGON2ID, hash),
        PasswordHash::RabbitmqSha256(hash) => (RABBITMQ_SHA256, hash),
        PasswordHash::RabbitmqSha512(hash) => (RABBITMQ_SHA512, hash),
    }
}

/// A hash like those that we make, of no password that anybody knows.
const DECOY: &str = "$argon2id$v=19$m=7168,t=5,p=1$bm9ib2R5IGtub3dzIGl0$\
                     AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether the password is the one that was hashed. Takes 20 ms of a core when it is not, whatever
/// the hash, so that the time does not tell one kind of user, or none, from another.
#[must_use]
pub fn matches(hash: &PasswordHash, password: &[u8]) -> bool {
    let matches = match hash {
        PasswordHash::Argon2id(text) => return is_argon2id(text, password),
        PasswordHash::Disabled => false,
        PasswordHash::RabbitmqSha256(text) => is_salted::<Sha256>(text, password),
        PasswordHash::RabbitmqSha512(text) => is_salted::<Sha512>(text, password),
    };
    if !matches {
        is_argon2id(DECOY, password);
    }
    matches
}

/// Whether the password is the one that was hashed by RabbitMQ. For those who hold the hash: the time
/// that it takes tells which kind of hash it is.
#[must_use]
pub fn is_rabbitmq_hash_of(hash: &PasswordHash, password: &[u8]) -> bool {
    match hash {
        PasswordHash::Disabled | PasswordHash::Argon2id(_) => false,
        PasswordHash::RabbitmqSha256(text) => is_salted::<Sha256>(text, password),
        PasswordHash::RabbitmqSha512(text) => is_salted::<Sha512>(text, password),
    }
}

fn is_argon2id(text: &str, password: &[u8]) -> bool {
    argon2::PasswordHash::new(text)
        .and_then(|hash| password_memory::verify(&hash, password))
        .unwrap_or(false)
}

fn is_salted<D: Digest + OutputSizeUser>(text: &str, password: &[u8]) -> bool {
    salted::<D>(text).is_ok_and(|(salt, hash)| {
        let made = D::new().chain_update(salt).chain_update(password).finalize();
        // Takes the same time wherever they differ.
        CtOutput::<Hashed<D>>::new(made) == CtOutput::new(hash)
    })
}

/// Gives [`CtOutput`] the size of a digest's output.
struct Hashed<D>(std::marker::PhantomData<D>);

impl<D: OutputSizeUser> OutputSizeUser for Hashed<D> {
    type OutputSize = D::OutputSize;
}

fn salted<D: OutputSizeUser>(text: &str) -> Result<([u8; SALT_BYTES], Output<D>), String> {
    let size = <D as OutputSizeUser>::output_size();
    let bytes = STANDARD.decode(text).map_err(|error| format!("is no base64: {error}"))?;
    let wrong = || {
        let (found, expected) = (bytes.len(), SALT_BYTES + size);
        format!("has {found} bytes; expected {expected}: a salt of {SALT_BYTES} and the hash")
    };
    let (salt, hash) = bytes.split_first_chunk::<SALT_BYTES>().ok_or_else(wrong)?;
    if hash.len() != size {
        return Err(wrong());
    }
    Ok((*salt, Output::<D>::clone_from_slice(hash)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::user::hash_password;

    fn rabbitmq<D: Digest>(salt: [u8; 4], password: &str) -> String {
        let hash = D::new().chain_update(salt).chain_update(password).finalize();
        STANDARD.encode([&salt[..], &hash].concat())
    }

    #[test]
    fn the_hash_in_rabbitmqs_documentation_is_right() {
        // Passwords and Hashing: "test12" with the salt 908DC60A.
        let hash = imported(RABBITMQ_SHA256, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
        let hash = hash.unwrap();
        assert!(matches(&hash, b"test12"));
        assert!(!matches(&hash, b"test13"));
    }

    #[test]
    fn all_algorithms_go_in_and_out() {
        let argon2id = hash_password(b"pw").unwrap();
        let hashes = [
            (ARGON2ID, argon2id),
            (RABBITMQ_SHA256, rabbitmq::<Sha256>([1, 2, 3, 4], "pw")),
            (RABBITMQ_SHA512, rabbitmq::<Sha512>([1, 2, 3, 4], "pw")),
        ];
        for (algorithm, hash) in hashes {
            let taken = imported(algorithm, &hash).unwrap();
            assert!(matches(&taken, b"pw"), "{algorithm}");
            assert!(!matches(&taken, b"wp"), "{algorithm}");
            assert_eq!(exported(&taken), (algorithm, hash.as_str()));
        }
    }

    #[test]
    fn a_user_without_a_hash_cannot_log_in() {
        let disabled = imported(RABBITMQ_SHA256, "").unwrap();
        assert!(!matches(&disabled, b""));
    }

    #[test]
    fn the_decoy_is_a_hash_like_ours() {
        let parameters = |text| argon2::Params::try_from(&argon2::PasswordHash::new(text).unwrap());
        let ours = hash_password(b"pw").unwrap();
        assert_eq!(parameters(DECOY).unwrap(), parameters(&ours).unwrap());
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for (algorithm, hash, part) in [
            ("rabbit_password_hashing_md5", "x", "rabbit_password_hashing_sha256"),
            (RABBITMQ_SHA256, "%", "base64"),
            (RABBITMQ_SHA256, "AAAA", "expected 36"),
            (RABBITMQ_SHA512, "AAAA", "expected 68"),
            (ARGON2ID, "secret", "$argon2id$"),
        ] {
            let text = imported(algorithm, hash).unwrap_err();
            assert!(text.contains(part), "{text}");
        }
    }
}
