//! The routes that the page has beside the API's, and what stands around all routes for its sake.

use super::super::context::Admin;
use super::{access, audit, files, live, login, past, route};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

/// The files, and what the page asks for beside what RabbitMQ's API has.
pub(in super::super) fn routes() -> Router<Admin> {
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
pub(in super::super) fn around(router: Router<Admin>, admin: &Admin) -> Router {
    let watched: Router = router.clone().with_state(admin.clone());
    let live = get(move |admin, caller, query, request| {
        live::stream(admin, caller, query, request, watched)
    });
    let router = router.route("/api/forebay/live", live);
    router.layer(from_fn_with_state(admin.clone(), audit::follow)).with_state(admin.clone())
}
