//! One task for each AMQP connection, and what is kept of all of them.

pub(crate) mod connection_about;
pub mod connection_limits;
pub mod connection_task;
pub(crate) mod connection_traffic;
pub mod connections;
pub mod publish_budget;
pub mod publish_pace;
