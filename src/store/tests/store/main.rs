//! What a user of the store relies on, over its public face and real files.

mod drain;
mod kill;
mod workload;
