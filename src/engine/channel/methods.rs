//! Which method does what; those that only a broker may send are refused.

use super::{Channel, Turn};
use crate::command::{Closure, Command};
use crate::connection::{Expects, MethodId};
use crate::fault::Fault;
use forebay_wire::method::{BasicRecoverOk, ChannelFlowOk};
use forebay_wire::{Method, ReplyCode};

impl Channel {
    /// All but the two that matter for speed.
    pub(super) fn handle_other_method(
        &mut self,
        turn: &mut Turn<'_>,
        method: Method,
    ) -> Result<(), Fault> {
        let id = MethodId::of(&method);
        match method {
            Method::BasicNack(nack) => self.handle_nack(turn, nack),
            Method::BasicReject(reject) => self.handle_reject(turn, reject),
            Method::BasicQos(qos) => self.handle_qos(turn, qos),
            Method::BasicConsume(consume) => self.handle_consume(turn, id, consume),
            Method::BasicCancel(cancel) => {
                self.handle_cancel(turn, id, cancel);
                Ok(())
            }
            Method::BasicGet(get) => self.handle_get(turn, id, get),
            Method::BasicRecover(recover) => {
                self.recover(turn, recover.requeue)?;
                turn.send(self.id, &BasicRecoverOk {});
                Ok(())
            }
            Method::BasicRecoverAsync(recover) => self.recover(turn, recover.requeue),
            Method::ConfirmSelect(select) => self.handle_confirm_select(turn, select),
            Method::TxSelect(_) => self.handle_tx_select(turn),
            Method::TxCommit(_) => self.handle_tx_commit(turn, id),
            Method::TxRollback(_) => self.handle_tx_rollback(turn),
            Method::ChannelFlow(flow) if flow.active => {
                turn.send(self.id, &ChannelFlowOk { active: true });
                Ok(())
            }
            // As RabbitMQ: prefetch does what flow was meant for.
            Method::ChannelFlow(_) => {
                Err(Fault::connection(ReplyCode::NotImplemented, "active=false"))
            }
            Method::ChannelClose(_) => {
                let expects = Expects::ChannelClosed { by_client: true };
                let (channel, closure) = (self.id, Closure::ByClient);
                turn.ask(self.id, id, expects, Command::CloseChannel { channel, closure });
                Ok(())
            }
            Method::ChannelOpen(_) => {
                let text = format!("second 'channel.open' seen on channel {}", self.id);
                Err(Fault::connection(ReplyCode::ChannelError, text))
            }
            method => self.handle_topology_method(turn, id, method),
        }
    }

    fn handle_topology_method(
        &mut self,
        turn: &mut Turn<'_>,
        id: MethodId,
        method: Method,
    ) -> Result<(), Fault> {
        match method {
            Method::ExchangeDeclare(declare) => self.handle_exchange_declare(turn, id, declare),
            Method::ExchangeDelete(delete) => self.handle_exchange_delete(turn, id, delete),
            Method::ExchangeBind(bind) => self.handle_exchange_bind(turn, id, bind),
            Method::ExchangeUnbind(unbind) => self.handle_exchange_unbind(turn, id, unbind),
            Method::QueueDeclare(declare) => self.handle_queue_declare(turn, id, declare),
            Method::QueueBind(bind) => self.handle_queue_bind(turn, id, bind),
            Method::QueueUnbind(unbind) => self.handle_queue_unbind(turn, id, unbind),
            Method::QueuePurge(purge) => self.handle_queue_purge(turn, id, purge),
            Method::QueueDelete(delete) => self.handle_queue_delete(turn, id, delete),
            method => {
                let text = format!("'{}' is not for clients to send", method.name());
                Err(Fault::connection(ReplyCode::CommandInvalid, text))
            }
        }
    }
}
