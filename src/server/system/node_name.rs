//! The name of this node, for tools that know RabbitMQ's `rabbit@HOST`: the same over HTTP and in metrics.

use std::sync::LazyLock;

static NAME: LazyLock<String> = LazyLock::new(|| {
    let machine = rustix::system::uname();
    format!("forebay@{}", machine.nodename().to_string_lossy())
});

/// `forebay@HOST`, HOST being the name that the machine has at the start.
pub(crate) fn node_name() -> &'static str {
    &NAME
}
