//! What this connection declared, to be declared again after a reconnection.
//!
//! Written by the declarations in `topology.rs`, read by `restore.rs`. Durable things are declared
//! again too: on a broker that still has them that changes nothing. A queue whose name the broker
//! chose gets a new one; bindings and consumers that were made under the old name follow.

use std::collections::HashMap;

use forebay_wire::{
    Method, ShortStr,
    method::{ExchangeBind, ExchangeDeclare, QueueBind, QueueDeclare},
};

#[derive(Debug, Default)]
pub(crate) struct Record {
    exchanges: Vec<ExchangeDeclare>,
    queues: Vec<Queue>,
    bindings: Vec<Binding>,
    /// For queues named by the broker: the name first given, and the present one.
    names: HashMap<ShortStr, ShortStr>,
}

#[derive(Debug)]
struct Queue {
    /// The name by which the program knows it.
    name: ShortStr,
    declare: QueueDeclare,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Binding {
    Queue(QueueBind),
    Exchange(ExchangeBind),
}

/// One request of the restoration.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) method: Method,
    /// The queue declared, by the name that the program knows.
    queue: Option<ShortStr>,
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
        self.queues.push(Queue { name, declare });
    }

    pub(crate) fn add_binding(&mut self, binding: Binding) {
        if !self.bindings.contains(&binding) {
            self.bindings.push(binding);
        }
    }

    pub(crate) fn remove_exchange(&mut self, name: &ShortStr) {
        self.exchanges.retain(|known| known.exchange != *name);
        self.bindings.retain(|binding| match binding {
            Binding::Queue(bind) => bind.exchange != *name,
            Binding::Exchange(bind) => bind.source != *name && bind.destination != *name,
        });
    }

    pub(crate) fn remove_queue(&mut self, name: &ShortStr) {
        self.queues.retain(|known| known.name != *name);
        self.names.remove(name);
        self.bindings
            .retain(|binding| !matches!(binding, Binding::Queue(bind) if bind.queue == *name));
    }

    pub(crate) fn remove_binding(&mut self, binding: &Binding) {
        self.bindings.retain(|known| known != binding);
    }

    /// Exchanges and queues. The bindings come afterwards, when the queues' names are known.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let plain = |method| Step { method, queue: None };
        let exchanges = self.exchanges.iter().map(|declare| plain(declare.clone().into()));
        let queues = self.queues.iter().map(|queue| Step {
            method: queue.declare.clone().into(),
            queue: Some(queue.name.clone()),
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
        self.bindings.iter().map(|binding| Step { method: method(binding), queue: None }).collect()
    }

    pub(crate) fn handle_restored(&mut self, step: &Step, answer: &Method) {
        if let (Some(name), Method::QueueDeclareOk(ok)) = (&step.queue, answer)
            && ok.queue != *name
        {
            self.names.insert(name.clone(), ok.queue.detached());
        }
    }
}
