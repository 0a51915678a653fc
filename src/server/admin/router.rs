//! The routes of the admin listener: which handler answers which path.

use super::api_error::ApiError;
use super::context::Admin;
use super::{
    absent, bindings, channels, connections, console, consumers, cross_origin, dead_letters,
    definitions, delayed, exchanges, health, limits, logins, messages, nodes, overview, parameters,
    parked, past_lag, permissions, policies, queue_pause, queues, schedules, trace, users, vhosts,
};
use crate::limits::ADMIN_REQUEST_DURATION_MAX;
use crate::net::http_listener::{HttpListener, serve_http};
use axum::Router;
use axum::extract::Request;
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn, map_request};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use tokio::time::timeout;

/// Serves until the task is dropped.
pub async fn serve(admin: Admin, listener: HttpListener) {
    let router = console::router::around(router(), &admin)
        .layer(from_fn(cross_origin::refuse))
        .layer(from_fn(in_time));
    // Outside of the router, which chooses the handler by what is left.
    let router = Router::new().fallback_service(router).layer(map_request(without_last_slash));
    tokio::select! {
        () = serve_http(listener, router) => {}
        () = console::past::follow_rates(admin) => {}
    }
}

fn router() -> Router<Admin> {
    Router::new()
        .merge(objects())
        .merge(operators())
        .merge(broker())
        .merge(our_own())
        .merge(console::router::routes())
        .fallback(async || ApiError::not_found("Not Found"))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            ApiError::MethodNotAllowed(format!("{method} is no method of {}", uri.path()))
        })
}

/// `/api/queues/` is `/api/queues`, as in RabbitMQ.
async fn without_last_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let path = uri.path().trim_end_matches('/');
    if path.len() < uri.path().len() && !path.is_empty() {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(uri) = format!("{path}{query}").parse() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// What clients of a virtual host work with.
fn objects() -> Router<Admin> {
    let queue = get(queues::show).put(queues::declare).delete(queues::delete);
    let exchange = get(exchanges::show).put(exchanges::declare).delete(exchanges::delete);
    let bind_queue = get(bindings::between_queue).post(bindings::bind_queue);
    let bind_exchange = get(bindings::between_exchanges).post(bindings::bind_exchange);
    let queue_binding = get(bindings::one_of_queue).delete(bindings::unbind_queue);
    let exchange_binding = get(bindings::one_of_exchange).delete(bindings::unbind_exchange);
    Router::new()
        .route("/api/queues", get(queues::list))
        .route("/api/queues/{vhost}", get(queues::list_of_vhost))
        .route("/api/queues/{vhost}/{name}", queue)
        .route("/api/queues/{vhost}/{name}/contents", delete(messages::purge))
        .route("/api/queues/{vhost}/{name}/get", post(messages::get))
        .route("/api/queues/{vhost}/{name}/actions", post(queues::act))
        .route("/api/queues/{vhost}/{name}/accept-normal", post(queues::accept_normal))
        .route("/api/queues/{vhost}/{name}/pause", post(queue_pause::pause))
        .route("/api/queues/{vhost}/{name}/resume", post(queue_pause::resume))
        .route("/api/queues/{vhost}/{name}/delayed", get(delayed::list).delete(delayed::cancel_all))
        .route("/api/queues/{vhost}/{name}/delayed/now", post(delayed::deliver_all))
        .route("/api/queues/{vhost}/{name}/delayed/{id}", delete(delayed::cancel))
        .route("/api/queues/{vhost}/{name}/delayed/{id}/now", post(delayed::deliver))
        .route("/api/queues/{vhost}/{name}/trace", get(trace::show))
        .route("/api/queues/{vhost}/{name}/bindings", get(bindings::of_queue))
        .route("/api/exchanges", get(exchanges::list))
        .route("/api/exchanges/{vhost}", get(exchanges::list_of_vhost))
        .route("/api/exchanges/{vhost}/{name}", exchange)
        .route("/api/exchanges/{vhost}/{name}/publish", post(messages::publish))
        .route("/api/exchanges/{vhost}/{name}/bindings/source", get(bindings::from_exchange))
        .route("/api/exchanges/{vhost}/{name}/bindings/destination", get(bindings::to_exchange))
        .route("/api/bindings", get(bindings::list))
        .route("/api/bindings/{vhost}", get(bindings::list_of_vhost))
        .route("/api/bindings/{vhost}/e/{source}/q/{name}", bind_queue)
        .route("/api/bindings/{vhost}/e/{source}/e/{name}", bind_exchange)
        .route("/api/bindings/{vhost}/e/{source}/q/{name}/{key}", queue_binding)
        .route("/api/bindings/{vhost}/e/{source}/e/{name}/{key}", exchange_binding)
        .route("/api/consumers", get(consumers::list))
        .route("/api/consumers/{vhost}", get(consumers::list_of_vhost))
        .route("/api/connections", get(connections::list))
        .route("/api/connections/{name}", get(connections::show).delete(connections::close))
        .route("/api/connections/{name}/channels", get(channels::list_of_connection))
        .route(
            "/api/connections/username/{user}",
            get(connections::list_of_user).delete(connections::close_of_user),
        )
        .route("/api/vhosts/{vhost}/connections", get(connections::list_of_vhost))
        .route("/api/channels", get(channels::list))
        .route("/api/channels/{name}", get(channels::show))
        .route("/api/vhosts/{vhost}/channels", get(channels::list_of_vhost))
}

/// What operators work with.
fn operators() -> Router<Admin> {
    let user = get(users::show).put(users::put).delete(users::delete);
    let permission = get(permissions::show).put(permissions::put).delete(permissions::delete);
    let policy = get(policies::show).put(policies::put).delete(policies::delete);
    let operator_policy = get(policies::show_operators)
        .put(policies::put_operators)
        .delete(policies::delete_operators);
    Router::new()
        .route("/api/vhosts", get(vhosts::list))
        .route("/api/vhosts/{vhost}", get(vhosts::show).put(vhosts::put).delete(vhosts::delete))
        .route("/api/vhosts/{vhost}/permissions", get(permissions::of_vhost))
        .route("/api/vhost-limits", get(limits::of_vhosts))
        .route("/api/vhost-limits/{vhost}", get(limits::of_vhost))
        .route(
            "/api/vhost-limits/{vhost}/{name}",
            put(limits::set_of_vhost).delete(limits::clear_of_vhost),
        )
        .route("/api/user-limits", get(limits::of_users))
        .route("/api/user-limits/{user}", get(limits::of_user))
        .route(
            "/api/user-limits/{user}/{name}",
            put(limits::set_of_user).delete(limits::clear_of_user),
        )
        .route("/api/users", get(users::list))
        .route("/api/users/{name}", user)
        .route("/api/users/{name}/permissions", get(permissions::of_user))
        .route("/api/permissions", get(permissions::list))
        .route("/api/permissions/{vhost}/{user}", permission)
        .route("/api/policies", get(policies::list))
        .route("/api/policies/{vhost}", get(policies::list_of_vhost))
        .route("/api/policies/{vhost}/{name}", policy)
        .route("/api/operator-policies", get(policies::list_operators))
        .route("/api/operator-policies/{vhost}", get(policies::list_operators_of_vhost))
        .route("/api/operator-policies/{vhost}/{name}", operator_policy)
        .route("/api/parameters", get(parameters::list))
        .route("/api/parameters/{component}", get(parameters::of_component))
        .route("/api/parameters/{component}/{vhost}", get(parameters::of_vhost))
        .route(
            "/api/parameters/{component}/{vhost}/{name}",
            get(parameters::show).put(parameters::put).delete(parameters::delete),
        )
        .route("/api/definitions", get(definitions::export).post(definitions::import))
        .route(
            "/api/definitions/{vhost}",
            get(definitions::export_vhost).post(definitions::import_vhost),
        )
        .route("/api/aliveness-test/{vhost}", get(health::aliveness))
        .route("/api/health/checks/alarms", get(health::alarms))
        .route("/api/health/checks/local-alarms", get(health::alarms))
        .route("/api/health/checks/virtual-hosts", get(health::well))
        .route("/api/health/checks/node-is-quorum-critical", get(health::replicas))
        .route("/api/health/checks/node-is-mirror-sync-critical", get(health::replicas))
        .route(
            "/api/health/checks/certificate-expiration/{within}/{unit}",
            get(health::certificates),
        )
        .route("/api/healthchecks/node", get(health::well))
        .route("/api/healthchecks/node/{name}", get(health::node))
        .route("/api/health/checks/port-listener/{port}", get(health::port))
        .route("/api/health/checks/protocol-listener/{protocol}", get(health::protocol))
}

/// The broker itself, and what there is none of.
fn broker() -> Router<Admin> {
    Router::new()
        .route("/api/overview", get(overview::overview))
        .route("/api/whoami", get(overview::whoami))
        .route("/api/nodes", get(nodes::list))
        .route("/api/nodes/{name}", get(nodes::show))
        .route("/api/extensions", get(overview::nothing))
        .route("/api/feature-flags", get(overview::nothing))
        .route("/api/deprecated-features", get(overview::nothing))
        .route("/api/deprecated-features/used", get(overview::nothing))
        .route("/api/auth", get(overview::auth))
        .route("/api/rebalance/queues", post(nodes::rebalance))
        .route("/api/vhosts/{vhost}/start/{node}", post(nodes::start_vhost))
        .route("/api/cluster-name", get(overview::cluster_name))
        .route(
            "/api/auth/attempts/{node}",
            get(logins::by_protocol).delete(logins::reset_by_protocol),
        )
        .route(
            "/api/auth/attempts/{node}/source",
            get(logins::by_source).delete(logins::reset_by_source),
        )
        .route("/api/global-parameters", get(overview::nothing))
        .route(
            "/api/global-parameters/{name}",
            get(absent::global_parameter)
                .put(absent::put_global_parameter)
                .delete(absent::global_parameter),
        )
        .route("/api/topic-permissions", get(overview::nothing))
        .route(
            "/api/topic-permissions/{vhost}/{user}",
            get(overview::nothing)
                .put(absent::put_topic_permission)
                .delete(absent::delete_topic_permission),
        )
        .route("/api/vhosts/{vhost}/topic-permissions", get(overview::nothing))
        .route("/api/users/{name}/topic-permissions", get(overview::nothing))
        .route("/api/users/without-permissions", get(users::without_permissions))
        .route("/api/users/bulk-delete", post(users::bulk_delete))
}

/// What RabbitMQ has no call for.
fn our_own() -> Router<Admin> {
    let redrive = get(dead_letters::show_redrive)
        .post(dead_letters::redrive)
        .delete(dead_letters::stop_redrive);
    let schedule = get(schedules::show).put(schedules::put).delete(schedules::delete);
    Router::new()
        .route("/api/forebay/lag/{vhost}/{queue}", get(past_lag::show))
        .route("/api/schedules", get(schedules::list))
        .route("/api/schedules/{vhost}", get(schedules::list_of_vhost))
        .route("/api/schedules/{vhost}/{name}", schedule)
        .route("/api/schedules/{vhost}/{name}/run", post(schedules::run))
        .route("/api/schedules/{vhost}/{name}/pause", post(schedules::pause))
        .route("/api/schedules/{vhost}/{name}/resume", post(schedules::resume))
        .route("/api/forebay/dead-letters", get(dead_letters::list))
        .route("/api/forebay/dead-letters/{vhost}", get(dead_letters::list_of_vhost))
        .route("/api/forebay/dead-letters/{vhost}/{queue}", get(dead_letters::show))
        .route("/api/forebay/parked/{vhost}/{queue}/peek", post(parked::peek))
        .route("/api/forebay/dead-letters/{vhost}/{queue}/peek", post(dead_letters::peek))
        .route("/api/forebay/dead-letters/{vhost}/{queue}/redrive", redrive)
}

/// A request that takes too long is given up; what it asked of the shard goes on.
async fn in_time(request: Request, next: Next) -> Response {
    match timeout(ADMIN_REQUEST_DURATION_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let text = format!("not done within {} s", ADMIN_REQUEST_DURATION_MAX.as_secs());
            ApiError::Unavailable(text).into_response()
        }
    }
}
