//! `/api/nodes`: the one node, as those who watch machines ask for it.

use super::api_error::ApiError;
use super::caller::{Administrator, Caller};
use super::console::recent_figures::Watched;
use super::context::Admin;
use super::extract::Path;
use super::names::short;
use super::overview::{CHURN, exchange_types};
use super::reply::{json_reply, no_content};
use crate::metrics::process;
use crate::system::alarms::Alarm;
use crate::system::node_name::node_name;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

pub(super) async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    watched: Option<Extension<Watched>>,
) -> Result<Response, ApiError> {
    caller.check_monitoring()?;
    Ok(json_reply(&json!([admin.node(watched.is_some()).await?])))
}

pub(super) async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    caller.check_monitoring()?;
    check_node(&name)?;
    Ok(json_reply(&admin.node(false).await?))
}

/// Virtual hosts run as long as the broker does.
pub(super) async fn start_vhost(
    State(admin): State<Admin>,
    Administrator(caller): Administrator,
    Path((vhost, node)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    caller.check_sees(&admin, &short("vhost", &vhost)?)?;
    check_node(&node)?;
    Ok(no_content())
}

/// There is no other node that a queue could move to.
pub(super) async fn rebalance(_: Administrator) -> Result<Response, ApiError> {
    Ok(no_content())
}

/// # Errors
/// 404 for every other name.
pub(super) fn check_node(name: &str) -> Result<(), ApiError> {
    if name == node_name() {
        return Ok(());
    }
    Err(ApiError::not_found(format!("no node '{name}', there is '{}' only", node_name())))
}

impl Admin {
    async fn node(&self, is_watched: bool) -> Result<Value, ApiError> {
        let turnover = self.queue_figures(is_watched).await?.turnover;
        let data_dir = self.inner.data_dir.clone();
        // A file system that hangs must not hold up a thread that serves clients.
        let usage = tokio::task::spawn_blocking(move || process::usage(&data_dir)).await;
        let usage = usage.map_err(|error| ApiError::Unavailable(error.to_string()))?;
        let alarms = &self.inner.alarms;
        let limits = alarms.limits();
        let runtime = tokio::runtime::Handle::current().metrics();
        let uptime = self.inner.started.elapsed().as_millis();
        let mut node = json!({
            "applications": [{
                "description": "the broker",
                "name": "forebay",
                "version": env!("CARGO_PKG_VERSION"),
            }],
            "auth_mechanisms": self.auth_mechanisms(),
            "being_drained": false,
            "cluster_links": [],
            "contexts": self.contexts(),
            "db_dir": self.inner.data_dir,
            "disk_free": usage.disk_free,
            "disk_free_alarm": alarms.is_raised(Alarm::Disk),
            "disk_free_limit": limits.disk_free_min,
            "enabled_plugins": [],
            "exchange_types": exchange_types(),
            "fd_total": usage.files_max,
            "fd_used": usage.files,
            // To standard output, which its supervisor keeps.
            "log_files": [],
            "mem_alarm": alarms.is_raised(Alarm::Memory),
            "mem_calculation_strategy": "rss",
            "mem_limit": limits.memory_max,
            "mem_used": usage.memory,
            "name": node_name(),
            "os_pid": std::process::id().to_string(),
            "partitions": [],
            // Threads: what the system limits here as it limits Erlang's processes there.
            "proc_total": usage.threads_max,
            "proc_used": usage.threads,
            "processors": std::thread::available_parallelism().ok(),
            "rates_mode": "basic",
            "run_queue": runtime.global_queue_depth(),
            "running": true,
            "sockets_total": crate::system::open_files::connections_max(),
            "sockets_used": self.link().connections.counts().0,
            "type": "disc",
            "uptime": u64::try_from(uptime).unwrap_or(u64::MAX),
        });
        // What the system does not tell is left out.
        if let Some(node) = node.as_object_mut() {
            node.retain(|_, value| !value.is_null());
        }
        let counts = self.broker_counts(&turnover);
        self.broker_figures(&counts, &CHURN).add_to(&mut node);
        Ok(node)
    }

    /// How clients can log in.
    fn auth_mechanisms(&self) -> Value {
        let external = self.inner.tls.is_some().then_some(("EXTERNAL", "by client certificate"));
        let by_password = [("AMQPLAIN", "by password, in a table"), ("PLAIN", "by password")];
        let mechanisms = by_password.into_iter().chain(external);
        let described = mechanisms.map(|(name, description)| {
            json!({ "description": description, "enabled": true, "name": name })
        });
        described.collect()
    }
}
