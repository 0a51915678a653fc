//! The memory that argon2 works in: 7 MiB for each of our hashes. There is one such buffer, and
//! whoever checks or makes a hash takes turns with it; a few seconds after the last one it is given
//! back.

use crate::limits::{PASSWORD_MEMORY_IDLE_DURATION, PASSWORD_MEMORY_KIB, PASSWORD_PASSES};
use crate::system::memory_budgets::password_memory_kib_max;
use crate::system::memory_limit::MemoryLimit;
use argon2::password_hash::{self, Output, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

static BUFFER: Mutex<Buffer> = Mutex::new(Buffer { blocks: Vec::new(), used_at: None });

/// KiB that one check may take here.
static MEMORY_KIB_MAX: LazyLock<u32> = LazyLock::new(|| {
    password_memory_kib_max(MemoryLimit::read().map_or(u64::MAX, |limit| limit.bytes))
});

struct Buffer {
    blocks: Vec<Block>,
    used_at: Option<Instant>,
}

/// KiB that one check may take on this machine.
pub(crate) fn memory_kib_max() -> u32 {
    *MEMORY_KIB_MAX
}

/// Whether a password is the one of an argon2 hash. Blocks, also for those that came before.
pub(crate) fn verify(hash: &PasswordHash<'_>, password: &[u8]) -> password_hash::Result<bool> {
    let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
        return Err(password_hash::Error::Password);
    };
    let algorithm = Algorithm::try_from(hash.algorithm)?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from)?;
    let argon2 = Argon2::new(algorithm, version, Params::try_from(hash)?);
    // `Output` compares in constant time.
    Ok(output(&argon2, password, salt, expected.len())? == expected)
}

/// Makes a hash with our own parameters, in PHC form.
pub(crate) fn hash(password: &[u8], salt: &SaltString) -> password_hash::Result<String> {
    let params = Params::new(PASSWORD_MEMORY_KIB, PASSWORD_PASSES, 1, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let output = output(&argon2, password, salt.as_salt(), Params::DEFAULT_OUTPUT_LEN)?;
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: argon2.params().try_into()?,
        salt: Some(salt.as_salt()),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

/// Gives the buffer back when nobody has used it for some seconds.
pub(crate) fn free_idle() {
    let mut buffer = match BUFFER.try_lock() {
        Ok(buffer) => buffer,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // It is in use.
        Err(TryLockError::WouldBlock) => return,
    };
    if buffer.used_at.is_some_and(|used_at| used_at.elapsed() >= PASSWORD_MEMORY_IDLE_DURATION) {
        *buffer = Buffer { blocks: Vec::new(), used_at: None };
    }
}

fn output(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: Salt<'_>,
    size: usize,
) -> password_hash::Result<Output> {
    if argon2.params().m_cost() > memory_kib_max() {
        tracing::warn!(
            "a password hash asks for {} KiB of memory, of which one check may take {} here: nobody \
             can log in with it; set the password again",
            argon2.params().m_cost(),
            memory_kib_max()
        );
        return Err(password_hash::Error::Crypto);
    }
    let mut decoded = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut decoded)?;
    let mut buffer: MutexGuard<'_, Buffer> = BUFFER.lock().unwrap_or_else(PoisonError::into_inner);
    let count = argon2.params().block_count();
    // One hash with a large parameter is no reason to keep so much.
    if buffer.blocks.len() != count {
        buffer.blocks = Vec::new();
        buffer.blocks.resize(count, Block::default());
    }
    let output = Output::init_with(size, |out| {
        Ok(argon2.hash_password_into_with_memory(password, salt, out, &mut buffer.blocks)?)
    });
    buffer.used_at = Some(Instant::now());
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    #[test]
    fn hashes_are_those_that_argon2_makes_and_takes_whatever_the_buffer_held_before() {
        let salt = SaltString::encode_b64(&[7; 16]).unwrap();
        for (memory_kib, passwords) in [(64, ["a", "b"]), (128, ["b", "c"]), (32, ["", "d"])] {
            let params = Params::new(memory_kib, 2, 1, None).unwrap();
            let other = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            for password in passwords {
                let made = other.hash_password(password.as_bytes(), &salt).unwrap();
                assert!(verify(&made, password.as_bytes()).unwrap());
                assert!(!verify(&made, b"other").unwrap());
            }
        }
        let ours = hash(b"secret", &salt).unwrap();
        assert!(ours.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{ours}");
        let parsed = PasswordHash::new(&ours).unwrap();
        assert!(Argon2::default().verify_password(b"secret", &parsed).is_ok());
    }

    #[test]
    fn a_hash_that_takes_too_much_memory_is_an_error() {
        let text = "$argon2id$v=19$m=4194304,t=1,p=1$bm9ib2R5IGtub3dzIGl0$\
                    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(verify(&PasswordHash::new(text).unwrap(), b"x").is_err());
    }
}
