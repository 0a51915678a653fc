//! Acknowledgements of deliveries: ack, nack, reject, recover (AMQP 0-9-1, 1.8.3.12 to 1.8.3.16,
//! and RabbitMQ's `basic.nack`).

use super::settling::{settle, settle_all};
use super::unacked::Unacked;
use super::{Channel, Mode, Turn};
use crate::command::{Refusal, Settlement};
use crate::fault::Fault;
use crate::ids::DeliveryTag;
use forebay_wire::ReplyCode;
use forebay_wire::method::{BasicAck, BasicNack, BasicReject};

impl Channel {
    pub(super) fn handle_ack(&mut self, turn: &mut Turn<'_>, ack: BasicAck) -> Result<(), Fault> {
        self.settle(turn, DeliveryTag(ack.delivery_tag), ack.multiple, Settlement::Ack)
    }

    pub(super) fn handle_nack(
        &mut self,
        turn: &mut Turn<'_>,
        nack: BasicNack,
    ) -> Result<(), Fault> {
        let settlement = failed(nack.requeue, Refusal::Nack);
        self.settle(turn, DeliveryTag(nack.delivery_tag), nack.multiple, settlement)
    }

    pub(super) fn handle_reject(
        &mut self,
        turn: &mut Turn<'_>,
        reject: BasicReject,
    ) -> Result<(), Fault> {
        let settlement = failed(reject.requeue, Refusal::Reject);
        self.settle(turn, DeliveryTag(reject.delivery_tag), false, settlement)
    }

    fn settle(
        &mut self,
        turn: &mut Turn<'_>,
        tag: DeliveryTag,
        multiple: bool,
        settlement: Settlement,
    ) -> Result<(), Fault> {
        if !multiple {
            let unacked = self.unacked.take(tag).ok_or_else(|| unknown_tag(tag))?;
            match &mut self.mode {
                Mode::Transaction(transaction) => transaction.settled.push((settlement, unacked)),
                Mode::Plain | Mode::Confirm(_) => {
                    settle(&mut turn.link.commands, self.id, settlement, unacked);
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
                settle_all(&mut turn.link.commands, self.id, settlement, &mut self.settled);
            }
        }
        Ok(())
    }

    /// `basic.recover`: everything goes back, none of it as a failure. Not part of a transaction,
    /// but what was acknowledged within one stays acknowledged.
    pub(super) fn recover(&mut self, turn: &mut Turn<'_>, requeue: bool) -> Result<(), Fault> {
        if !requeue {
            return Err(Fault::connection(ReplyCode::NotImplemented, "requeue=false"));
        }
        self.unacked.take_all(&mut self.settled);
        settle_all(&mut turn.link.commands, self.id, Settlement::Recover, &mut self.settled);
        Ok(())
    }

    /// A transaction was rolled back: its acknowledgements never happened.
    pub(super) fn put_back(&mut self, settled: Vec<(Settlement, Unacked)>) {
        self.unacked.put_back(settled.into_iter().map(|(_, unacked)| unacked));
    }
}

const fn failed(requeue: bool, refusal: Refusal) -> Settlement {
    if requeue { Settlement::Requeue(refusal) } else { Settlement::Reject }
}

fn unknown_tag(tag: DeliveryTag) -> Fault {
    Fault::channel(ReplyCode::PreconditionFailed, format!("unknown delivery tag {tag}"))
}
