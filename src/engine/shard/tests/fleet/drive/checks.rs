//! What must hold after each step.

use super::{Drive, NAMES, Place3, QUARANTINED_WAIT_MS_MAX, Subscribed};
use crate::limits::QUARANTINE_MS_MAX;
use crate::shard::tests::fleet::model::Place;

impl Drive {
    pub(super) fn check(&mut self) {
        for (queue, name) in NAMES.iter().enumerate() {
            let count = |is: fn(Place) -> bool| {
                self.model.of(queue).filter(|(_, entry)| is(entry.place)).count() as u64
            };
            let statistics = self.broker.statistics(name);
            assert_eq!(statistics.ready, count(|place| place == Place::Ready), "queue {queue}");
            assert_eq!(statistics.unacked, count(|place| matches!(place, Place::Held { .. })));
            let name = format!("{name}.dlq");
            let reports = self.broker.shard.statistics().queues;
            let dead = reports.into_iter().find(|report| report.record.name == name.as_str());
            let dead = dead.map_or(0, |dead| dead.statistics.ready);
            assert_eq!(dead, count(|place| place == Place::Dead), "condemned in queue {queue}");
        }
        if self.is_single {
            self.check_order();
        }
        self.check_waits();
    }

    /// No message of the second queue is in the hands of a consumer before an earlier one.
    fn check_order(&self) {
        let mut holder = None;
        let mut is_earlier_ready = false;
        for (index, entry) in self.model.of(1) {
            match entry.place {
                Place::Ready => is_earlier_ready = true,
                Place::Held { client, channel, consumer: Some(_) } => {
                    let consumer = (client, channel);
                    let first = *holder.get_or_insert(consumer);
                    assert_eq!(first, consumer, "{index} is with another one than those before it");
                    // What came back by itself may stand before what is still held.
                    let is_new = self.model.clients[client as usize].given_at == self.model.now;
                    let has_room = is_new && !entry.is_delivered;
                    assert!(!is_earlier_ready || !has_room, "{index} has passed an earlier one");
                }
                _ => {}
            }
        }
    }

    /// Nobody who has room waits for long.
    fn check_waits(&mut self) {
        let now = self.model.now;
        let places: Vec<Place3> = self.consumers.keys().copied().collect();
        for place in places {
            let (client, channel, queue) = place;
            let is_single = self.is_single && queue == 1;
            let mut others =
                self.consumers.keys().filter(|other| **other != place && other.2 == queue);
            let others_hang = others.all(|other| self.model.hangs(other.0, other.1));
            let Subscribed { number, prefetch, waits_since, passed_over_since } =
                self.consumers[&place];
            let has_room = !self.model.hangs(client, channel)
                && (prefetch == 0 || self.taken_room(Some(number)) < usize::from(prefetch));
            // An earlier consumer of the same channel is another one.
            let others = self.model.of(queue).any(|(_, entry)| match entry.place {
                Place::Held { consumer, .. } => consumer.is_some() && consumer != Some(number),
                _ => false,
            });
            let mut ready = self.model.ready(queue);
            let is_there = match is_single {
                true => ready.next().is_some_and(|(_, front)| !front.is_quarantined),
                false => ready.any(|(_, entry)| !entry.is_quarantined),
            };
            let is_anything_there = self.model.ready(queue).next().is_some();
            let is_served = !is_single || (others_hang && !others);
            let waits = has_room && is_served && is_anything_there;
            let waits_since = waits.then(|| waits_since.unwrap_or(now));
            let is_passed_over = waits && is_there;
            let passed_over_since = is_passed_over.then(|| passed_over_since.unwrap_or(now));
            let subscribed = Subscribed { number, prefetch, waits_since, passed_over_since };
            self.consumers.insert(place, subscribed);
            let given_at = self.model.clients[client as usize].given_at;
            for (since, most) in
                [(waits_since, QUARANTINED_WAIT_MS_MAX), (passed_over_since, QUARANTINE_MS_MAX)]
            {
                let waited = since.map_or(0, |since| now - since.max(given_at));
                assert!(waited <= most, "{place:?} has room, and waits since {waited} ms");
            }
        }
    }
}
