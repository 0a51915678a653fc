//! What the admin listener says about each queue. RabbitMQ's says the same, but for the age.

use super::admin::{AdminError, AdminTarget, segment};
use serde_json::Value;

/// The symptom of a paused queue.
const PAUSED: &str = "paused";

/// Why a queue delivers nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pause {
    /// In ms since 1970.
    pub(crate) since: u64,
    pub(crate) by: String,
}

/// One queue at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QueueReport {
    pub(crate) vhost: String,
    pub(crate) name: String,
    pub(crate) ready: u64,
    pub(crate) unacked: u64,
    /// Messages that came back and wait for a retry.
    pub(crate) parked: u64,
    /// In how many seconds the first of them is due.
    pub(crate) next_retry: Option<f64>,
    pub(crate) consumers: u64,
    /// `running`, or `crashed` when stored messages of it are damaged.
    pub(crate) state: String,
    /// That somebody has paused it.
    pub(crate) pause: Option<Pause>,
    /// Messages that came in, since the broker's start.
    pub(crate) published: u64,
    /// Messages that consumers are done with, since the broker's start.
    pub(crate) settled: u64,
    /// Age of the oldest message in seconds, where it is known.
    pub(crate) oldest_age: Option<f64>,
    /// The highest lag that is normal now, where it is known.
    pub(crate) normal_peak: Option<f64>,
    /// What is wrong with it: names of symptoms.
    pub(crate) symptoms: Vec<String>,
}

impl QueueReport {
    /// All queues that the user sees, or those of one virtual host.
    ///
    /// # Errors
    /// When the listener can't be reached, refuses, or answers what is no list of queues.
    pub(crate) fn list(admin: &AdminTarget, vhost: Option<&str>) -> Result<Vec<Self>, AdminError> {
        let path = vhost.map_or_else(
            || "/api/queues".to_owned(),
            |vhost| format!("/api/queues/{}", segment(vhost)),
        );
        let queues = admin.get(&path)?;
        let queues = queues.as_array().map(|queues| queues.iter().map(Self::read).collect());
        queues.flatten().ok_or_else(|| admin.nonsense(&path))
    }

    /// A queue as the listener describes it; `None` when it is none.
    pub(crate) fn read(queue: &Value) -> Option<Self> {
        let text = |field| Some(queue.get(field)?.as_str()?.to_owned());
        // RabbitMQ's listener gives no numbers of a queue that was not used yet.
        let number = |field| queue.get(field).and_then(Value::as_u64).unwrap_or(0);
        let total = |field| {
            queue.pointer(&format!("/message_stats/{field}")).and_then(Value::as_u64).unwrap_or(0)
        };
        let age = queue.get("oldest_message_age_ms").and_then(Value::as_f64);
        let next_retry = queue.get("next_retry_in_ms").and_then(Value::as_f64);
        let symptoms = queue.pointer("/lag/symptoms").and_then(Value::as_array);
        let symptoms = symptoms.map(Vec::as_slice).unwrap_or_default();
        Some(Self {
            vhost: text("vhost")?,
            name: text("name")?,
            ready: number("messages_ready"),
            unacked: number("messages_unacknowledged"),
            parked: number("messages_parked"),
            next_retry: next_retry.map(|ms| ms / 1_000.0),
            consumers: number("consumers"),
            state: text("state").unwrap_or_default(),
            pause: queue
                .get("paused_since")
                .and_then(Value::as_u64)
                .map(|since| Pause { since, by: text("paused_by").unwrap_or_default() }),
            published: total("publish"),
            settled: total("ack") + total("deliver_no_ack"),
            oldest_age: age.map(|age| age / 1_000.0),
            normal_peak: queue.pointer("/lag/normal_peak").and_then(Value::as_f64),
            symptoms: symptoms.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }

    /// Messages that are not done.
    pub(crate) fn lag(&self) -> u64 {
        self.ready + self.unacked
    }

    /// The normal peak for people: `-` where it is not known.
    pub(crate) fn normal_text(&self) -> String {
        self.normal_peak.map_or("-".to_owned(), |peak| format!("{peak:.0}"))
    }

    /// Its state, and what is wrong with it. That it is paused the symptoms say only after the next look.
    pub(crate) fn state_text(&self) -> String {
        let symptoms = self.symptoms.iter().map(String::as_str);
        let paused = self.pause.as_ref().map(|_| PAUSED);
        let states = std::iter::once(self.state.as_str()).chain(paused);
        states.chain(symptoms.filter(|symptom| *symptom != PAUSED)).collect::<Vec<_>>().join(", ")
    }

    /// The name, with the virtual host where it is not the default one.
    pub(crate) fn title(&self) -> String {
        match self.vhost.as_str() {
            "/" => self.name.clone(),
            vhost => format!("{vhost}:{}", self.name),
        }
    }
}

/// Seconds for people: `-` where they are not known.
pub(crate) fn age_text(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if !seconds.is_finite() => "never".to_owned(),
        Some(seconds) if seconds < 100.0 => format!("{seconds:.1}s"),
        Some(seconds) if seconds < 6_000.0 => format!("{:.0}m", seconds / 60.0),
        Some(seconds) if seconds < 172_800.0 => format!("{:.0}h", seconds / 3_600.0),
        Some(seconds) => format!("{:.0}d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_queue_that_nobody_used_has_zeros() {
        let queue = QueueReport::read(&json!({ "vhost": "shop", "name": "orders" })).unwrap();
        assert_eq!((queue.lag(), queue.oldest_age), (0, None));
        assert_eq!(queue.title(), "shop:orders");
        assert_eq!(QueueReport::read(&json!({ "name": "orders" })), None);
    }

    #[test]
    fn a_paused_queue_says_so_once() {
        let mut queue = json!({
            "vhost": "/", "name": "q", "state": "running", "paused_since": 5, "paused_by": "ops",
        });
        let text = |queue: &Value| QueueReport::read(queue).unwrap().state_text();
        assert_eq!(text(&queue), "running, paused");
        queue["lag"] = json!({ "symptoms": ["too-old", "paused"] });
        assert_eq!(text(&queue), "running, paused, too-old");
    }

    #[test]
    fn ages_are_short() {
        let texts = [None, Some(0.25), Some(90.0), Some(7_200.0), Some(864_000.0)].map(age_text);
        assert_eq!(texts, ["-", "0.2s", "90.0s", "2h", "10d"]);
        assert_eq!(age_text(Some(f64::INFINITY)), "never");
    }
}
