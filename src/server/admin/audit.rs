//! Lines in the log that say who took messages away or stopped them, wherever the request came from.

use super::caller::Caller;
use forebay_engine::model::ObjectName;
use forebay_wire::ShortStr;

/// Somebody did `act` to a queue; `messages` is how many it concerned, where it concerns messages.
pub(super) fn tell_of_queue(
    caller: &Caller,
    act: &str,
    vhost: &ShortStr,
    queue: &ObjectName,
    messages: Option<u64>,
) {
    let (user, vhost, queue) = (caller.name.to_string(), vhost.to_string(), queue.to_string());
    let (user, vhost, queue) = (&*user, &*vhost, &*queue);
    tracing::info!(user, act, vhost, queue, messages, "operator: change of a queue");
}
