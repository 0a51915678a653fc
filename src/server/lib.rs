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
pub mod auth;
pub mod broker;
pub mod config;
pub mod connection;
pub mod damaged_data;
pub mod definitions;
pub mod failure;
pub mod lag;
pub mod limits;
pub mod metrics;
pub mod net;
pub mod otlp;
pub mod shard;
pub mod start_error;
pub mod system;
pub mod tls;

pub use broker::Broker;
pub use config::rabbitmq_defaults::RabbitmqDefaults;
pub use config::settings::{Overrides, Settings};
pub use failure::Failure;
pub use start_error::StartError;
