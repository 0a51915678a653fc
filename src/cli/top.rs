//! `forebay top`: queues as they fill and drain.
//!
//! Rates are differences of the broker's counters over the last [`WINDOW`], so they do not depend
//! on who else asks. In a terminal the table is redrawn in place; into a pipe one follows the other.

use super::admin::{AdminError, AdminTarget};
use super::duration::interval;
use super::interrupt::Interrupt;
use super::printable::{json_line, printable};
use super::queue_report::{QueueReport, age_text};
use super::screen::Screen;
use super::table;
use super::target::{self, Fault, RECONNECT_FOR};
use clap::Args;
use console::{Term, truncate_str};
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

const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Show queues as they fill and drain, those with the most to do first
///
/// Asks the admin listener. LAG is what is not done, ready and unacked; DRAIN is how long the
/// consumers need for it at the rate at which they finish messages. `q` or Ctrl-C ends it. When the
/// listener does not answer any more, it asks again for a minute.
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
        let mut looks = VecDeque::new();
        // Rates need two looks, and what is wrong from the start is said at once.
        self.look(&mut looks).await?;
        let mut interrupt = Interrupt::listen()?;
        let mut screen =
            (Term::stdout().is_term() && !self.json).then(Screen::enter).transpose()?;
        let mut shown = 0;
        let mut lost_at: Option<Instant> = None;
        while self.count.is_none_or(|count| shown < count) {
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = interrupt.next() => break,
                () = quit(screen.as_mut()) => break,
            }
            let rows = match self.look(&mut looks).await {
                Ok(rows) => rows,
                Err(error) => {
                    // A broker that starts again is what somebody wants to watch.
                    let is_first = lost_at.is_none();
                    let since = *lost_at.get_or_insert_with(Instant::now);
                    if !is_unreachable(&error) || since.elapsed() > RECONNECT_FOR {
                        return Err(error);
                    }
                    let text = format!("{error}; asking again");
                    match &screen {
                        Some(_) => draw(&text, &[])?,
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
            if self.json {
                target::print(json_line(&json_of(&rows)))?;
            } else if screen.is_some() {
                let width = Term::stdout().size().1;
                draw(&self.title(&rows), &lines(&rows, Some(width.into())))?;
            } else {
                let table = lines(&rows, None).join("\n");
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

fn lines(rows: &[Row], width: Option<usize>) -> Vec<String> {
    // Where they have no place side by side, the last ones are left out.
    let headings =
        ["QUEUE", "LAG", "READY", "UNACKED", "IN/s", "OUT/s", "DRAIN", "OLDEST", "CONSUMERS"];
    let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
    table::lines(
        headings,
        rows.iter().map(|row| {
            [
                row.queue.title(),
                row.queue.lag().to_string(),
                row.queue.ready.to_string(),
                row.queue.unacked.to_string(),
                rate(row.rates.map(|rates| rates.published)),
                rate(row.rates.map(|rates| rates.settled)),
                age_text(row.drain()),
                age_text(row.queue.oldest_age),
                row.queue.consumers.to_string(),
            ]
        }),
        width,
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

/// As much of the table as the terminal has lines for, over the last one; the last line says how many queues
/// have none, and how to end.
fn draw(title: &str, lines: &[String]) -> io::Result<()> {
    let (height, width) = Term::stdout().size();
    let (height, width) = (usize::from(height), usize::from(width));
    // Title, an empty line, headings, and the last line.
    let table_height = height.saturating_sub(3);
    let hidden = lines.len().saturating_sub(table_height);
    let foot = match hidden {
        0 => "q quits".to_owned(),
        hidden => format!("{hidden} more queues, with less lag; q quits"),
    };
    let shown = lines.iter().take(table_height).map(String::as_str);
    let all = [title, ""].into_iter().chain(shown).take(height.saturating_sub(1));
    let mut screen = HOME.to_owned();
    for line in all {
        screen.push_str(&truncate_str(&printable(line), width, "…"));
        screen.push_str(CLEAR_LINE);
        screen.push_str("\r\n");
    }
    screen.push_str(&truncate_str(&foot, width, "…"));
    screen.push_str(CLEAR_LINE);
    screen.push_str(CLEAR_BELOW);
    let mut output = io::stdout().lock();
    output.write_all(screen.as_bytes())?;
    output.flush()
}

/// The listener does not answer, as while a broker starts again.
fn is_unreachable(error: &Fault) -> bool {
    matches!(error.downcast_ref(), Some(AdminError::Unreachable { .. }))
}

/// The user wants to end.
async fn quit(screen: Option<&mut Screen>) {
    match screen {
        Some(screen) => screen.quit().await,
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
