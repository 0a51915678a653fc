//! The admin listener: RabbitMQ's management API over HTTP, as far as tools need it.
//!
//! Reads look at a catalogue that the shard publishes beside the routes, and ask it for figures, which
//! it gathers between messages; changes of queues, exchanges, bindings and messages go through a
//! [`Session`](crate::shard::shard_link::Session), with the permissions that an AMQP client would need; changes of virtual
//! hosts, users, permissions and policies are an [`Administration`](forebay_engine::administration::Administration).

mod absent;
mod api_error;
mod attention;
mod audit;
mod bindings;
mod caller;
mod channels;
mod connections;
mod console;
mod consumers;
mod context;
mod cross_origin;
mod dead_letters;
mod definitions;
mod delayed;
mod exchanges;
mod extract;
mod figures;
mod health;
mod limits;
mod listing;
mod listing_turns;
mod login_counts;
mod logins;
mod messages;
mod names;
mod nodes;
mod overview;
mod parameters;
mod parked;
mod past_lag;
mod permissions;
mod policies;
mod queue_pause;
mod queue_settings;
mod queues;
mod redrives;
mod redriving;
mod reply;
mod request_body;
mod router;
mod schedules;
mod trace;
mod users;
mod vhosts;
mod walk;

pub use context::{Admin, Listener, Sources};
pub use router::serve;
