//! Classes exchange and queue (AMQP 0-9-1, 1.6 and 1.7): requests to the shard, and what the
//! channel answers for the pseudo queue `amq.rabbitmq.reply-to`.

use super::Channel;
use super::direct_reply::REPLY_QUEUE;
use crate::command::Command;
use crate::model::{
    Binding, Destination, ExchangeDeclaration, Fault, ObjectName, QueueDeclaration, ReplyAddress,
    TopologyRequest,
};
use crate::session::ChannelContext;
use crate::session::{AwaitedReply, ConnectionInfo, MethodId};
use forebay_wire::method::{
    ExchangeBind, ExchangeBindOk, ExchangeDeclare, ExchangeDeclareOk, ExchangeDelete,
    ExchangeDeleteOk, ExchangeUnbind, ExchangeUnbindOk, QueueBind, QueueBindOk, QueueDeclare,
    QueueDeclareOk, QueueDelete, QueueDeleteOk, QueuePurge, QueueUnbind, QueueUnbindOk,
};
use forebay_wire::{Method, ReplyCode, ShortStr};

/// How generated names of queues begin, as RabbitMQ's.
const GENERATED_NAME_PREFIX: &str = "amq.gen-";

impl Channel {
    fn ask_topology(
        &self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        request: TopologyRequest,
        nowait: bool,
        awaited: AwaitedReply,
    ) -> Result<(), Fault> {
        let ConnectionInfo { user, vhost, .. } = context.info;
        context.access.permissions().check_request(user, vhost, &request)?;
        let command = Command::Topology { channel: self.id, request, nowait };
        context.request(self.id, method, awaited, command);
        Ok(())
    }

    /// The name, or the queue last declared on the channel in place of an empty one.
    pub(super) fn named_queue(&self, name: &ShortStr) -> Result<ObjectName, Fault> {
        let name = owned_name(name);
        if !name.is_empty() {
            return Ok(name);
        }
        self.last_queue
            .clone()
            .ok_or_else(|| Fault::channel(ReplyCode::NotFound, "no previously declared queue"))
    }

    /// `queue.declare` was answered.
    pub(crate) fn remember_queue(&mut self, name: &ShortStr) {
        self.last_queue = Some(owned_name(name));
    }

    pub(super) fn handle_exchange_declare(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        declare: ExchangeDeclare,
    ) -> Result<(), Fault> {
        let request = TopologyRequest::DeclareExchange(ExchangeDeclaration {
            name: owned_name(&declare.exchange),
            kind: declare.kind.detached(),
            passive: declare.passive,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: declare.arguments.detached(),
        });
        let awaited = done(declare.no_wait, ExchangeDeclareOk {});
        self.ask_topology(context, method, request, declare.no_wait, awaited)
    }

    pub(super) fn handle_exchange_delete(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        delete: ExchangeDelete,
    ) -> Result<(), Fault> {
        let request = TopologyRequest::DeleteExchange {
            name: owned_name(&delete.exchange),
            if_unused: delete.if_unused,
        };
        let awaited = done(delete.no_wait, ExchangeDeleteOk {});
        self.ask_topology(context, method, request, delete.no_wait, awaited)
    }

    pub(super) fn handle_exchange_bind(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        bind: ExchangeBind,
    ) -> Result<(), Fault> {
        let request = TopologyRequest::Bind(Binding {
            source: owned_name(&bind.source),
            destination: Destination::Exchange(owned_name(&bind.destination)),
            routing_key: bind.routing_key.detached(),
            arguments: bind.arguments.detached(),
        });
        let awaited = done(bind.no_wait, ExchangeBindOk {});
        self.ask_topology(context, method, request, bind.no_wait, awaited)
    }

    pub(super) fn handle_exchange_unbind(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        unbind: ExchangeUnbind,
    ) -> Result<(), Fault> {
        let request = TopologyRequest::Unbind(Binding {
            source: owned_name(&unbind.source),
            destination: Destination::Exchange(owned_name(&unbind.destination)),
            routing_key: unbind.routing_key.detached(),
            arguments: unbind.arguments.detached(),
        });
        let awaited = done(unbind.no_wait, ExchangeUnbindOk {});
        self.ask_topology(context, method, request, unbind.no_wait, awaited)
    }

    pub(super) fn handle_queue_declare(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        declare: QueueDeclare,
    ) -> Result<(), Fault> {
        let name = owned_name(&declare.queue);
        if declare.passive && name.is_empty() {
            let text = format!("no queue '' in vhost '{}'", context.info.vhost);
            return Err(Fault::channel(ReplyCode::NotFound, text));
        }
        if ReplyAddress::is_named_by(&name) {
            let command = Command::FindReplyAddress { channel: self.id, name };
            let awaited = AwaitedReply::QueueDeclared { no_wait: declare.no_wait };
            context.request(self.id, method, awaited, command);
            return Ok(());
        }
        if name == REPLY_QUEUE {
            if !declare.no_wait {
                let queue = name.into_short();
                let ok = QueueDeclareOk { queue, message_count: 0, consumer_count: 1 };
                context.send(self.id, &ok);
            }
            return Ok(());
        }
        let is_generated = name.is_empty();
        let request = TopologyRequest::DeclareQueue(QueueDeclaration {
            name: if is_generated { generated_name(context) } else { name },
            is_generated,
            passive: declare.passive,
            durable: declare.durable,
            exclusive: declare.exclusive,
            auto_delete: declare.auto_delete,
            arguments: declare.arguments.detached(),
        });
        let awaited = AwaitedReply::QueueDeclared { no_wait: declare.no_wait };
        self.ask_topology(context, method, request, declare.no_wait, awaited)
    }

    pub(super) fn handle_queue_bind(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        bind: QueueBind,
    ) -> Result<(), Fault> {
        let binding = self.queue_binding(bind.queue, bind.exchange, bind.routing_key)?;
        let binding = Binding { arguments: bind.arguments.detached(), ..binding };
        let awaited = done(bind.no_wait, QueueBindOk {});
        self.ask_topology(context, method, TopologyRequest::Bind(binding), bind.no_wait, awaited)
    }

    pub(super) fn handle_queue_unbind(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        unbind: QueueUnbind,
    ) -> Result<(), Fault> {
        let binding = self.queue_binding(unbind.queue, unbind.exchange, unbind.routing_key)?;
        let binding = Binding { arguments: unbind.arguments.detached(), ..binding };
        let awaited = done(false, QueueUnbindOk {});
        self.ask_topology(context, method, TopologyRequest::Unbind(binding), false, awaited)
    }

    /// Without a queue's name an empty routing key stands for the name as well
    /// (AMQP 0-9-1, 1.7.2.3.5).
    fn queue_binding(
        &self,
        queue: ShortStr,
        source: ShortStr,
        routing_key: ShortStr,
    ) -> Result<Binding, Fault> {
        let name = self.named_queue(&queue)?;
        let named_by_channel = ObjectName::from(queue).is_empty() && routing_key.is_empty();
        let routing_key =
            if named_by_channel { name.clone().into_short() } else { routing_key.detached() };
        Ok(Binding {
            source: owned_name(&source),
            destination: Destination::Queue(name),
            routing_key,
            arguments: forebay_wire::FieldTable::new(),
        })
    }

    pub(super) fn handle_queue_purge(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        purge: QueuePurge,
    ) -> Result<(), Fault> {
        let request = TopologyRequest::PurgeQueue { name: self.named_queue(&purge.queue)? };
        let awaited = AwaitedReply::Purged { no_wait: purge.no_wait };
        self.ask_topology(context, method, request, purge.no_wait, awaited)
    }

    pub(super) fn handle_queue_delete(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        delete: QueueDelete,
    ) -> Result<(), Fault> {
        let name = self.named_queue(&delete.queue)?;
        if name == REPLY_QUEUE {
            if !delete.no_wait {
                context.send(self.id, &QueueDeleteOk { message_count: 0 });
            }
            return Ok(());
        }
        let QueueDelete { if_unused, if_empty, no_wait, .. } = delete;
        let request = TopologyRequest::DeleteQueue { name, if_unused, if_empty };
        self.ask_topology(context, method, request, no_wait, AwaitedReply::Deleted { no_wait })
    }
}

/// The name as the broker knows it, with memory of its own.
pub(super) fn owned_name(name: &ShortStr) -> ObjectName {
    ObjectName::from(name).detached()
}

/// The name of a queue for which the client gave none. It is made here, so that permissions are
/// asked for the very name.
fn generated_name(context: &mut ChannelContext<'_>) -> ObjectName {
    let name = format!("{GENERATED_NAME_PREFIX}{}", context.outputs.random.name_suffix());
    ObjectName::try_from(name.as_str()).unwrap_or_default()
}

fn done(no_wait: bool, ok: impl Into<Method>) -> AwaitedReply {
    AwaitedReply::Done((!no_wait).then(|| ok.into()))
}
