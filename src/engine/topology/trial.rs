//! A topology on the side, in which changes are tried: it has what was brought there, and nothing is
//! stored of it.

use super::Topology;
use forebay_wire::ShortStr;

impl Topology {
    /// Brings a virtual host along, without what is in it.
    pub(crate) fn bring_vhost(&mut self, there: &Self, vhost: &ShortStr) {
        if there.vhosts.contains_key(vhost) {
            self.create_vhost(vhost);
        }
        self.operations.clear();
    }

    /// Brings the schedules of a virtual host along: it may have so many and no more.
    pub(crate) fn bring_schedules(&mut self, there: &Self, vhost: &ShortStr) {
        if let Some(from) = there.vhosts.get(vhost)
            && let Some(host) = self.vhosts.get_mut(vhost)
            && host.schedules.is_empty()
        {
            host.schedules = from.schedules.clone();
        }
    }

    /// Brings an exchange along, without its bindings.
    pub(crate) fn bring_exchange(&mut self, there: &Self, vhost: &ShortStr, name: &ShortStr) {
        if let Some(exchange) = there.exchange(vhost, name)
            && self.exchange(vhost, name).is_none()
        {
            // The broker has taken its arguments before.
            let added = self.add_exchange(exchange.clone());
            debug_assert_eq!(added, Ok(()));
        }
    }

    /// Brings a queue along, without its bindings.
    pub(crate) fn bring_queue(&mut self, there: &Self, vhost: &ShortStr, name: &ShortStr) {
        if let Some(queue) = there.find_queue(vhost, name)
            && self.find_queue(vhost, name).is_none()
        {
            self.add_queue(queue.clone());
        }
    }
}
