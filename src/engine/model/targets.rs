//! Where a message goes.

use super::QueueId;
use std::sync::Arc;

/// The queues that a message goes to: distinct, ascending. Shared by all messages of a route.
pub type Targets = Arc<[QueueId]>;
