//! Figures of the shard that all pages share.

use crate::limits::CONSOLE_ROUND_INTERVAL;
use crate::shard::shard_link::{SessionError, ShardLink};
use forebay_engine::shard::ShardStatistics;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// Marks a request that is a round of a stream.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Watched;

/// Figures of the shard that all streams share.
#[derive(Debug, Default)]
pub(super) struct RecentFigures(Mutex<Option<(Instant, Arc<ShardStatistics>)>>);

impl RecentFigures {
    /// Not older than a round.
    pub(super) async fn get(&self, link: &ShardLink) -> Result<Arc<ShardStatistics>, SessionError> {
        let mut there = self.0.lock().await;
        if let Some((since, figures)) = &*there
            && since.elapsed() < CONSOLE_ROUND_INTERVAL
        {
            return Ok(Arc::clone(figures));
        }
        let figures = Arc::new(link.report(None).await?);
        *there = Some((Instant::now(), Arc::clone(&figures)));
        Ok(figures)
    }
}
