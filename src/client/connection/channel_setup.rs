//! Opening a channel and bringing it to what its role needs, the first time and every other.

use forebay_wire::{
    ShortStr,
    method::{BasicConsume, BasicQos, ChannelOpen, ConfirmSelect},
};

use crate::{
    Error, Loss, connection::shared::Shared, session::channel::Role, session::inbox::ConsumeSpec,
    session::replies::REPLY_QUEUE,
};

/// What a role needs at the broker.
enum Need {
    Open,
    Confirms,
    Replies,
    Consumer(ConsumeSpec),
}

/// Opens a channel and brings it to what its role needs.
pub(crate) async fn set_up(shared: &Shared, number: u16) -> Result<(), Error> {
    let (epoch, need) = shared.with(|session| {
        let need = match session.channel(number).map(|channel| (&channel.role, &channel.replies)) {
            Some((Role::Publisher(_), None)) => Need::Confirms,
            Some((Role::Publisher(_), Some(_))) => Need::Replies,
            Some((Role::Consumer(inbox), _)) => Need::Consumer(inbox.spec.clone()),
            _ => Need::Open,
        };
        (session.epoch(number), need)
    });
    shared.request(number, ChannelOpen {}).await?;
    match need {
        Need::Open => {}
        Need::Confirms => {
            shared.request(number, ConfirmSelect { no_wait: false }).await?;
        }
        Need::Replies => {
            shared.request(number, ConfirmSelect { no_wait: false }).await?;
            let spec = ConsumeSpec::without_acks(ShortStr::from_static(REPLY_QUEUE));
            shared.request(number, consume(spec)).await?;
        }
        Need::Consumer(mut spec) => {
            let qos = BasicQos { prefetch_size: 0, prefetch_count: spec.prefetch, global: false };
            shared.request(number, qos).await?;
            spec.queue = shared.record().present_name(&spec.queue);
            shared.request(number, consume(spec)).await?;
        }
    }
    if shared.with(|session| session.handle_ready(number, epoch)) {
        Ok(())
    } else {
        Err(Error::Lost { request: "channel.open", loss: Loss::EndOfStream })
    }
}

fn consume(spec: ConsumeSpec) -> BasicConsume {
    BasicConsume {
        queue: spec.queue,
        consumer_tag: spec.tag,
        no_local: false,
        no_ack: spec.is_no_ack,
        exclusive: spec.is_exclusive,
        no_wait: false,
        arguments: spec.arguments,
    }
}
