//! Which method does what; those that only a broker may send are refused.

use super::Channel;
use crate::command::Command;
use crate::model::{Closure, Fault};
use crate::session::ChannelContext;
use crate::session::{AwaitedReply, MethodId};
use forebay_wire::method::{BasicRecoverOk, ChannelFlowOk};
use forebay_wire::{Method, ReplyCode};

impl Channel {
    /// All but the two that matter for speed.
    pub(super) fn handle_other_method(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: Method,
    ) -> Result<(), Fault> {
        let id = MethodId::of(&method);
        match method {
            Method::BasicNack(nack) => self.handle_nack(context, nack),
            Method::BasicReject(reject) => self.handle_reject(context, reject),
            Method::BasicQos(qos) => self.handle_qos(context, qos),
            Method::BasicConsume(consume) => self.handle_consume(context, id, consume),
            Method::BasicCancel(cancel) => {
                self.handle_cancel(context, id, cancel);
                Ok(())
            }
            Method::BasicGet(get) => self.handle_get(context, id, get),
            Method::BasicRecover(recover) => {
                self.recover(context, recover.requeue)?;
                context.send(self.id, &BasicRecoverOk {});
                Ok(())
            }
            Method::BasicRecoverAsync(recover) => self.recover(context, recover.requeue),
            Method::ConfirmSelect(select) => self.handle_confirm_select(context, select),
            Method::TxSelect(_) => self.handle_tx_select(context),
            Method::TxCommit(_) => self.handle_tx_commit(context, id),
            Method::TxRollback(_) => self.handle_tx_rollback(context),
            Method::ChannelFlow(flow) if flow.active => {
                context.send(self.id, &ChannelFlowOk { active: true });
                Ok(())
            }
            // As RabbitMQ: prefetch does what flow was meant for.
            Method::ChannelFlow(_) => {
                Err(Fault::connection(ReplyCode::NotImplemented, "active=false"))
            }
            Method::ChannelClose(_) => {
                let awaited = AwaitedReply::ChannelClosed { by_client: true };
                let (channel, closure) = (self.id, Closure::ByClient);
                context.request(self.id, id, awaited, Command::CloseChannel { channel, closure });
                Ok(())
            }
            Method::ChannelOpen(_) => {
                let text = format!("second 'channel.open' seen on channel {}", self.id);
                Err(Fault::connection(ReplyCode::ChannelError, text))
            }
            method => self.handle_topology_method(context, id, method),
        }
    }

    fn handle_topology_method(
        &mut self,
        context: &mut ChannelContext<'_>,
        id: MethodId,
        method: Method,
    ) -> Result<(), Fault> {
        match method {
            Method::ExchangeDeclare(declare) => self.handle_exchange_declare(context, id, declare),
            Method::ExchangeDelete(delete) => self.handle_exchange_delete(context, id, delete),
            Method::ExchangeBind(bind) => self.handle_exchange_bind(context, id, bind),
            Method::ExchangeUnbind(unbind) => self.handle_exchange_unbind(context, id, unbind),
            Method::QueueDeclare(declare) => self.handle_queue_declare(context, id, declare),
            Method::QueueBind(bind) => self.handle_queue_bind(context, id, bind),
            Method::QueueUnbind(unbind) => self.handle_queue_unbind(context, id, unbind),
            Method::QueuePurge(purge) => self.handle_queue_purge(context, id, purge),
            Method::QueueDelete(delete) => self.handle_queue_delete(context, id, delete),
            method => {
                let text = format!("'{}' is not for clients to send", method.name());
                Err(Fault::connection(ReplyCode::CommandInvalid, text))
            }
        }
    }
}
