//! The page in the browser (`forebay_console`): its files at `/`, log-in by the broker's users with a
//! session of its own, and what it shows live. What it does goes through the same `/api` as every other
//! client's requests; the session's cookie stands for name and password there.

mod access;
mod audit;
mod files;
mod live;
mod login;
pub(super) mod page_sessions;
pub(super) mod past;
pub(super) mod recent_figures;
mod route;
pub(super) mod router;
mod trails;
