//! The page's limits by name, units last.

use std::time::Duration;

/// Sessions at once. The one that was not used for longest ends when there is one more.
pub const SESSIONS_MAX: usize = 1_000;
/// Sessions of one user at once.
pub const SESSIONS_PER_USER_MAX: usize = 50;
/// How long a session lives without a request; a page that is open and visible makes some.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(60 * 60);
/// How long a session lives.
pub const SESSION_DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const _: () = {
    assert!(SESSIONS_PER_USER_MAX <= SESSIONS_MAX);
    assert!(SESSION_IDLE_MAX.as_secs() <= SESSION_DURATION_MAX.as_secs());
};
