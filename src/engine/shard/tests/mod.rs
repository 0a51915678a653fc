//! What users rely on, asked of a shard with a store: by scenario, and by random operations
//! against a naive model.

mod ages;
mod backlogs;
mod bounds;
mod broker;
mod browsing;
mod counters;
mod damaged;
mod dead_letters;
mod deduplication;
mod delayed;
mod delayed_model;
mod fleet;
mod hanging;
mod isolation;
mod limits;
mod lost_content;
mod memory;
mod model;
mod order;
mod policies;
mod protection;
mod quarantine;
mod queues;
mod removals;
mod replies;
mod reports;
mod rereading;
mod rules;
mod scene;
mod shared_bodies;
mod steps;
mod store;
mod timing;
mod transactions;
mod work;
