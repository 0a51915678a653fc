//! The page in the browser (`forebay_console`): its files at `/`, log-in by the broker's users with a
//! session of its own, and what it shows live. What it does goes through the same `/api` as every other
//! client's requests; the session's cookie stands for name and password there.

mod access;
mod audit;
mod files;
mod live;
mod login;
mod page_sessions;
mod past;
mod recent_figures;
mod route;
mod trails;

use super::context::Admin;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
pub(super) use page_sessions::Console;
pub(super) use past::follow_rates;
pub(super) use recent_figures::Watched;

/// The files, and what the page asks for beside what RabbitMQ's API has.
pub(super) fn routes() -> Router<Admin> {
    let session = get(login::show).post(login::open).delete(login::end);
    let files = forebay_console::files::all().iter();
    let files =
        files.fold(Router::new(), |router, file| router.route(file.path, get(files::serve)));
    files
        .route("/api/forebay/session", session)
        .route("/api/forebay/past", post(past::show))
        .route("/api/forebay/access/{vhost}/{kind}/{name}", get(access::show))
        .route("/api/forebay/route/{vhost}/{exchange}", post(route::show))
}

/// All of the listener's routes, with what the page needs around them.
pub(super) fn around(router: Router<Admin>, admin: &Admin) -> Router {
    let watched: Router = router.clone().with_state(admin.clone());
    let live = get(move |admin, caller, query, request| {
        live::stream(admin, caller, query, request, watched)
    });
    let router = router.route("/api/forebay/live", live);
    router.layer(from_fn_with_state(admin.clone(), audit::follow)).with_state(admin.clone())
}
