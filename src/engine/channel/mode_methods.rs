//! Confirm and transaction modes: confirm.select and class tx (AMQP 0-9-1, 1.9).

use super::confirms::ConfirmTracker;
use super::publishes::RoutedTransaction;
use super::transaction::Transaction;
use super::{Channel, Mode};
use crate::command::Command;
use crate::model::Fault;
use crate::session::ChannelContext;
use crate::session::{AwaitedReply, MethodId};
use forebay_wire::method::{ConfirmSelect, ConfirmSelectOk, TxCommitOk, TxRollbackOk, TxSelectOk};
use forebay_wire::{ReplyCode, SendBuffer};

impl Channel {
    pub(super) fn handle_confirm_select(
        &mut self,
        context: &mut ChannelContext<'_>,
        select: ConfirmSelect,
    ) -> Result<(), Fault> {
        match &self.mode {
            Mode::Plain => {
                self.mode = Mode::Confirm(ConfirmTracker::after(self.published_to));
                context.outputs.channels_changed = true;
            }
            Mode::Confirm(_) => {}
            Mode::Transaction(_) => {
                return Err(precondition("cannot switch from tx to confirm mode"));
            }
        }
        if !select.no_wait {
            context.send(self.id, &ConfirmSelectOk {});
        }
        Ok(())
    }

    pub(super) fn handle_tx_select(
        &mut self,
        context: &mut ChannelContext<'_>,
    ) -> Result<(), Fault> {
        match &self.mode {
            Mode::Plain => {
                self.mode = Mode::Transaction(Transaction::default());
                context.outputs.channels_changed = true;
            }
            Mode::Transaction(_) => {}
            Mode::Confirm(_) => {
                return Err(precondition("cannot switch from confirm to tx mode"));
            }
        }
        context.send(self.id, &TxSelectOk {});
        Ok(())
    }

    pub(super) fn handle_tx_commit(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
    ) -> Result<(), Fault> {
        let Mode::Transaction(transaction) = &mut self.mode else {
            return Err(precondition("channel is not transactional"));
        };
        let contents = std::mem::take(&mut transaction.publishes);
        transaction.publishes_size = 0;
        let settles = transaction.take_settles(self.id);
        let RoutedTransaction { publishes, replies, returns, .. } =
            self.route_transaction(context, contents)?;
        if let Mode::Transaction(transaction) = &mut self.mode {
            transaction.returns = returns;
        }
        if publishes.is_empty() && settles.is_empty() && replies.is_empty() {
            self.return_unroutable(&mut context.outputs.output, context.info.tuned.frame_size_max);
            context.send(self.id, &TxCommitOk {});
            return Ok(());
        }
        let command = Command::CommitTransaction { channel: self.id, publishes, settles, replies };
        context.request(self.id, method, AwaitedReply::Committed, command);
        Ok(())
    }

    pub(super) fn handle_tx_rollback(
        &mut self,
        context: &mut ChannelContext<'_>,
    ) -> Result<(), Fault> {
        let Mode::Transaction(transaction) = &mut self.mode else {
            return Err(precondition("channel is not transactional"));
        };
        let undone = std::mem::take(transaction);
        self.put_back(undone.settled);
        context.send(self.id, &TxRollbackOk {});
        Ok(())
    }

    /// The mandatory messages of a committed transaction that no queue took.
    pub(crate) fn return_unroutable(&mut self, output: &mut SendBuffer, frame_size_max: u32) {
        if let Mode::Transaction(transaction) = &mut self.mode {
            for unroutable in transaction.returns.drain(..) {
                unroutable.write(output, self.id, frame_size_max);
            }
        }
    }
}

fn precondition(text: &str) -> Fault {
    Fault::channel(ReplyCode::PreconditionFailed, text)
}
