//! The log of `serve`: a line for each event, whatever stands in it.
//!
//! Names and reasons come from clients that have not logged in yet. As text they are escaped, so that no name
//! begins a line of its own or steers a terminal; strings that stand in fields are quoted besides, so that
//! none looks like another field. As JSON they are strings.

use super::printable::{json_line, printable};
use forebay_server::config::config_log::LogFormat;
use serde_json::{Map, Value};
use std::error::Error;
use std::fmt;
use std::io::IsTerminal;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// What is logged, to be changed while the broker runs.
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Logs to standard error from now on.
    pub(crate) fn start(filter: &str, format: LogFormat) -> Result<Self, Box<dyn Error>> {
        let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let lines: Box<dyn Layer<_> + Send + Sync> = match format {
            LogFormat::Json => Box::new(lines.event_format(JsonLines)),
            LogFormat::Text => {
                let fields = debug_fn(|writer, field, value| write_field(writer, field, value));
                let lines = lines.with_target(false).with_ansi(std::io::stderr().is_terminal());
                Box::new(lines.fmt_fields(fields.delimited(" ")))
            }
        };
        tracing_subscriber::registry().with(filter).with(lines).init();
        Ok(Self { filter: handle })
    }

    /// Logs this from now on.
    pub(crate) fn set(&self, filter: &str) -> Result<(), Box<dyn Error>> {
        Ok(self.filter.reload(EnvFilter::try_new(filter)?)?)
    }
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = printable(&format!("{value:?}"));
    match field.name() {
        "message" => writer.write_str(&text),
        name => write!(writer, "{name}={text}"),
    }
}

/// An event as one JSON object: `timestamp`, `level`, `message` and its fields.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut object = Members(Map::new());
        object.put("timestamp", time);
        object.put("level", event.metadata().level().to_string());
        object.put("target", event.metadata().target());
        event.record(&mut object);
        writeln!(writer, "{}", json_line(&Value::Object(object.0)))
    }
}

struct Members(Map<String, Value>);

impl Members {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Members {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }
}
