//! `forebay top`: queues as they fill and drain.
//!
//! Rates are differences of the broker's counters over the last [`WINDOW`], so they do not depend
//! on who else asks. In a terminal the table is redrawn in place; into a pipe one follows the other.

use super::admin::AdminTarget;
use super::duration::duration;
use super::interrupt::Interrupt;
use super::queue_report::{QueueReport, age_text};
use super::table;
use super::target::{self, Fault};
use clap::Args;
use console::Term;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "Examples:
  forebay top
  forebay top --interval 5s --vhost shop
  forebay top --count 1 --json | jq '.queues[] | select(.lag > 1000)'";

/// Rates are averages over so long.
const WINDOW: Duration = Duration::from_secs(5);

/// The other screen of a terminal, without cursor; and back.
const ENTER_SCREEN: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE_SCREEN: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Show queues as they fill and drain, those with the most to do first
///
/// Asks the admin listener. LAG is what is not done, ready and unacked; DRAIN is how long the
/// consumers need for it at the rate at which they finish messages.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Top {
    #[command(flatten)]
    admin: AdminTarget,
    /// Only queues of this virtual host
    #[arg(long)]
    vhost: Option<String>,
    /// Time between two tables
    #[arg(long, short, default_value = "1s", value_parser = duration)]
    interval: Duration,
    /// End after so many tables
    #[arg(long, short = 'n')]
    count: Option<u64>,
    /// Print each table as a line of JSON
    #[arg(long)]
    json: bool,
}

/// A queue with its rates per second; none before there are two looks at it.
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
struct Look {
    at: Instant,
    totals: HashMap<(String, String), (u64, u64)>,
}

impl Top {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.show())
    }

    async fn show(self) -> Result<ExitCode, Fault> {
        let terminal = Term::stdout();
        let is_live = terminal.is_term() && !self.json;
        let mut looks = VecDeque::new();
        // Rates need two looks.
        self.look(&mut looks).await?;
        let mut interrupt = Interrupt::listen()?;
        let _screen = is_live.then(Screen::enter).transpose()?;
        let mut shown = 0;
        while self.count.is_none_or(|count| shown < count) {
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = interrupt.next() => break,
            }
            let rows = self.look(&mut looks).await?;
            shown += 1;
            if self.json {
                target::print(json_of(&rows))?;
            } else if is_live {
                draw(&terminal, &self.title(&rows), &lines(&rows))?;
            } else {
                let table = lines(&rows).join("\n");
                target::print(format_args!("{}\n{table}\n", self.title(&rows)))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Asks, and reckons the rates since the oldest look of the window.
    async fn look(&self, looks: &mut VecDeque<Look>) -> Result<Vec<Row>, Fault> {
        let (admin, vhost) = (self.admin.clone(), self.vhost.clone());
        let ask = move || QueueReport::list(&admin, vhost.as_deref());
        let queues = tokio::task::spawn_blocking(ask).await??;
        let at = Instant::now();
        let totals = queues.iter().map(|queue| {
            ((queue.vhost.clone(), queue.name.clone()), (queue.published, queue.settled))
        });
        looks.push_back(Look { at, totals: totals.collect() });
        while looks.len() > 2 && looks.front().is_some_and(|look| at - look.at > WINDOW) {
            looks.pop_front();
        }
        let row = |queue: QueueReport| Row { rates: rates(looks, &queue), queue };
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

/// Against the oldest look that knows the queue. Counters that fell belong to another life of the
/// broker or of the queue.
fn rates(looks: &VecDeque<Look>, queue: &QueueReport) -> Option<Rates> {
    let key = (queue.vhost.clone(), queue.name.clone());
    let newest = looks.back()?;
    let (at, (published, settled)) =
        looks.iter().find_map(|look| Some((look.at, *look.totals.get(&key)?)))?;
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
}

fn lines(rows: &[Row]) -> Vec<String> {
    let headings =
        ["QUEUE", "READY", "UNACKED", "LAG", "IN/s", "OUT/s", "OLDEST", "DRAIN", "CONSUMERS"];
    let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
    table::lines(
        headings,
        rows.iter().map(|row| {
            [
                row.queue.title(),
                row.queue.ready.to_string(),
                row.queue.unacked.to_string(),
                row.queue.lag().to_string(),
                rate(row.rates.map(|rates| rates.published)),
                rate(row.rates.map(|rates| rates.settled)),
                age_text(row.queue.oldest_age),
                age_text(row.drain()),
                row.queue.consumers.to_string(),
            ]
        }),
    )
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
                "in_rate": row.rates.map(|rates| rates.published),
                "out_rate": row.rates.map(|rates| rates.settled),
                "oldest_age_seconds": row.queue.oldest_age,
                "drain_seconds": row.drain(),
                "consumers": row.queue.consumers,
            })
        })
        .collect();
    json!({ "queues": queues })
}

/// As much of the table as there is room for, over the last one.
fn draw(terminal: &Term, title: &str, lines: &[String]) -> io::Result<()> {
    let (height, width) = terminal.size();
    let mut screen = HOME.to_owned();
    let all = [title, ""].into_iter().chain(lines.iter().map(String::as_str));
    for (at, line) in all.take(height.into()).enumerate() {
        if at > 0 {
            screen.push_str("\r\n");
        }
        screen.extend(line.chars().take(width.into()));
        screen.push_str(CLEAR_LINE);
    }
    screen.push_str(CLEAR_BELOW);
    let mut output = io::stdout().lock();
    output.write_all(screen.as_bytes())?;
    output.flush()
}

/// The terminal's other screen, left when dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        let mut output = io::stdout().lock();
        output.write_all(ENTER_SCREEN.as_bytes())?;
        output.flush()?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut output = io::stdout().lock();
        // A terminal that is gone needs no cursor.
        let _ = output.write_all(LEAVE_SCREEN.as_bytes()).and_then(|()| output.flush());
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
            consumers: 1,
            published,
            settled,
            oldest_age: None,
        }
    }

    fn look(at: Instant, queue: &QueueReport) -> Look {
        let key = (queue.vhost.clone(), queue.name.clone());
        Look { at, totals: HashMap::from([(key, (queue.published, queue.settled))]) }
    }

    #[test]
    fn rates_are_those_of_the_window() {
        let now = Instant::now();
        let (before, after) = (report(100, 0), report(300, 50));
        let looks: VecDeque<_> =
            [look(now, &before), look(now + Duration::from_secs(2), &after)].into();
        let row = Row { rates: rates(&looks, &after), queue: after };
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
        let looks = [look(now, &report(100, 0)), look(now + Duration::from_secs(1), &fresh)];
        assert!(rates(&looks.into(), &fresh).is_none());
    }
}
