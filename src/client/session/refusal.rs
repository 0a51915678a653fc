//! Which message a broker means when it closes a publisher's channel.
//!
//! AMQP does not say it by number: the reply text names an exchange, a topic or a size. A message that it
//! names is refused; the other messages are sent again. Called by the window, whose fallback for a
//! text without a name is to send the messages one at a time.

use crate::{Fault, message::outbound::Outbound};

/// How RabbitMQ and Forebay write the default exchange.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// Whether the broker refuses this message for the reason that it gave.
pub(crate) fn names(fault: &Fault, message: &Outbound) -> bool {
    match fault.code {
        // No such exchange, or no permission to write to it or to this topic.
        403 | 404 => names_exchange(fault, message),
        // The body is above the broker's limit.
        406 => size_refused(&fault.text).is_some_and(|size| message.body.len() >= size),
        _ => false,
    }
}

fn names_exchange(fault: &Fault, message: &Outbound) -> bool {
    let exchange = match message.exchange.as_str() {
        Some("") => DEFAULT_EXCHANGE,
        Some(name) => name,
        None => return false,
    };
    let is_named = fault.text.contains(&format!("exchange '{exchange}'"));
    let is_topic = fault.text.contains("topic '");
    let key = message.routing_key.as_str().unwrap_or_default();
    is_named && (!is_topic || fault.text.contains(&format!("topic '{key}'")))
}

/// `PRECONDITION_FAILED - message size 20 is larger than configured max size 10`.
fn size_refused(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("message size ")?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    fn refused(code: u16, text: &str, message: Message) -> bool {
        let fault = Fault { code, text: text.into(), class_id: 60, method_id: 40 };
        names(&fault, &message.encode().unwrap())
    }

    #[test]
    fn the_reply_text_tells_messages_apart() {
        let missing = "NOT_FOUND - no exchange 'eu' in vhost '/'";
        assert!(refused(404, missing, Message::to_exchange("eu", "k", "")));
        assert!(!refused(404, missing, Message::to_exchange("e", "k", "")));
        assert!(!refused(404, missing, Message::to_queue("eu", "")));
        let denied = "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused";
        assert!(refused(403, denied, Message::to_queue("q", "")));
        let topic =
            "ACCESS_REFUSED - write access to topic 'a' in exchange 't' in vhost '/' refused";
        assert!(refused(403, topic, Message::to_exchange("t", "a", "")));
        assert!(!refused(403, topic, Message::to_exchange("t", "b", "")));
        let large = "PRECONDITION_FAILED - message size 5 is larger than configured max size 4";
        assert!(refused(406, large, Message::to_queue("q", "12345")));
        assert!(!refused(406, large, Message::to_queue("q", "1234")));
        assert!(!refused(541, "INTERNAL_ERROR", Message::to_queue("q", "1234")));
    }
}
