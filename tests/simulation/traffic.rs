//! What clients do: one thing at a time, drawn from what is possible.

use crate::channel::{Asked, Mode};
use crate::client::{Client, Consumer, LARGE};
use crate::dice::{any, one_in, pick, weighted};
use crate::plan::{Feature, Plan};
use crate::queues::{DELETABLE, FANOUT, GROUP, LEASE_MS_MAX, Profile};
use crate::random::Random;
use forebay_wire::method::*;
use forebay_wire::{FieldTable, FieldValue, Properties, ShortStr};

const CHANNELS: u16 = 2;

/// All clients' decisions.
pub(crate) struct Traffic {
    pub(crate) profiles: Vec<Profile>,
    weights: Vec<u64>,
    /// How often each queue is used in comparison.
    shares: Vec<u64>,
    /// The wall clock.
    wall: u64,
    is_large: bool,
    no_acks: bool,
    expirations: bool,
    groups: bool,
    delays: bool,
    duplicates: bool,
    leases: bool,
    last_id: u64,
}

type Act = fn(&mut Traffic, &mut Client, u16, &mut Random);

/// What can be done, how often in comparison, and what it belongs to.
const ACTS: [(Act, u64, Option<Feature>); 20] = [
    (Traffic::publish, 30, None),
    (Traffic::consume, 6, None),
    (Traffic::ack, 20, None),
    (Traffic::requeue, 6, Some(Feature::Requeues)),
    (Traffic::reject, 4, Some(Feature::Rejects)),
    (Traffic::recover, 1, Some(Feature::Requeues)),
    (Traffic::get, 5, Some(Feature::Gets)),
    (Traffic::cancel, 2, None),
    (Traffic::limit, 2, None),
    (Traffic::confirm_mode, 4, None),
    (Traffic::transaction_mode, 1, Some(Feature::Transactions)),
    (Traffic::end_transaction, 6, Some(Feature::Transactions)),
    (Traffic::purge, 1, Some(Feature::Purges)),
    (Traffic::delete, 1, Some(Feature::Deletes)),
    (Traffic::declare, 2, None),
    (Traffic::close_channel, 1, None),
    (Traffic::close, 1, Some(Feature::Kills)),
    (Traffic::blunder, 1, Some(Feature::Mistakes)),
    (Traffic::retry, 4, Some(Feature::Retries)),
    (Traffic::extend, 6, Some(Feature::Leases)),
];

fn name(text: &str) -> ShortStr {
    ShortStr::try_from(text).unwrap()
}

fn numbers(headers: &[(&'static str, u64)]) -> FieldTable {
    let value = |number: u64| FieldValue::I64(i64::try_from(number).unwrap());
    headers.iter().map(|(header, number)| (name(header), value(*number))).collect()
}

impl Traffic {
    pub(crate) fn new(plan: &Plan, profiles: Vec<Profile>, random: &mut Random) -> Self {
        let mut weights = Vec::new();
        for (_, weight, feature) in ACTS {
            let weight = weight * (1 + random.below(4));
            let is_wanted = feature.is_none_or(|feature| plan.has(feature));
            weights.push(if is_wanted { weight } else { 0 });
        }
        // A few queues with much to do reach states that many with little do not.
        let share = |_| if one_in(random, 3) { 1 + random.below(3) } else { 0 };
        let mut shares: Vec<u64> = profiles.iter().map(share).collect();
        shares[0] += u64::from(shares.iter().all(|share| *share == 0));
        Self {
            profiles,
            weights,
            shares,
            wall: 0,
            is_large: one_in(random, 8) && plan.has(Feature::LargeBodies),
            no_acks: plan.has(Feature::NoAcks),
            expirations: plan.has(Feature::Expirations),
            groups: plan.has(Feature::Groups),
            delays: plan.has(Feature::Delays),
            duplicates: plan.has(Feature::Duplicates),
            leases: plan.has(Feature::Leases),
            last_id: 0,
        }
    }

    /// A client does something, or nothing when what was drawn can't be done.
    pub(crate) fn act(&mut self, client: &mut Client, wall: u64, random: &mut Random) {
        self.wall = wall;
        if client.is_closing || !client.is_open {
            return;
        }
        let channel = 1 + random.below(u64::from(CHANNELS)) as u16;
        match client.channels.get(&channel) {
            None => client.open_channel(channel),
            Some(state) if state.is_closing => {}
            Some(_) => {
                let (act, ..) = ACTS[weighted(random, &self.weights)];
                act(self, client, channel, random);
            }
        }
    }

    /// Declares everything, as a run begins.
    pub(crate) fn set_up(&mut self, client: &mut Client) {
        client.open_channel(1);
        let fanout = ExchangeDeclare {
            exchange: name(FANOUT),
            kind: name("fanout"),
            durable: true,
            ..ExchangeDeclare::default()
        };
        client.ask(1, &fanout, Asked::Anything);
        for place in 0..self.profiles.len() {
            self.declare_one(client, 1, place);
        }
    }

    fn declare_one(&self, client: &mut Client, channel: u16, place: usize) {
        let profile = &self.profiles[place];
        let declare = QueueDeclare {
            queue: name(profile.name),
            durable: profile.durable,
            arguments: profile.arguments.clone(),
            ..QueueDeclare::default()
        };
        client.ask(channel, &declare, Asked::Anything);
        if profile.fanned {
            let (queue, exchange) = (name(profile.name), name(FANOUT));
            let bind = QueueBind { queue, exchange, ..QueueBind::default() };
            client.ask(channel, &bind, Asked::Anything);
        }
    }

    fn pick(&self, random: &mut Random) -> Profile {
        self.profiles[weighted(random, &self.shares)].clone()
    }

    /// Whoever uses what may not be there may be refused.
    fn note_risk(client: &mut Client, channel: u16, profile: &Profile) {
        if !profile.durable || profile.name == DELETABLE {
            client.channels.get_mut(&channel).unwrap().may_fail = true;
        }
    }

    fn publish(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        let count = if one_in(random, 5) { 1 + random.below(12) } else { 1 };
        let is_fanned = one_in(random, 4);
        let mut profile = self.pick(random);
        while profile.is_grave {
            profile = pick(random, &self.profiles).clone();
        }
        if profile.refuses && client.channels[&channel].mode == Mode::Transaction {
            // One that is refused does nothing of what the history has seen by then.
            return;
        }
        for _ in 0..count {
            self.last_id += 1;
            let is_mortal = profile.arguments.get("x-dead-letter-exchange").is_some();
            let may_expire = one_in(random, 4) && self.expirations && is_mortal && !is_fanned;
            let properties = Properties {
                delivery_mode: Some(if one_in(random, 6) { 1 } else { 2 }),
                priority: one_in(random, 2).then(|| random.below(6) as u8),
                expiration: may_expire.then(|| name(&random.below(60).to_string())),
                ..self.features(!is_fanned && profile.takes_delays, random)
            };
            let publish = if is_fanned {
                BasicPublish { exchange: name(FANOUT), ..BasicPublish::default() }
            } else {
                let mandatory = one_in(random, 10);
                BasicPublish { routing_key: name(profile.name), mandatory, ..<_>::default() }
            };
            let id = self.last_id | if self.is_large { LARGE } else { 0 };
            client.publish(channel, &publish, &properties, id);
        }
    }

    /// What a message has for groups, duplicates and delays.
    fn features(&self, may_wait: bool, random: &mut Random) -> Properties {
        let (mut properties, mut headers) = (Properties::default(), FieldTable::new());
        if self.groups && !one_in(random, 4) {
            let group = pick(random, &["ada", "bob", "cyd"]);
            headers.insert(name(GROUP), FieldValue::LongStr((*group).into()));
        }
        if self.duplicates && one_in(random, 2) {
            let key = format!("order-{}", random.below(6));
            if one_in(random, 3) {
                headers.insert(name("x-deduplication-header"), FieldValue::LongStr(key.into()));
            } else {
                properties.message_id = Some(name(&key));
            }
        }
        if self.delays && may_wait && !one_in(random, 3) {
            let most = *pick(random, &[30, 400, 90_000]);
            let delay = 1 + random.below(most);
            if one_in(random, 3) {
                let at = i64::try_from(self.wall + delay).unwrap();
                headers.insert(name("x-deliver-at"), FieldValue::I64(at));
            } else {
                let delay = i32::try_from(delay).unwrap();
                headers.insert(name("x-delay"), FieldValue::I32(delay));
            }
        }
        properties.headers = (!headers.is_empty()).then_some(headers);
        properties
    }

    fn consume(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        if client.channels[&channel].consumers.len() >= 4 {
            return;
        }
        let profile = self.pick(random);
        Self::note_risk(client, channel, &profile);
        let no_ack = one_in(random, 6) && self.no_acks;
        let Profile { name: queue, is_hasty, .. } = profile;
        let has_lease = self.leases && is_hasty && !no_ack && !one_in(random, 3);
        let lease = has_lease.then(|| *pick(random, &[20, 100, LEASE_MS_MAX as i32]));
        let priority = random.below(3) as i32;
        client.consume(channel, Consumer { queue, no_ack, priority, is_hasty, lease });
    }

    /// A delivery that the client holds, and whether those before it are meant too.
    fn held(client: &Client, channel: u16, random: &mut Random) -> Option<(u64, bool)> {
        let state = &client.channels[&channel];
        if state.asked.contains(&Asked::Recover) {
            return None;
        }
        let tag = any(random, state.unacked.keys().copied())?;
        Some((tag, one_in(random, 3)))
    }

    fn ack(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        let Some((delivery_tag, multiple)) = Self::held(client, channel, random) else { return };
        client.channels.get_mut(&channel).unwrap().settle(delivery_tag, multiple);
        client.tell(channel, &BasicAck { delivery_tag, multiple });
    }

    fn requeue(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        Self::fail(client, channel, random, true);
    }

    fn reject(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        Self::fail(client, channel, random, false);
    }

    fn fail(client: &mut Client, channel: u16, random: &mut Random, requeue: bool) {
        let Some((delivery_tag, multiple)) = Self::held(client, channel, random) else { return };
        client.channels.get_mut(&channel).unwrap().settle(delivery_tag, multiple);
        if multiple || one_in(random, 2) {
            client.tell(channel, &BasicNack { delivery_tag, multiple, requeue });
        } else {
            client.tell(channel, &BasicReject { delivery_tag, requeue });
        }
    }

    /// Gives a message back that is to come again after a time.
    fn retry(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        let Some((tag, _)) = Self::held(client, channel, random) else { return };
        let delay = if one_in(random, 4) { 0 } else { random.below(300) };
        client.channels.get_mut(&channel).unwrap().settle(tag, false);
        let headers = [("x-delivery-tag", tag), ("x-delay", delay)];
        client.instruct(channel, "amq.forebay.retry", numbers(&headers));
    }

    /// Asks for more time for a message that would be taken back soon.
    fn extend(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        let state = &client.channels[&channel];
        if state.asked.contains(&Asked::Recover) {
            return;
        }
        let is_hasty = |queue: &str| self.profiles.iter().any(|it| it.name == queue && it.is_hasty);
        let hasty = state.unacked.iter().filter(|(_, unacked)| is_hasty(&unacked.queue));
        let Some(tag) = any(random, hasty.map(|(tag, _)| *tag)) else { return };
        let most = *pick(random, &[20, 200, 100_000]);
        let lease = 1 + random.below(most);
        let headers = [("x-delivery-tag", tag), ("x-lease", lease)];
        client.instruct(channel, "amq.forebay.extend", numbers(&headers));
    }

    fn recover(&mut self, client: &mut Client, channel: u16, _: &mut Random) {
        client.ask(channel, &BasicRecover { requeue: true }, Asked::Recover);
    }

    fn get(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        let profile = self.pick(random);
        Self::note_risk(client, channel, &profile);
        let no_ack = one_in(random, 4) && self.no_acks;
        let get = BasicGet { queue: name(profile.name), no_ack };
        client.ask(channel, &get, Asked::Get { queue: profile.name, no_ack });
    }

    fn cancel(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        let state = client.channels.get_mut(&channel).unwrap();
        let tags: Vec<ShortStr> = state.consumers.keys().cloned().collect();
        if let Some(place) = any(random, 0..tags.len()) {
            let consumer_tag = tags[place].clone();
            let asked = Asked::Cancel(consumer_tag.clone());
            client.ask(channel, &BasicCancel { consumer_tag, no_wait: false }, asked);
        }
    }

    fn limit(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        let prefetch_count = random.below(5) as u16;
        let global = one_in(random, 3);
        let state = client.channels.get_mut(&channel).unwrap();
        if global {
            state.limit(prefetch_count);
        } else {
            state.prefetch = prefetch_count;
        }
        let qos = BasicQos { prefetch_size: 0, prefetch_count, global };
        client.ask(channel, &qos, Asked::Anything);
    }

    fn confirm_mode(&mut self, client: &mut Client, channel: u16, _: &mut Random) {
        let state = client.channels.get_mut(&channel).unwrap();
        if state.mode == Mode::Plain {
            state.mode = Mode::Confirm;
            client.ask(channel, &ConfirmSelect { no_wait: false }, Asked::Anything);
        }
    }

    fn transaction_mode(&mut self, client: &mut Client, channel: u16, _: &mut Random) {
        let state = client.channels.get_mut(&channel).unwrap();
        if state.mode == Mode::Plain {
            state.mode = Mode::Transaction;
            client.ask(channel, &TxSelect {}, Asked::Anything);
        }
    }

    fn end_transaction(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        let is_kept = !one_in(random, 4);
        let state = client.channels.get_mut(&channel).unwrap();
        if state.mode != Mode::Transaction {
            return;
        }
        state.end_transaction(is_kept);
        if is_kept {
            client.ask(channel, &TxCommit {}, Asked::Commit);
        } else {
            client.ask(channel, &TxRollback {}, Asked::Anything);
        }
    }

    fn purge(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        let profile = pick(random, &self.profiles).clone();
        if profile.is_grave {
            // Nobody knows what is there.
            return;
        }
        Self::note_risk(client, channel, &profile);
        let queue = name(profile.name);
        client.ask(channel, &QueuePurge { queue, no_wait: false }, Asked::Anything);
    }

    fn delete(&mut self, client: &mut Client, channel: u16, _: &mut Random) {
        let queue = name(DELETABLE);
        client.ask(channel, &QueueDelete { queue, ..QueueDelete::default() }, Asked::Anything);
    }

    fn declare(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        let place = random.below(self.profiles.len() as u64) as usize;
        self.declare_one(client, channel, place);
    }

    fn close_channel(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        if one_in(random, 3) {
            client.close_channel(channel);
        }
    }

    fn close(&mut self, client: &mut Client, _: u16, random: &mut Random) {
        if one_in(random, 3) {
            client.close();
        }
    }

    /// What closes a channel: the client does not know yet.
    fn blunder(&mut self, client: &mut Client, channel: u16, random: &mut Random) {
        client.channels.get_mut(&channel).unwrap().may_fail = true;
        if one_in(random, 2) {
            let publish = BasicPublish { exchange: name("nowhere"), ..BasicPublish::default() };
            self.last_id += 1;
            client.publish(channel, &publish, &Properties::default(), self.last_id);
        } else {
            let ack = BasicAck { delivery_tag: 1_000_000, multiple: false };
            client.tell(channel, &ack);
        }
    }
}
