//! Who may come in: users, passwords, what slows down whoever guesses.

pub mod authenticator;
pub(crate) mod first_user;
pub mod login_memory;
pub mod login_sources;
pub mod password;
pub(crate) mod password_memory;
pub mod user;
