//! The configuration: what a file, the environment and flags say, and what follows from it.

pub mod amount;
pub mod config_file;
pub mod config_log;
pub mod config_time;
pub mod config_value;
mod configured_users;
pub(crate) mod derived;
pub mod lag_defaults;
pub mod otlp;
pub mod product;
pub mod queue_defaults;
pub mod rabbitmq_defaults;
pub mod reload;
pub mod settings;
pub mod settings_error;
