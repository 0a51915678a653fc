//! What this connection declared, to be declared again after a reconnection.
//!
//! Written by the declarations in `topology.rs`, read by `restore.rs`. Durable things are declared
//! again too: on a broker that still has them they stay as they are. What the broker deletes by itself
//! is forgotten: a queue whose consumer it cancels, an auto-delete queue with its last consumer, an
//! auto-delete exchange with its last binding, a queue that was not used for the time of its `x-expires`. A queue whose name the broker
//! chose gets a new one; bindings and consumers that were made under the old name follow.

use std::{
    collections::{HashMap, HashSet},
    mem,
    time::Duration,
};

use forebay_wire::{
    FieldValue, Method, ShortStr,
    method::{ExchangeBind, ExchangeDeclare, QueueBind, QueueDeclare},
};

use tokio::time::Instant;

use crate::Fault;

#[derive(Debug, Default)]
pub(crate) struct Record {
    exchanges: Vec<ExchangeDeclare>,
    queues: Vec<Queue>,
    bindings: Vec<Binding>,
    /// For queues named by the broker: the name first given, and the present one.
    names: HashMap<ShortStr, ShortStr>,
    /// Requests that ended a connection, with what the broker said.
    fatal: Vec<(Method, Fault)>,
}

#[derive(Debug)]
struct Queue {
    /// The name by which the program knows it.
    name: ShortStr,
    declare: QueueDeclare,
    /// When the broker last saw this connection use it, unless it is consumed.
    used: Instant,
}

impl Queue {
    /// Whether the broker has deleted it by now, unless other connections used it.
    fn has_expired(&self) -> bool {
        let expires = self.declare.arguments.get("x-expires").and_then(FieldValue::as_integer);
        let expires = expires.and_then(|after| u64::try_from(after).ok());
        expires.is_some_and(|after| self.used.elapsed() > Duration::from_millis(after))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Binding {
    Queue(QueueBind),
    Exchange(ExchangeBind),
}

impl Binding {
    fn source(&self) -> &ShortStr {
        match self {
            Self::Queue(bind) => &bind.exchange,
            Self::Exchange(bind) => &bind.source,
        }
    }
}

/// One request of the restoration.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) method: Method,
    /// What is declared or bound, for messages.
    pub(crate) name: String,
    /// The queue declared or bound, by the name that the program knows.
    pub(crate) queue: Option<ShortStr>,
    /// It ended a connection before, so it is not asked for again.
    pub(crate) fatal: Option<Fault>,
}

impl Step {
    pub(crate) fn is_queue(&self) -> bool {
        matches!(self.method, Method::QueueDeclare(_))
    }
}

impl Record {
    /// The name that a queue has at the broker now.
    pub(crate) fn present_name(&self, name: &ShortStr) -> ShortStr {
        self.names.get(name).unwrap_or(name).clone()
    }

    pub(crate) fn add_exchange(&mut self, declare: ExchangeDeclare) {
        self.exchanges.retain(|known| known.exchange != declare.exchange);
        self.exchanges.push(declare);
    }

    pub(crate) fn add_queue(&mut self, name: ShortStr, declare: QueueDeclare) {
        self.queues.retain(|known| known.name != name);
        self.queues.push(Queue { name, declare, used: Instant::now() });
    }

    pub(crate) fn add_binding(&mut self, binding: Binding) {
        if !self.bindings.contains(&binding) {
            self.bindings.push(binding);
        }
    }

    pub(crate) fn remove_exchange(&mut self, name: &ShortStr) {
        self.exchanges.retain(|known| known.exchange != *name);
        self.remove_bindings(|binding| match binding {
            Binding::Queue(bind) => bind.exchange == *name,
            Binding::Exchange(bind) => bind.source == *name || bind.destination == *name,
        });
    }

    pub(crate) fn remove_queue(&mut self, name: &ShortStr) {
        self.queues.retain(|known| known.name != *name);
        self.names.remove(name);
        self.remove_bindings(
            |binding| matches!(binding, Binding::Queue(bind) if bind.queue == *name),
        );
    }

    /// The queue was used otherwise than by a consumer.
    pub(crate) fn handle_used(&mut self, name: &ShortStr) {
        if let Some(queue) = self.queues.iter_mut().find(|queue| queue.name == *name) {
            queue.used = Instant::now();
        }
    }

    /// The last consumer that this connection had for a queue is gone.
    pub(crate) fn handle_unconsumed(&mut self, name: &ShortStr) {
        let is_auto_delete =
            self.queues.iter().any(|queue| queue.name == *name && queue.declare.auto_delete);
        if is_auto_delete {
            self.remove_queue(name);
        } else {
            self.handle_used(name);
        }
    }

    pub(crate) fn remove_binding(&mut self, binding: &Binding) {
        self.remove_bindings(|known| known == binding);
    }

    /// Removes bindings, and the auto-delete exchanges that lose their last one by it, with theirs.
    fn remove_bindings(&mut self, is_removed: impl Fn(&Binding) -> bool) {
        let (removed, kept): (Vec<_>, Vec<_>) =
            mem::take(&mut self.bindings).into_iter().partition(|binding| is_removed(binding));
        self.bindings = kept;
        for binding in removed {
            let source = binding.source();
            let is_unbound = !self.bindings.iter().any(|binding| binding.source() == source);
            let is_auto_delete =
                |known: &ExchangeDeclare| known.exchange == *source && known.auto_delete;
            if is_unbound && self.exchanges.iter().any(is_auto_delete) {
                self.remove_exchange(source);
            }
        }
    }

    /// Exchanges and queues, without those that have expired; `consumed` are the queues that this
    /// connection consumes. The bindings come afterwards, when the queues' names are known.
    pub(crate) fn steps(&mut self, consumed: &HashSet<ShortStr>) -> Vec<Step> {
        let is_gone = |queue: &&Queue| !consumed.contains(&queue.name) && queue.has_expired();
        let expired: Vec<_> =
            self.queues.iter().filter(is_gone).map(|queue| queue.name.clone()).collect();
        expired.iter().for_each(|name| self.remove_queue(name));
        let exchanges = self
            .exchanges
            .iter()
            .map(|declare| self.step(declare.clone().into(), &declare.exchange, None));
        let queues = self.queues.iter().map(|queue| {
            self.step(queue.declare.clone().into(), &queue.name, Some(queue.name.clone()))
        });
        exchanges.chain(queues).collect()
    }

    /// The bindings, with the names that queues have now.
    pub(crate) fn binding_steps(&self) -> Vec<Step> {
        let method = |binding: &Binding| match binding {
            Binding::Queue(bind) => {
                QueueBind { queue: self.present_name(&bind.queue), ..bind.clone() }.into()
            }
            Binding::Exchange(bind) => bind.clone().into(),
        };
        let step = |binding: &Binding| match binding {
            Binding::Queue(bind) => {
                self.step(method(binding), &bind.queue, Some(bind.queue.clone()))
            }
            Binding::Exchange(bind) => self.step(method(binding), &bind.destination, None),
        };
        self.bindings.iter().map(step).collect()
    }

    fn step(&self, method: Method, name: &ShortStr, queue: Option<ShortStr>) -> Step {
        let fatal = self.fatal.iter().find(|(fatal, _)| *fatal == method);
        let fatal = fatal.map(|(_, fault)| fault.clone());
        Step { method, name: name.to_string(), queue, fatal }
    }

    pub(crate) fn has_queue(&self, name: Option<&ShortStr>) -> bool {
        self.queues.iter().any(|queue| Some(&queue.name) == name)
    }

    /// A request that ended the whole connection.
    pub(crate) fn handle_fatal(&mut self, step: &Step, fault: &Fault) {
        self.fatal.push((step.method.clone(), fault.clone()));
    }

    pub(crate) fn handle_restored(&mut self, step: &Step, answer: &Method) {
        if let (Some(name), Method::QueueDeclareOk(ok)) = (&step.queue, answer)
            && ok.queue != *name
        {
            self.names.insert(name.clone(), ok.queue.detached());
        }
    }
}
