//! `forebay top`: queues as they fill and drain.
//!
//! Rates are differences of the broker's counters over the last [`WINDOW`], so they do not depend
//! on other programs that ask. In a terminal the table is redrawn in place; into a pipe one follows the other.

mod screen;

use super::admin::{AdminError, AdminTarget};
use super::duration::interval;
use super::interrupt::Interrupt;
use super::output::{Format, Output, csv_line};
use super::printable::json_line;
use super::queue_report::{QueueReport, age_text};
use super::table;
use super::target::{self, Fault, RECONNECT_FOR};
use clap::Args;
use screen::{Input, Screen};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io::{self, IsTerminal, stdin, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const EXAMPLES: &str = "Examples:
  forebay top
  forebay top --interval 5s --vhost shop
  forebay top --count 1 --json | jq '.queues[] | select(.lag > 1000)'";

/// Rates are averages over so long.
const WINDOW: Duration = Duration::from_secs(5);

/// Where they have no place side by side, the last ones are left out.
const HEADINGS: [&str; 10] =
    ["QUEUE", "LAG", "NORMAL", "READY", "UNACKED", "IN/s", "OUT/s", "DRAIN", "OLDEST", "CONSUMERS"];

/// The time of the table in seconds since 1970, and members of the JSON.
const CSV_COLUMNS: [&str; 13] = [
    "unix_time",
    "vhost",
    "name",
    "lag",
    "normal_peak",
    "ready",
    "unacked",
    "in_rate",
    "out_rate",
    "drain_seconds",
    "oldest_age_seconds",
    "consumers",
    "paused",
];

/// Show queues as they fill and drain, those with the most to do first
///
/// Asks the admin listener. LAG is what is not done, ready and unacked, NORMAL its normal peak at this time of day; DRAIN is how long the
/// consumers need for it at the rate at which they finish messages. In a terminal the arrow keys, Page Up,
/// Page Down, Home and End scroll, and `q` or Ctrl-C ends it. When the listener does not answer any more, it
/// asks again for a minute.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Top {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only queues of this virtual host
    #[arg(long)]
    vhost: Option<String>,
    /// Time between two tables
    #[arg(long, short, default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// End after so many tables
    #[arg(long, short = 'n')]
    count: Option<u64>,
    #[command(flatten)]
    output: Output,
}

/// A queue with its rates per second; none before there are two samples at it.
struct Row {
    queue: QueueReport,
    rates: Option<Rates>,
}

#[derive(Clone, Copy)]
struct Rates {
    published: f64,
    settled: f64,
}

/// The counters of all queues at one moment.
struct Sample {
    at: Instant,
    totals: HashMap<(String, String), (u64, u64)>,
}

impl Top {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.show())
    }

    async fn show(self) -> Result<ExitCode, Fault> {
        let mut samples = VecDeque::new();
        // Rates need two samples, and what is wrong from the start is said at once.
        self.sample(&mut samples).await?;
        let mut interrupt = Interrupt::listen()?;
        let is_drawn =
            !self.output.is_for_programs() && stdin().is_terminal() && stdout().is_terminal();
        let mut screen = is_drawn.then(Screen::enter).transpose()?;
        let mut shown = 0;
        let mut lost_at: Option<Instant> = None;
        let mut due = Instant::now() + self.interval;
        while self.count.is_none_or(|count| shown < count) {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => due = Instant::now() + self.interval,
                () = interrupt.next() => break,
                input = input(screen.as_mut()) => match (input, screen.as_mut()) {
                    (Input::Redraw, Some(screen)) => {
                        screen.draw()?;
                        continue;
                    }
                    _ => break,
                },
            }
            let rows = match self.sample(&mut samples).await {
                Ok(rows) => rows,
                Err(error) => {
                    // The restart of a broker is worth watching.
                    let is_first = lost_at.is_none();
                    let since = *lost_at.get_or_insert_with(Instant::now);
                    if !is_unreachable(&error) || since.elapsed() > RECONNECT_FOR {
                        return Err(error);
                    }
                    let text = format!("{error}; asking again");
                    match &mut screen {
                        // Figures of before would look like those of now.
                        Some(screen) => screen.show(&text, Vec::new())?,
                        None if is_first => target::tell(text),
                        None => {}
                    }
                    continue;
                }
            };
            if lost_at.take().is_some() && screen.is_none() {
                target::tell(format_args!("{} answers again", self.admin.address()));
            }
            shown += 1;
            if let Some(screen) = &mut screen {
                screen.show(&self.title(&rows), rows.iter().map(Row::cells).collect())?;
            } else {
                self.print(&rows, shown == 1)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One table after the other.
    fn print(&self, rows: &[Row], is_first: bool) -> io::Result<()> {
        let json = json_of(rows);
        match self.output.format() {
            Format::Table => {
                let table = table::list(HEADINGS, rows.iter().map(Row::cells), None);
                target::print(format_args!("{}\n{table}\n", self.title(rows)))
            }
            Format::Json => target::print(json_line(&json)),
            Format::Csv => {
                if is_first {
                    target::print(CSV_COLUMNS.join(","))?;
                }
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                for queue in json.get("queues").and_then(Value::as_array).into_iter().flatten() {
                    let member = |name: &&str| queue.get(*name).cloned().unwrap_or_default();
                    let mut row: Vec<Value> = CSV_COLUMNS.iter().map(member).collect();
                    if let Some(time) = row.first_mut() {
                        *time = now.as_secs().into();
                    }
                    target::print(csv_line(&row))?;
                }
                Ok(())
            }
        }
    }

    /// Asks, and reckons the rates since the oldest sample of the window.
    async fn sample(&self, samples: &mut VecDeque<Sample>) -> Result<Vec<Row>, Fault> {
        let (admin, vhost) = (self.admin.clone(), self.vhost.clone());
        let ask = move || QueueReport::list(&admin, vhost.as_deref());
        let queues = tokio::task::spawn_blocking(ask).await??;
        let at = Instant::now();
        let totals = queues.iter().map(|queue| {
            ((queue.vhost.clone(), queue.name.clone()), (queue.published, queue.settled))
        });
        samples.push_back(Sample { at, totals: totals.collect() });
        while samples.len() > 2 && samples.front().is_some_and(|sample| at - sample.at > WINDOW) {
            samples.pop_front();
        }
        let row = |queue: QueueReport| Row { rates: rates(samples, &queue), queue };
        let mut rows: Vec<Row> = queues.into_iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.queue.lag()));
        Ok(rows)
    }

    fn title(&self, rows: &[Row]) -> String {
        let sum = |value: fn(&QueueReport) -> u64| -> u64 {
            rows.iter().map(|row| value(&row.queue)).sum()
        };
        format!(
            "{}: {} queues, {} ready, {} unacked, {} consumers",
            self.admin.address(),
            rows.len(),
            sum(|queue| queue.ready),
            sum(|queue| queue.unacked),
            sum(|queue| queue.consumers),
        )
    }
}

/// Against the oldest sample that knows the queue. Counters that fell belong to another life of the
/// broker or of the queue.
fn rates(samples: &VecDeque<Sample>, queue: &QueueReport) -> Option<Rates> {
    let key = (queue.vhost.clone(), queue.name.clone());
    let newest = samples.back()?;
    let (at, (published, settled)) =
        samples.iter().find_map(|sample| Some((sample.at, *sample.totals.get(&key)?)))?;
    let seconds = (newest.at - at).as_secs_f64();
    if seconds == 0.0 {
        return None;
    }
    let rate = |now: u64, then: u64| Some(now.checked_sub(then)? as f64 / seconds);
    Some(Rates {
        published: rate(queue.published, published)?,
        settled: rate(queue.settled, settled)?,
    })
}

impl Row {
    /// Seconds that the lag takes at the rate of its working off; infinite when it is not.
    fn drain(&self) -> Option<f64> {
        match self.queue.lag() {
            0 => Some(0.0),
            lag => self.rates.map(|rates| lag as f64 / rates.settled),
        }
    }

    /// What stands below each of the [`HEADINGS`].
    fn cells(&self) -> [String; HEADINGS.len()] {
        let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        let paused = if self.queue.pause.is_some() { " (paused)" } else { "" };
        [
            self.queue.title() + paused,
            self.queue.lag().to_string(),
            self.queue.normal_text(),
            self.queue.ready.to_string(),
            self.queue.unacked.to_string(),
            rate(self.rates.map(|rates| rates.published)),
            rate(self.rates.map(|rates| rates.settled)),
            age_text(self.drain()),
            age_text(self.queue.oldest_age),
            self.queue.consumers.to_string(),
        ]
    }
}

/// Numbers that are not known, or infinite, are null.
fn json_of(rows: &[Row]) -> Value {
    let queues: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "vhost": row.queue.vhost,
                "name": row.queue.name,
                "ready": row.queue.ready,
                "unacked": row.queue.unacked,
                "lag": row.queue.lag(),
                "normal_peak": row.queue.normal_peak,
                "symptoms": row.queue.symptoms,
                "in_rate": row.rates.map(|rates| rates.published),
                "out_rate": row.rates.map(|rates| rates.settled),
                "oldest_age_seconds": row.queue.oldest_age,
                "drain_seconds": row.drain(),
                "consumers": row.queue.consumers,
                "paused": row.queue.pause.is_some(),
            })
        })
        .collect();
    json!({ "queues": queues })
}

/// The listener does not answer, as while a broker starts again.
fn is_unreachable(error: &Fault) -> bool {
    matches!(error.downcast_ref(), Some(AdminError::Unreachable { .. }))
}

/// What the user does; never ready without a screen.
async fn input(screen: Option<&mut Screen>) -> Input {
    match screen {
        Some(screen) => screen.input().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(published: u64, settled: u64) -> QueueReport {
        QueueReport {
            vhost: "/".into(),
            name: "orders".into(),
            ready: published - settled,
            unacked: 0,
            parked: 0,
            next_retry: None,
            consumers: 1,
            published,
            settled,
            oldest_age: None,
            normal_peak: None,
            symptoms: Vec::new(),
            state: "running".into(),
            pause: None,
        }
    }

    fn sample(at: Instant, queue: &QueueReport) -> Sample {
        let key = (queue.vhost.clone(), queue.name.clone());
        Sample { at, totals: HashMap::from([(key, (queue.published, queue.settled))]) }
    }

    #[test]
    fn rates_are_those_of_the_window() {
        let now = Instant::now();
        let (before, after) = (report(100, 0), report(300, 50));
        let samples: VecDeque<_> =
            [sample(now, &before), sample(now + Duration::from_secs(2), &after)].into();
        let row = Row { rates: rates(&samples, &after), queue: after };
        let rates = row.rates.unwrap();
        assert_eq!((rates.published, rates.settled), (100.0, 25.0));
        assert_eq!(row.drain(), Some(10.0));
        let idle = Row { rates: Some(Rates { settled: 0.0, ..rates }), queue: report(1, 0) };
        assert_eq!(idle.drain(), Some(f64::INFINITY));
        assert_eq!(json_of(&[idle])["queues"][0]["drain_seconds"], Value::Null);
    }

    #[test]
    fn a_broker_that_started_again_has_no_rates_yet() {
        let now = Instant::now();
        let fresh = report(1, 0);
        let samples = [sample(now, &report(100, 0)), sample(now + Duration::from_secs(1), &fresh)];
        assert!(rates(&samples.into(), &fresh).is_none());
    }
}
