//! Sockets, tasks, committer, configuration and metrics of the broker.
//!
//! ```text
//! listener → connection task (one per socket) ──mailbox──→ shard task ──commit──→ committer thread → store
//!                    ↑                                      │    ↑ ↑                     │
//!                    └───────────── events ─────────────────┘    │ └── completions ──────┘
//!                                                   fetches → reader threads → store
//! ```
//! The only crate of the broker that knows tokio, files and the clock. What the protocol means is
//! the engine's; what is kept, the store's.
#![deny(missing_docs)]

pub mod admin;
pub mod alarms;
pub mod amount;
pub mod authenticator;
pub mod broker;
pub mod clock;
pub mod committer;
pub mod config_file;
pub mod config_value;
mod connection_about;
pub mod connection_task;
mod connection_traffic;
pub mod connections;
pub mod definitions;
pub mod failure;
mod first_user;
mod http_listener;
pub mod limits;
pub mod listener;
pub mod login_memory;
pub mod login_sources;
pub mod mailbox;
mod memory_budgets;
pub mod memory_limit;
pub mod metrics;
mod node_name;
pub mod open_files;
pub mod password;
mod password_memory;
pub mod places;
mod port;
mod privacy;
pub mod product;
mod proxy_protocol;
pub mod publish_budget;
pub mod publish_pace;
pub mod queue_defaults;
pub mod rabbitmq_defaults;
pub mod read_buffer;
pub mod reader_pool;
mod recovered;
pub mod refusal;
pub mod reload;
mod reports;
pub mod settings;
pub mod settings_error;
pub mod shard_task;
pub mod socket;
pub mod start_error;
pub mod tally;
pub mod timer;
pub mod tls;
pub mod user;

pub use broker::Broker;
pub use failure::Failure;
pub use rabbitmq_defaults::RabbitmqDefaults;
pub use settings::{Overrides, Settings};
pub use start_error::StartError;
