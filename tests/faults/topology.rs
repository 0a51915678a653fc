//! Clients that declare, delete, purge, bind, publish and set policies, one thing after the other,
//! until their connections break. Each owns a queue and a policy, so that after a fault only two
//! states are possible when one thing was under way, and one when none was.

use crate::disk::Moment;
use crate::harness::broker::Broker;
use crate::harness::http::Admin;
use crate::harness::must;
use crate::harness::random::Random;
use crate::harness::session::{Session, get, text};
use crate::load::{Clock, try_publish};
use lapin::Channel;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

const EXCHANGE: &str = "amq.direct";

/// What one client owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Estate {
    queue: Option<Queue>,
    /// The `max-length` of its policy.
    policy: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Queue {
    messages: Vec<String>,
    is_bound: bool,
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Declare,
    Delete,
    Purge,
    Bind,
    Unbind,
    Publish(u64),
    SetPolicy(u64),
    DeletePolicy,
}

/// A deed, when it was about to be done, when it was known to be done, and what there is then.
#[derive(Debug)]
struct Step {
    begun: Moment,
    done: Option<Moment>,
    after: Estate,
}

type Steps = Arc<Mutex<Vec<Step>>>;

/// All clients.
pub(crate) struct Topology {
    owners: Vec<(String, Steps)>,
}

/// Clients at work.
pub(crate) struct Running(Vec<JoinHandle<()>>);

impl Topology {
    pub(crate) fn new(owners: usize) -> Self {
        let owner =
            |number| (format!("estate-{number}"), Arc::new(Mutex::new(first(<_>::default()))));
        Self { owners: (0..owners).map(owner).collect() }
    }

    pub(crate) async fn start(
        &self,
        broker: &Broker,
        clock: &Clock,
        random: &mut Random,
    ) -> Running {
        let mut tasks = Vec::new();
        for (name, steps) in &self.owners {
            let session = Session::open_at(broker.address).await;
            let owner = Owner {
                name: name.clone(),
                channel: session.confirm_channel().await,
                _session: session,
                admin: Admin::guest(broker),
                clock: Arc::clone(clock),
            };
            let random = Random::new(random.next());
            tasks.push(tokio::spawn(owner.work(Arc::clone(steps), random)));
        }
        Running(tasks)
    }

    /// Compares what there is after a fault at that moment with what was promised by then.
    pub(crate) async fn check(&self, broker: &Broker, fault: Moment, when: &str) {
        for (name, steps) in &self.owners {
            let found = look(broker, name).await;
            let steps = steps.lock().unwrap();
            let known = steps.iter().rposition(|step| step.done.is_some_and(|done| done <= fault));
            let possible: Vec<_> = steps[known.unwrap_or(0)..]
                .iter()
                .take_while(|step| step.begun <= fault)
                .map(|step| &step.after)
                .collect();
            assert!(
                possible.contains(&&found),
                "{name}, {when}: found {found:?}\nafter {} deeds one of {possible:?}",
                steps.len()
            );
            eprintln!("{name}, {when}: as one of {} after {} deeds", possible.len(), steps.len());
        }
    }

    /// Takes what is there for what there must be from now on.
    pub(crate) async fn settle(&self, broker: &Broker) {
        for (name, steps) in &self.owners {
            let found = look(broker, name).await;
            *steps.lock().unwrap() = first(found);
        }
    }
}

impl Running {
    /// Waits until all connections are broken.
    pub(crate) async fn end(self) {
        for task in self.0 {
            must("the end of an owner", task).await.unwrap();
        }
    }
}

fn first(estate: Estate) -> Vec<Step> {
    vec![Step { begun: 0, done: Some(0), after: estate }]
}

/// What an owner has now. Leaves it as it is.
async fn look(broker: &Broker, name: &str) -> Estate {
    let admin = Admin::guest(broker);
    let policy = admin.ask("GET", &format!("/api/policies/%2F/{name}"), &Value::Null);
    let policy = policy.json["definition"]["max-length"].as_u64();
    if admin.ask("GET", &format!("/api/queues/%2F/{name}"), &Value::Null).status == 404 {
        return Estate { queue: None, policy };
    }
    let bindings = admin.get(&format!("/api/queues/%2F/{name}/bindings"));
    let is_bound = bindings.as_array().unwrap().iter().any(|it| it["source"] == EXCHANGE);
    let session = Session::open_at(broker.address).await;
    let mut messages = Vec::new();
    while let Some(message) = get(&session.channel, name).await {
        messages.push(text(&message.delivery));
    }
    session.close().await;
    Estate { queue: Some(Queue { messages, is_bound }), policy }
}

/// The broker is gone, or the channel.
struct Gone;

impl<T> From<T> for Gone
where
    T: std::error::Error,
{
    fn from(_: T) -> Self {
        Self
    }
}

struct Owner {
    name: String,
    _session: Session,
    channel: Channel,
    admin: Admin,
    clock: Clock,
}

impl Owner {
    async fn work(self, steps: Steps, mut random: Random) {
        loop {
            let mut estate = steps.lock().unwrap().last().unwrap().after.clone();
            let deed = draw(&estate, &mut random);
            deed.apply(&mut estate);
            let begun = (self.clock)();
            steps.lock().unwrap().push(Step { begun, done: None, after: estate });
            if self.attempt(deed).await.is_err() {
                return;
            }
            steps.lock().unwrap().last_mut().unwrap().done = Some((self.clock)());
        }
    }

    async fn attempt(&self, deed: Deed) -> Result<(), Gone> {
        let (channel, name) = (&self.channel, self.name.as_str());
        let exchange = EXCHANGE.into();
        match deed {
            Deed::Declare => {
                let options = QueueDeclareOptions { durable: true, ..<_>::default() };
                channel.queue_declare(name.into(), options, <_>::default()).await?;
            }
            Deed::Delete => {
                channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
            }
            Deed::Purge => {
                channel.queue_purge(name.into(), <_>::default()).await?;
            }
            Deed::Bind => {
                let options = <_>::default();
                let none = <_>::default();
                channel.queue_bind(name.into(), exchange, name.into(), options, none).await?;
            }
            Deed::Unbind => {
                let none = <_>::default();
                channel.queue_unbind(name.into(), exchange, name.into(), none).await?;
            }
            Deed::Publish(number) => {
                let confirm = try_publish(channel, name, number.to_string().as_bytes()).await?;
                if !confirm.await?.is_ack() {
                    return Err(Gone);
                }
            }
            Deed::SetPolicy(length) => {
                let definition = json!({ "max-length": length });
                let pattern = format!("^{name}$");
                let policy = json!({
                    "pattern": pattern, "apply-to": "queues", "definition": definition
                });
                self.ask("PUT", &policy)?;
            }
            Deed::DeletePolicy => self.ask("DELETE", &Value::Null)?,
        }
        Ok(())
    }

    fn ask(&self, method: &str, body: &Value) -> Result<(), Gone> {
        let path = format!("/api/policies/%2F/{}", self.name);
        let answer = tokio::task::block_in_place(|| {
            self.admin.try_send(method, &path, body.to_string().as_bytes())
        })?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(Gone) }
    }
}

fn draw(estate: &Estate, random: &mut Random) -> Deed {
    let number = random.next() >> 20;
    match (&estate.queue, random.below(100)) {
        (_, 0..6) => Deed::SetPolicy(1_000_000 + number % 1_000),
        (_, 6..10) if estate.policy.is_some() => Deed::DeletePolicy,
        (None, _) => Deed::Declare,
        (Some(_), 10..20) => Deed::Delete,
        (Some(_), 20..35) => Deed::Purge,
        (Some(queue), 35..50) if queue.is_bound => Deed::Unbind,
        (Some(_), 35..50) => Deed::Bind,
        (Some(_), _) => Deed::Publish(number),
    }
}

impl Deed {
    fn apply(self, estate: &mut Estate) {
        let queue = estate.queue.as_mut();
        match self {
            Self::Declare => estate.queue = Some(Queue::default()),
            Self::Delete => estate.queue = None,
            Self::Purge => queue.unwrap().messages.clear(),
            Self::Bind => queue.unwrap().is_bound = true,
            Self::Unbind => queue.unwrap().is_bound = false,
            Self::Publish(number) => queue.unwrap().messages.push(number.to_string()),
            Self::SetPolicy(length) => estate.policy = Some(length),
            Self::DeletePolicy => estate.policy = None,
        }
    }
}
