//! The data directory that `verify` and `repair` look at, and what they say of it.

use super::output::Output;
use super::target::{Answer, Fault};
use clap::Args;
use forebay_server::{Overrides, RabbitmqDefaults, Settings};
use forebay_store::{Certainty, Damage, Missing, ReadProgress, Verification};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Where the data lies.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataDirectory {
    /// The broker's configuration file, to find the data directory in
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    config: Option<PathBuf>,
    /// The data directory of a broker that is stopped [default: ./forebay-data]
    #[arg(long, value_name = "DIR", env = "FOREBAY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl DataDirectory {
    pub(crate) fn path(&self) -> Result<PathBuf, Fault> {
        if let Some(path) = &self.data_dir {
            return Ok(path.clone());
        }
        let overrides = Overrides { config: self.config.clone(), ..Overrides::default() };
        Ok(Settings::resolve(overrides, &RabbitmqDefaults::default())?.data_dir)
    }
}

/// A bar for what takes long, on a terminal.
pub(crate) struct Watch(ProgressBar);

impl Watch {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = "{msg} {wide_bar} {bytes} of {total_bytes}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
        bar.set_message("reading");
        Self(bar)
    }

    pub(crate) fn show(&self, progress: ReadProgress) {
        self.0.set_length(progress.bytes_total);
        self.0.set_position(progress.bytes);
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// What was found, and what else is to be said.
pub(crate) fn report(path: &Path, found: &Verification, more: &str) -> Answer {
    let is_sound = found.damages.is_empty();
    let state = if is_sound { "sound" } else { "damaged" };
    let mut lines = vec![format!("data directory {}: {state}", path.display())];
    lines.extend(found.damages.iter().map(|damage| format!("- {damage}")));
    lines.push(format!(
        "readable: {} queues with {} messages ({} bytes) in {} pages, {} records",
        found.queues, found.messages, found.bytes, found.pages, found.records
    ));
    if !is_sound {
        lines.push(format!("missing: {}; queues concerned: {}", found.missing(), queues(found)));
    }
    lines.extend((!more.is_empty()).then(|| more.to_owned()));
    Answer { text: lines.join("\n"), json: Value::Object(object(path, found)) }
}

/// Queues concerned: a number only where no other can be.
fn queues(found: &Verification) -> String {
    let queues = found.queues_damaged();
    match (found.is_every_queue_named(), queues) {
        (true, _) => queues.to_string(),
        (false, 0) => "unknown".to_owned(),
        (false, _) => format!("{queues} and perhaps others"),
    }
}

fn object(path: &Path, found: &Verification) -> Map<String, Value> {
    let missing = found.missing();
    let members = [
        ("data_dir", json!(path.display().to_string())),
        ("sound", json!(found.damages.is_empty())),
        ("queues", json!(found.queues)),
        ("messages", json!(found.messages)),
        ("bytes", json!(found.bytes)),
        ("pages", json!(found.pages)),
        ("records", json!(found.records)),
        ("messages_missing", messages_missing(missing)),
        ("messages_missing_counted", json!(missing.messages)),
        ("messages_missing_certainty", certainty(missing.certainty)),
        ("damages", found.damages.iter().map(damage).collect()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `null` when there may be more than anything counts.
fn messages_missing(missing: Missing) -> Value {
    match missing.certainty {
        Certainty::Unknown => Value::Null,
        Certainty::Exact | Certainty::AtMost => json!(missing.messages),
    }
}

fn certainty(certainty: Certainty) -> Value {
    json!(match certainty {
        Certainty::Exact => "exact",
        Certainty::AtMost => "at most",
        Certainty::Unknown => "unknown",
    })
}

fn damage(damage: &Damage) -> Value {
    let queue = damage.queue.as_ref();
    json!({
        "vhost": queue.map(|queue| &queue.vhost),
        "queue": queue.map(|queue| &queue.name),
        "queue_id": damage.level.map(|(queue, _)| queue.0),
        "lane": damage.level.map(|(_, level)| level.0),
        "first_offset": damage.offsets.map(|(first, _)| first.0),
        "end_offset": damage.offsets.and_then(|(_, end)| end).map(|end| end.0),
        "messages": damage.messages,
        "certainty": certainty(damage.certainty),
        "file": damage.file.as_ref().map(|file| file.display().to_string()),
        "what": damage.what,
    })
}
