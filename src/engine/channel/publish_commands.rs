//! Collects publishes of a batch: consecutive messages for the same queues become one request.

use crate::command::{Command, Publish};
use crate::model::{ChannelId, Message, PublishSeq, Targets};

/// Appends to the last command when that is for the same queues and the number follows on.
pub(crate) fn publish(
    commands: &mut Vec<Command>,
    channel: ChannelId,
    confirm: Option<PublishSeq>,
    targets: Targets,
    message: Message,
) {
    if let Some(Command::Publish(open)) = commands.last_mut()
        && accepts(open, channel, confirm, &targets)
    {
        open.messages.push(message);
        return;
    }
    let messages = vec![message];
    commands.push(Command::Publish(Publish { channel, confirm, targets, messages }));
}

/// Appends to the last publish of a transaction when that is for the same queues.
pub(crate) fn publish_in_transaction(
    publishes: &mut Vec<Publish>,
    channel: ChannelId,
    targets: Targets,
    message: Message,
) {
    match publishes.last_mut() {
        Some(open) if accepts(open, channel, None, &targets) => open.messages.push(message),
        _ => {
            let messages = vec![message];
            publishes.push(Publish { channel, confirm: None, targets, messages });
        }
    }
}

fn accepts(
    open: &Publish,
    channel: ChannelId,
    confirm: Option<PublishSeq>,
    targets: &Targets,
) -> bool {
    let follows = match (open.confirm, confirm) {
        (None, None) => true,
        (Some(first), Some(seq)) => first.0 + open.messages.len() as u64 == seq.0,
        _ => false,
    };
    let same_queues = std::sync::Arc::ptr_eq(&open.targets, targets) || open.targets == *targets;
    follows && open.channel == channel && same_queues
}
