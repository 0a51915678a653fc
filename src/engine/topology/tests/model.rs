//! The topology against a naive model, under random operations and restarts.

use super::{CONNECTION, Exchange, Host, Queue, binding, name, object};
use crate::model::Destination;
use forebay_wire::{FieldTable, FieldValue};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const QUEUES: [&str; 3] = ["p", "q", "r"];
const EXCHANGES: [(&str, &str); 4] =
    [("d", "direct"), ("f", "fanout"), ("t", "topic"), ("e", "direct")];
const KEYS: [&str; 4] = ["a", "a.b", "#", "*"];

#[derive(Clone, Debug)]
enum Step {
    DeclareExchange { at: usize, durable: bool, auto_delete: bool },
    DeleteExchange { at: usize, if_unused: bool },
    DeclareQueue { at: usize, durable: bool },
    RemoveQueue { at: usize },
    Bind { link: Link },
    Unbind { link: Link },
    Restart,
}

/// Source exchange, destination (a queue or an exchange), key, arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    source: usize,
    to_exchange: bool,
    to: usize,
    key: usize,
    argument: bool,
}

#[derive(Default)]
struct Model {
    exchanges: BTreeMap<usize, (bool, bool)>,
    queues: BTreeMap<usize, bool>,
    links: BTreeSet<Link>,
}

fn step() -> impl Strategy<Value = Step> {
    let exchange = 0..EXCHANGES.len();
    let queue = 0..QUEUES.len();
    let link = (exchange.clone(), any::<bool>(), queue.clone(), 0..KEYS.len(), any::<bool>());
    let link = link.prop_map(|(source, to_exchange, to, key, argument)| Link {
        source,
        to_exchange,
        to,
        key,
        argument,
    });
    prop_oneof![
        4 => (exchange.clone(), any::<bool>(), any::<bool>()).prop_map(|(at, durable, auto_delete)| {
            Step::DeclareExchange { at, durable, auto_delete }
        }),
        1 => (exchange, any::<bool>())
            .prop_map(|(at, if_unused)| Step::DeleteExchange { at, if_unused }),
        4 => (queue.clone(), any::<bool>())
            .prop_map(|(at, durable)| Step::DeclareQueue { at, durable }),
        1 => queue.prop_map(|at| Step::RemoveQueue { at }),
        8 => link.clone().prop_map(|link| Step::Bind { link }),
        3 => link.prop_map(|link| Step::Unbind { link }),
        1 => Just(Step::Restart),
    ]
}

impl Link {
    fn binding(self) -> crate::model::Binding {
        let to = if self.to_exchange {
            Destination::Exchange(object(EXCHANGES[self.to].0))
        } else {
            Destination::Queue(object(QUEUES[self.to]))
        };
        let mut arguments = FieldTable::new();
        if self.argument {
            arguments.insert(name("note"), FieldValue::Bool(true));
        }
        binding(EXCHANGES[self.source].0, to, KEYS[self.key], arguments)
    }
}

impl Model {
    fn has_ends(&self, link: &Link) -> bool {
        self.exchanges.contains_key(&link.source)
            && if link.to_exchange {
                self.exchanges.contains_key(&link.to)
            } else {
                self.queues.contains_key(&link.to)
            }
    }

    /// Takes out the links that `gone` says, those without ends, and exchanges orphaned thereby.
    fn unlink(&mut self, gone: impl Fn(&Link) -> bool) {
        let mut removed: Vec<_> =
            self.links.iter().filter(|link| gone(link) || !self.has_ends(link)).copied().collect();
        while let Some(link) = removed.pop() {
            self.links.remove(&link);
            let auto_delete = self.exchanges.get(&link.source).is_some_and(|(_, auto)| *auto);
            if auto_delete && !self.links.iter().any(|other| other.source == link.source) {
                self.exchanges.remove(&link.source);
            }
            removed.extend(self.links.iter().filter(|link| !self.has_ends(link)).copied());
        }
    }

    fn restart(&mut self) {
        self.exchanges.retain(|_, (durable, _)| *durable);
        self.queues.retain(|_, durable| *durable);
        let exchanges = &self.exchanges;
        let queues = &self.queues;
        self.links.retain(|link| {
            exchanges.contains_key(&link.source)
                && if link.to_exchange {
                    exchanges.contains_key(&link.to)
                } else {
                    queues.contains_key(&link.to)
                }
        });
    }

    fn matches(link: &Link, key: &str) -> bool {
        let pattern = KEYS[link.key];
        match EXCHANGES[link.source].1 {
            "fanout" => true,
            "direct" => pattern == key,
            _ => match pattern {
                "#" => true,
                "*" => !key.contains('.'),
                _ => pattern == key,
            },
        }
    }

    fn route(&self, exchange: usize, key: &str) -> Vec<String> {
        let (mut seen, mut pending) = (BTreeSet::new(), vec![exchange]);
        let mut queues = BTreeSet::new();
        while let Some(exchange) = pending.pop() {
            if !seen.insert(exchange) {
                continue;
            }
            for link in self.links.iter().filter(|link| link.source == exchange) {
                match (Self::matches(link, key), link.to_exchange) {
                    (false, _) => {}
                    (true, true) => pending.push(link.to),
                    (true, false) => {
                        queues.insert(QUEUES[link.to].to_owned());
                    }
                }
            }
        }
        queues.into_iter().collect()
    }

    /// Does the step on both; they must agree on whether it is allowed.
    fn apply(&mut self, host: &mut Host, step: &Step) {
        match *step {
            Step::DeclareExchange { at, durable, auto_delete } => {
                let with = Exchange { durable, auto_delete, ..Exchange::default() };
                let outcome = host.exchange_with(EXCHANGES[at].0, EXCHANGES[at].1, &with);
                let there = *self.exchanges.entry(at).or_insert((durable, auto_delete));
                assert_eq!(outcome.is_ok(), there == (durable, auto_delete));
            }
            Step::DeleteExchange { at, if_unused } => {
                let used = self.links.iter().any(|link| link.source == at);
                let exchange = name(EXCHANGES[at].0);
                let outcome =
                    host.topology.delete_exchange(&host.vhost, &exchange.into(), if_unused);
                assert_eq!(outcome.is_ok(), !(if_unused && used));
                if outcome.is_ok() {
                    self.exchanges.remove(&at);
                    self.unlink(|_| false);
                }
            }
            Step::DeclareQueue { at, durable } => {
                let with = Queue { durable, ..Queue::default() };
                let outcome = host.queue_with(QUEUES[at], &with);
                let created = !self.queues.contains_key(&at);
                let there = *self.queues.entry(at).or_insert(durable);
                assert_eq!(outcome.as_ref().is_ok(), there == durable);
                assert!(outcome.is_err() || outcome.is_ok_and(|made| made.created == created));
            }
            Step::RemoveQueue { at } => {
                if self.queues.remove(&at).is_some() {
                    host.remove_queue(QUEUES[at]);
                    self.unlink(|_| false);
                }
            }
            Step::Bind { link } => {
                let outcome = host.topology.bind(&host.vhost, CONNECTION, &link.binding());
                assert_eq!(outcome.is_ok(), self.has_ends(&link));
                if outcome.is_ok() {
                    self.links.insert(link);
                }
            }
            Step::Unbind { link } => {
                host.topology.unbind(&host.vhost, CONNECTION, &link.binding()).unwrap();
                if self.links.contains(&link) {
                    self.unlink(|other| *other == link);
                }
            }
            Step::Restart => {
                *host = host.restarted();
                self.restart();
            }
        }
    }

    fn check(&self, host: &mut Host) {
        for (at, (exchange, _)) in EXCHANGES.iter().enumerate() {
            assert_eq!(host.has_exchange(exchange), self.exchanges.contains_key(&at));
            if self.exchanges.contains_key(&at) {
                for key in ["a", "a.b", "c", "#"] {
                    assert_eq!(host.route(exchange, key), self.route(at, key), "{exchange} {key}");
                }
            }
        }
        for (at, queue) in QUEUES.iter().enumerate() {
            let there = host.topology.find_queue(&host.vhost, &name(queue));
            assert_eq!(there.is_some(), self.queues.contains_key(&at));
            assert_eq!(host.route("", queue).len(), usize::from(there.is_some()));
        }
        assert_eq!(host.topology.bindings(&host.vhost).count(), self.links.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_topology_does_what_the_model_does(steps in vec(step(), 1..60)) {
        let mut host = Host::new();
        let mut model = Model::default();
        for step in &steps {
            model.apply(&mut host, step);
            model.check(&mut host);
        }
        model.apply(&mut host, &Step::Restart);
        model.check(&mut host);
    }
}
