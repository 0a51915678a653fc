//! Declaring queues, exchanges and bindings.
//!
//! Everything declared here is noted and declared again after a reconnection. Requests go over a
//! channel of their own, one at a time; a refusal concerns its request alone.

use forebay_wire::{
    FieldTable, Method, ShortStr,
    method::{
        ExchangeBind, ExchangeDeclare, ExchangeDelete, ExchangeUnbind, QueueBind, QueueDeclare,
        QueueDelete, QueuePurge, QueueUnbind,
    },
};

use crate::{
    Connection, Error, ExchangeOptions, QueueOptions, connection::record::Binding, name::Name,
};

/// A queue as the broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueState {
    /// The name of the queue; the one that the broker chose when none was given.
    pub name: ShortStr,
    /// Messages ready for delivery.
    pub messages: u32,
    /// Consumers of the queue.
    pub consumers: u32,
}

/// What must hold for a queue to be deleted; see [`Connection::delete_queue_with`]. The default is no
/// condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    if_unused: bool,
    if_empty: bool,
}

impl DeleteOptions {
    /// Only if the queue has no consumers.
    #[must_use]
    pub fn if_unused(mut self) -> Self {
        self.if_unused = true;
        self
    }

    /// Only if no message is ready in the queue.
    #[must_use]
    pub fn if_empty(mut self) -> Self {
        self.if_empty = true;
        self
    }
}

impl Connection {
    async fn ask(&self, method: impl Into<Method>) -> Result<Method, Error> {
        let shared = &self.handle.0;
        shared.up().await?;
        shared.control(method).await?.into_method()
    }

    /// Declares a queue, or finds that it exists with these options. With an empty name the broker
    /// chooses one; see [`Connection::present_queue_name`].
    ///
    /// # Errors
    /// [`Error::Refused`] with 406 when it exists with other options, 403 or 405 when it belongs to
    /// others; [`Error::Lost`], [`Error::Closed`], [`Error::NameTooLong`].
    pub async fn declare_queue(
        &self,
        name: impl Name,
        options: QueueOptions,
    ) -> Result<QueueState, Error> {
        let queue = name.into_short_str("queue name")?;
        let declare = QueueDeclare {
            queue,
            passive: false,
            durable: options.is_durable,
            exclusive: options.is_exclusive,
            auto_delete: options.is_auto_delete,
            no_wait: false,
            arguments: options.arguments,
        };
        let state = queue_state("queue.declare", self.ask(declare.clone()).await?)?;
        self.handle.0.record().add_queue(state.name.clone(), declare);
        Ok(state)
    }

    /// The state of a queue that must exist.
    ///
    /// # Errors
    /// [`Error::Refused`] with 404 when it does not; [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`],
    /// [`Error::NameTooLong`].
    pub async fn inspect_queue(&self, name: impl Name) -> Result<QueueState, Error> {
        let name = name.into_short_str("queue name")?;
        let queue = self.present_queue_name(&name);
        let declare = QueueDeclare { queue, passive: true, ..QueueDeclare::default() };
        self.handle.0.record().handle_used(&name);
        queue_state("queue.declare", self.ask(declare).await?)
    }

    /// Deletes a queue with its messages, and returns how many were ready in it. A queue that does not
    /// exist counts as deleted.
    ///
    /// # Errors
    /// [`Error::Refused`] with 405 when it belongs to another connection, 403 when the user may not;
    /// [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`], [`Error::NameTooLong`].
    pub async fn delete_queue(&self, name: impl Name) -> Result<u32, Error> {
        self.delete_queue_with(name, DeleteOptions::default()).await
    }

    /// Deletes a queue if it has no consumers, and returns how many messages were ready in it.
    ///
    /// # Errors
    /// [`Error::Refused`] with 406 when it has consumers, 405 or 403 when the user may not;
    /// [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`],
    /// [`Error::NameTooLong`].
    pub async fn delete_unused_queue(&self, name: impl Name) -> Result<u32, Error> {
        self.delete_queue_with(name, DeleteOptions::default().if_unused()).await
    }

    /// Deletes a queue if no message is ready in it.
    ///
    /// # Errors
    /// [`Error::Refused`] with 406 when one is, 405 or 403 when the user may not; [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`],
    /// [`Error::NameTooLong`].
    pub async fn delete_empty_queue(&self, name: impl Name) -> Result<(), Error> {
        self.delete_queue_with(name, DeleteOptions::default().if_empty()).await.map(drop)
    }

    /// Deletes a queue under conditions, which the broker checks and keeps in one step, and returns how
    /// many messages were ready in it.
    ///
    /// # Errors
    /// [`Error::Refused`] with 406 when a condition does not hold: the queue is as it was. With 405 or 403
    /// when the user may not. [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`],
    /// [`Error::NameTooLong`].
    pub async fn delete_queue_with(
        &self,
        name: impl Name,
        options: DeleteOptions,
    ) -> Result<u32, Error> {
        let name = name.into_short_str("queue name")?;
        let queue = self.present_queue_name(&name);
        let DeleteOptions { if_unused, if_empty } = options;
        if !if_unused && !if_empty {
            self.handle.0.record().remove_queue(&name);
        }
        let delete = QueueDelete { queue, if_unused, if_empty, ..QueueDelete::default() };
        let answer = self.ask(delete).await?;
        self.handle.0.record().remove_queue(&name);
        match answer {
            Method::QueueDeleteOk(ok) => Ok(ok.message_count),
            other => Err(Error::Unexpected { request: "queue.delete", found: other.name() }),
        }
    }

    /// Drops the messages of a queue that are ready, and returns their number. Messages that consumers hold
    /// stay.
    ///
    /// # Errors
    /// [`Error::Refused`] with 404 when there is no such queue; [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`],
    /// [`Error::NameTooLong`].
    pub async fn purge_queue(&self, name: impl Name) -> Result<u32, Error> {
        let queue = self.present_queue_name(&name.into_short_str("queue name")?);
        match self.ask(QueuePurge { queue, no_wait: false }).await? {
            Method::QueuePurgeOk(ok) => Ok(ok.message_count),
            other => Err(Error::Unexpected { request: "queue.purge", found: other.name() }),
        }
    }

    /// Binds a queue to an exchange.
    ///
    /// # Errors
    /// [`Error::Refused`] with 404 when one of them does not exist, 403 when the user may not;
    /// [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`],
    /// [`Error::NameTooLong`].
    pub async fn bind_queue(
        &self,
        queue: impl Name,
        exchange: impl Name,
        routing_key: impl Name,
        arguments: FieldTable,
    ) -> Result<(), Error> {
        let bind = QueueBind {
            queue: queue.into_short_str("queue name")?,
            exchange: exchange.into_short_str("exchange name")?,
            routing_key: routing_key.into_short_str("routing key")?,
            no_wait: false,
            arguments,
        };
        let queue = self.present_queue_name(&bind.queue);
        self.ask(QueueBind { queue, ..bind.clone() }).await?;
        self.handle.0.record().add_binding(Binding::Queue(bind));
        Ok(())
    }

    /// Takes a binding of a queue away: the one with this exchange, routing key and arguments. One that does
    /// not exist counts as taken away.
    ///
    /// # Errors
    /// [`Error::Refused`] with 403 when the user may not; [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`],
    /// [`Error::NameTooLong`].
    pub async fn unbind_queue(
        &self,
        queue: impl Name,
        exchange: impl Name,
        routing_key: impl Name,
        arguments: FieldTable,
    ) -> Result<(), Error> {
        let bind = QueueBind {
            queue: queue.into_short_str("queue name")?,
            exchange: exchange.into_short_str("exchange name")?,
            routing_key: routing_key.into_short_str("routing key")?,
            no_wait: false,
            arguments,
        };
        self.handle.0.record().remove_binding(&Binding::Queue(bind.clone()));
        let QueueBind { queue, exchange, routing_key, arguments, .. } = bind;
        let queue = self.present_queue_name(&queue);
        self.ask(QueueUnbind { queue, exchange, routing_key, arguments }).await.map(drop)
    }

    /// Declares an exchange, or finds that it exists with these options.
    ///
    /// # Errors
    /// [`Error::Refused`] with 406 when it exists with other options, 403 when its name is reserved
    /// (`amq.`) or the user may not; [`Error::Lost`], [`Error::Closed`], [`Error::NameTooLong`].
    pub async fn declare_exchange(
        &self,
        name: impl Name,
        options: ExchangeOptions,
    ) -> Result<(), Error> {
        let declare = ExchangeDeclare {
            exchange: name.into_short_str("exchange name")?,
            kind: options.kind,
            passive: false,
            durable: options.is_durable,
            auto_delete: options.is_auto_delete,
            internal: options.is_internal,
            no_wait: false,
            arguments: options.arguments,
        };
        self.ask(declare.clone()).await?;
        self.handle.0.record().add_exchange(declare);
        Ok(())
    }

    /// Finds that an exchange exists, whatever its type and options.
    ///
    /// # Errors
    /// [`Error::Refused`] with 404 when there is no such exchange; [`Error::Lost`], [`Error::Closed`],
    /// [`Error::NameTooLong`].
    pub async fn inspect_exchange(&self, name: impl Name) -> Result<(), Error> {
        let declare = ExchangeDeclare {
            exchange: name.into_short_str("exchange name")?,
            passive: true,
            ..ExchangeDeclare::default()
        };
        self.ask(declare).await.map(drop)
    }

    /// Deletes an exchange and its bindings. An exchange that does not exist counts as deleted.
    ///
    /// # Errors
    /// [`Error::Refused`] with 403 when its name is reserved (`amq.`) or the user may not;
    /// [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`], [`Error::NameTooLong`].
    pub async fn delete_exchange(&self, name: impl Name) -> Result<(), Error> {
        let exchange = name.into_short_str("exchange name")?;
        self.handle.0.record().remove_exchange(&exchange);
        self.ask(ExchangeDelete { exchange, if_unused: false, no_wait: false }).await.map(drop)
    }

    /// Deletes an exchange if no queue and no other exchange is bound to it.
    ///
    /// # Errors
    /// [`Error::Refused`] with 406 when one is: the exchange is as it was. With 403 when its name
    /// is reserved (`amq.`) or the user may not. [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`],
    /// [`Error::NameTooLong`].
    pub async fn delete_unused_exchange(&self, name: impl Name) -> Result<(), Error> {
        let exchange = name.into_short_str("exchange name")?;
        let delete = ExchangeDelete { exchange: exchange.clone(), if_unused: true, no_wait: false };
        self.ask(delete).await?;
        self.handle.0.record().remove_exchange(&exchange);
        Ok(())
    }

    /// Binds an exchange to another one: a message to `source` goes to `destination` too when its routing key
    /// (or its headers) match.
    ///
    /// # Errors
    /// [`Error::Refused`] with 404 when one of them does not exist, 403 when the user may not;
    /// [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`],
    /// [`Error::NameTooLong`].
    pub async fn bind_exchange(
        &self,
        destination: impl Name,
        source: impl Name,
        routing_key: impl Name,
        arguments: FieldTable,
    ) -> Result<(), Error> {
        let bind = ExchangeBind {
            destination: destination.into_short_str("exchange name")?,
            source: source.into_short_str("exchange name")?,
            routing_key: routing_key.into_short_str("routing key")?,
            no_wait: false,
            arguments,
        };
        self.ask(bind.clone()).await?;
        self.handle.0.record().add_binding(Binding::Exchange(bind));
        Ok(())
    }

    /// Takes a binding between exchanges away: the one with this routing key and these arguments. One that
    /// does not exist counts as taken away.
    ///
    /// # Errors
    /// [`Error::Refused`] with 403 when the user may not; [`Error::Lost`], [`Error::Closed`], [`Error::GivenUp`],
    /// [`Error::NameTooLong`].
    pub async fn unbind_exchange(
        &self,
        destination: impl Name,
        source: impl Name,
        routing_key: impl Name,
        arguments: FieldTable,
    ) -> Result<(), Error> {
        let bind = ExchangeBind {
            destination: destination.into_short_str("exchange name")?,
            source: source.into_short_str("exchange name")?,
            routing_key: routing_key.into_short_str("routing key")?,
            no_wait: false,
            arguments,
        };
        self.handle.0.record().remove_binding(&Binding::Exchange(bind.clone()));
        let ExchangeBind { destination, source, routing_key, arguments, .. } = bind;
        let unbind = ExchangeUnbind { destination, source, routing_key, no_wait: false, arguments };
        self.ask(unbind).await.map(drop)
    }
}

fn queue_state(request: &'static str, answer: Method) -> Result<QueueState, Error> {
    match answer {
        Method::QueueDeclareOk(ok) => Ok(QueueState {
            name: ok.queue.detached(),
            messages: ok.message_count,
            consumers: ok.consumer_count,
        }),
        other => Err(Error::Unexpected { request, found: other.name() }),
    }
}
