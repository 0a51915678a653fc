//! How queues stood in the last minutes, so that a page that is opened has a line to draw. Taken from the
//! rates whenever those are renewed: nobody is asked for it.

use crate::limits::CONSOLE_TRAIL_POINTS_MAX;
use crate::metrics::{Flow, QueueRates};
use forebay_engine::model::QueueId;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};

/// The last looks, of all queues that had messages meanwhile.
#[derive(Debug, Default)]
pub(super) struct Trails {
    /// When each look was, in ms since 1970.
    times: VecDeque<u64>,
    /// The lag of each queue; the last number is the last look's.
    lags: HashMap<QueueId, VecDeque<u32>>,
    /// Of all queues together.
    total: VecDeque<Total>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    lag: u64,
    /// By clients; in the flow a message counts once for each queue that it went to.
    published: f64,
    flow: Flow,
}

impl Trails {
    /// There was a look; `published` messages a second came from clients.
    pub(super) fn push(&mut self, time: u64, rates: &QueueRates, published: f64) {
        push(&mut self.times, time);
        let mut total = Total { published, ..Total::default() };
        let mut last = std::mem::take(&mut self.lags);
        for (queue, lag, flow) in rates.looked_at() {
            total.lag += lag;
            total.flow = total.flow.plus(flow);
            // A queue that was empty all the time has none.
            let trail =
                last.remove(&queue).filter(|trail| lag > 0 || trail.iter().any(|lag| *lag > 0));
            if lag > 0 || trail.is_some() {
                let mut trail = trail.unwrap_or_default();
                push(&mut trail, u32::try_from(lag).unwrap_or(u32::MAX));
                self.lags.insert(queue, trail);
            }
        }
        push(&mut self.total, total);
    }

    /// Points of a queue, `[time, lag]`.
    pub(super) fn of(&self, queue: QueueId) -> Value {
        let Some(trail) = self.lags.get(&queue) else { return json!([]) };
        let times = self.times.iter().skip(self.times.len().saturating_sub(trail.len()));
        times.zip(trail).map(|(time, lag)| json!([time, lag])).collect()
    }

    /// Points of all queues together, `[time, lag, published, delivered, acknowledged]`.
    pub(super) fn of_all(&self) -> Value {
        let points =
            self.times.iter().zip(&self.total).map(|(time, Total { lag, published, flow })| {
                json!([time, lag, published, flow.rate("deliver_get"), flow.rate("ack")])
            });
        points.collect()
    }
}

fn push<T>(trail: &mut VecDeque<T>, point: T) {
    if trail.len() >= CONSOLE_TRAIL_POINTS_MAX {
        trail.pop_front();
    }
    trail.push_back(point);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_is_bounded() {
        let mut trail = VecDeque::new();
        for point in 0..CONSOLE_TRAIL_POINTS_MAX + 5 {
            push(&mut trail, point);
        }
        assert_eq!(trail.len(), CONSOLE_TRAIL_POINTS_MAX);
        assert_eq!(trail.back(), Some(&(CONSOLE_TRAIL_POINTS_MAX + 4)));
    }
}
