//! What connections work by: where messages go, and who may do what.

use crate::access::AccessSnapshot;
use crate::topology::Routes;

/// Routes and access of one moment; the broker may already have changed. A copy costs a few reference
/// counts. Both are published together, so that a connection never sees one without the other.
#[derive(Clone, Debug, Default)]
pub struct BrokerSnapshot {
    /// Where messages go.
    pub routes: Routes,
    /// Users, permissions and limits.
    pub access: AccessSnapshot,
}
