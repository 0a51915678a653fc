//! Acknowledgements of deliveries: ack, nack, reject, recover (AMQP 0-9-1, 1.8.3.12 to 1.8.3.16,
//! and RabbitMQ's `basic.nack`).

use super::settle_commands::{settle, settle_all};
use super::unacked::Unacked;
use super::{Channel, Mode};
use crate::model::{DeliveryTag, Fault, RequeueMethod, Settlement};
use crate::session::ChannelContext;
use forebay_wire::ReplyCode;
use forebay_wire::method::{BasicAck, BasicNack, BasicReject};

impl Channel {
    pub(super) fn handle_ack(
        &mut self,
        context: &mut ChannelContext<'_>,
        ack: BasicAck,
    ) -> Result<(), Fault> {
        self.settle(context, DeliveryTag(ack.delivery_tag), ack.multiple, Settlement::Ack)
    }

    pub(super) fn handle_nack(
        &mut self,
        context: &mut ChannelContext<'_>,
        nack: BasicNack,
    ) -> Result<(), Fault> {
        let settlement = failed(nack.requeue, RequeueMethod::Nack);
        self.settle(context, DeliveryTag(nack.delivery_tag), nack.multiple, settlement)
    }

    pub(super) fn handle_reject(
        &mut self,
        context: &mut ChannelContext<'_>,
        reject: BasicReject,
    ) -> Result<(), Fault> {
        let settlement = failed(reject.requeue, RequeueMethod::Reject);
        self.settle(context, DeliveryTag(reject.delivery_tag), false, settlement)
    }

    pub(super) fn settle(
        &mut self,
        context: &mut ChannelContext<'_>,
        tag: DeliveryTag,
        multiple: bool,
        settlement: Settlement,
    ) -> Result<(), Fault> {
        if !multiple {
            let unacked = self.unacked.take(tag).ok_or_else(|| unknown_tag(tag))?;
            match &mut self.mode {
                Mode::Transaction(transaction) => transaction.settled.push((settlement, unacked)),
                Mode::Plain | Mode::Confirm(_) => {
                    settle(&mut context.outputs.commands, self.id, settlement, unacked);
                }
            }
            return Ok(());
        }
        if tag == DeliveryTag(0) {
            self.unacked.take_all(&mut self.settled);
        } else {
            self.unacked.take_up_to(tag, &mut self.settled).ok_or_else(|| unknown_tag(tag))?;
        }
        match &mut self.mode {
            Mode::Transaction(transaction) => {
                let settled = self.settled.drain(..).map(|unacked| (settlement, unacked));
                transaction.settled.extend(settled);
            }
            Mode::Plain | Mode::Confirm(_) => {
                settle_all(&mut context.outputs.commands, self.id, settlement, &mut self.settled);
            }
        }
        Ok(())
    }

    /// `basic.recover`: everything goes back, none of it as a failure. Not part of a transaction,
    /// but what was acknowledged within one stays acknowledged.
    pub(super) fn recover(
        &mut self,
        context: &mut ChannelContext<'_>,
        requeue: bool,
    ) -> Result<(), Fault> {
        if !requeue {
            return Err(Fault::connection(ReplyCode::NotImplemented, "requeue=false"));
        }
        self.unacked.take_all(&mut self.settled);
        settle_all(&mut context.outputs.commands, self.id, Settlement::Recover, &mut self.settled);
        Ok(())
    }

    /// A transaction was rolled back: its acknowledgements never happened.
    pub(super) fn put_back(&mut self, settled: Vec<(Settlement, Unacked)>) {
        self.unacked.put_back(settled.into_iter().map(|(_, unacked)| unacked));
    }
}

const fn failed(requeue: bool, refusal: RequeueMethod) -> Settlement {
    if requeue { Settlement::Requeue(refusal) } else { Settlement::Reject }
}

pub(super) fn unknown_tag(tag: DeliveryTag) -> Fault {
    Fault::channel(ReplyCode::PreconditionFailed, format!("unknown delivery tag {tag}"))
}
