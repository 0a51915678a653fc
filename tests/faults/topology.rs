//! Clients that declare, delete, purge, bind, publish, reject, redrive and set policies, one thing
//! after the other, until their connections break. Each owns a queue, its dead-letter queue and its
//! policy, so that after a fault only two states are possible when one thing was under way, and one
//! when none was.

use crate::disk::Moment;
use crate::harness::broker::Broker;
use crate::harness::http::Admin;
use crate::harness::must;
use crate::harness::random::Random;
use crate::harness::session::{Session, get, number, table, text};
use crate::load::{Clock, MARKERS, try_publish};
use lapin::Channel;
use lapin::options::{BasicRejectOptions, QueueDeclareOptions, QueueDeleteOptions};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

const EXCHANGE: &str = "amq.direct";

/// What one client owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Estate {
    queue: Option<Queue>,
    /// What was rejected; it outlives the queue.
    dead: Vec<String>,
    /// The `max-length` of its policy.
    policy: Option<usize>,
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
    /// The oldest message is rejected.
    Reject,
    /// What is dead goes back.
    Redrive,
    SetPolicy(usize),
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
    let policy = policy.json["definition"]["max-length"].as_u64().map(|length| length as usize);
    let dead = messages(broker, &admin, &dead(name)).await.unwrap_or_default();
    let queue = match messages(broker, &admin, name).await {
        Some(messages) => {
            let bindings = admin.get(&format!("/api/queues/%2F/{name}/bindings"));
            let is_bound = bindings.as_array().unwrap().iter().any(|it| it["source"] == EXCHANGE);
            Some(Queue { messages, is_bound })
        }
        None => None,
    };
    Estate { queue, dead, policy }
}

fn dead(name: &str) -> String {
    format!("{name}.dlq")
}

/// The bodies in a queue, when it is there.
async fn messages(broker: &Broker, admin: &Admin, queue: &str) -> Option<Vec<String>> {
    if admin.ask("GET", &format!("/api/queues/%2F/{queue}"), &Value::Null).status == 404 {
        return None;
    }
    let session = Session::open_at(broker.address).await;
    let mut messages = Vec::new();
    while let Some(message) = get(&session.channel, queue).await {
        messages.push(text(&message.delivery));
    }
    session.close().await;
    Some(messages)
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
                // To look at messages again and again must not be their death.
                let arguments = table("x-delivery-limit", number(-1));
                channel.queue_declare(name.into(), options, arguments).await?;
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
            Deed::Reject => {
                let message = channel.basic_get(name.into(), <_>::default()).await?;
                let acker = message.expect("a message that was confirmed").delivery.acker;
                acker.reject(BasicRejectOptions { requeue: false }).await?;
                // Once what follows is durable, so is that.
                if !try_publish(channel, MARKERS, b"marker").await?.await?.is_ack() {
                    return Err(Gone);
                }
            }
            Deed::Redrive => {
                let path = format!("/api/forebay/dead-letters/%2F/{}/redrive", dead(name));
                self.ask("POST", &path, &json!({}))?;
            }
            Deed::SetPolicy(length) => {
                let definition = json!({ "max-length": length });
                let pattern = format!("^{name}$");
                let policy = json!({
                    "pattern": pattern, "apply-to": "queues", "definition": definition
                });
                self.ask("PUT", &self.policy(), &policy)?;
            }
            Deed::DeletePolicy => self.ask("DELETE", &self.policy(), &Value::Null)?,
        }
        Ok(())
    }

    fn policy(&self) -> String {
        format!("/api/policies/%2F/{}", self.name)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<(), Gone> {
        let answer = tokio::task::block_in_place(|| {
            self.admin.try_send(method, path, body.to_string().as_bytes())
        })?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(Gone) }
    }
}

fn draw(estate: &Estate, random: &mut Random) -> Deed {
    let number = random.next() >> 20;
    match (&estate.queue, random.below(100)) {
        // One that shortens the queue, or one that never will.
        (_, 0..4) => Deed::SetPolicy(1 + random.below(5) as usize),
        (_, 4..7) => Deed::SetPolicy(1_000_000 + random.below(1_000) as usize),
        (_, 7..12) if estate.policy.is_some() => Deed::DeletePolicy,
        (None, _) => Deed::Declare,
        (Some(_), 12..18) => Deed::Delete,
        (Some(_), 18..26) => Deed::Purge,
        (Some(queue), 26..40) if queue.is_bound => Deed::Unbind,
        (Some(_), 26..40) => Deed::Bind,
        (Some(queue), 40..55) if !queue.messages.is_empty() => Deed::Reject,
        (Some(_), 55..62) if !estate.dead.is_empty() => Deed::Redrive,
        (Some(_), _) => Deed::Publish(number),
    }
}

impl Deed {
    fn apply(self, estate: &mut Estate) {
        let Estate { queue, dead, policy } = estate;
        match (self, queue.as_mut()) {
            (Self::Declare, _) => *queue = Some(Queue::default()),
            (Self::Delete, _) => *queue = None,
            (Self::SetPolicy(length), _) => *policy = Some(length),
            (Self::DeletePolicy, _) => *policy = None,
            (Self::Purge, Some(queue)) => queue.messages.clear(),
            (Self::Bind, Some(queue)) => queue.is_bound = true,
            (Self::Unbind, Some(queue)) => queue.is_bound = false,
            (Self::Publish(number), Some(queue)) => queue.messages.push(number.to_string()),
            (Self::Reject, Some(queue)) => dead.push(queue.messages.remove(0)),
            (Self::Redrive, Some(queue)) => {
                // Those that find no room stay.
                let room =
                    policy.map_or(usize::MAX, |length| length.saturating_sub(queue.messages.len()));
                queue.messages.extend(dead.drain(..room.min(dead.len())));
            }
            (_, None) => panic!("{self:?} of a queue that is not there"),
        }
        if let (Some(queue), Some(length)) = (queue, policy) {
            let excess = queue.messages.len().saturating_sub(*length);
            queue.messages.drain(..excess);
        }
    }
}
