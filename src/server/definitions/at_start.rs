//! The file of definitions that the configuration names (`load_definitions`).

use super::{ReadOptions, import, read, warnings_of_users};
use crate::config::settings::Settings;
use crate::shard::shard_link::ShardLink;
use crate::start_error::StartError;
use arc_swap::ArcSwap;
use forebay_engine::topology::Topology;
use forebay_wire::ShortStr;
use std::io;

/// What the file says is there before the first client is.
pub(crate) async fn load_definitions(
    link: &ShardLink,
    catalogue: &ArcSwap<Topology>,
    settings: &Settings,
) -> Result<(), StartError> {
    let Some(path) = &settings.load_definitions else { return Ok(()) };
    let (file, owned) = (path.to_owned(), path.to_owned());
    let reading = tokio::task::spawn_blocking(move || read(&owned, ReadOptions::default()));
    let read = reading.await.map_err(io::Error::other)??;
    for ignored in &read.ignored {
        let ignored = ignored.escape_debug();
        tracing::warn!("definitions {}: {ignored} has no meaning here", file.display());
    }
    let hidden = settings.users.iter().map(|user| &user.name);
    for warning in warnings_of_users(&read.definitions, &hidden.collect::<Vec<_>>()) {
        tracing::warn!("definitions {}: {warning}", file.display());
    }
    let count = read.definitions.len();
    let catalogue = catalogue.load().snapshot();
    let imported = import(link, catalogue, ShortStr::default(), read.definitions);
    match imported.await {
        Ok(()) => {
            tracing::info!("{count} definitions of {} are there", file.display());
            Ok(())
        }
        Err(error) => Err(StartError::Definitions { path: file, error }),
    }
}
