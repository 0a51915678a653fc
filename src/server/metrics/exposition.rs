//! The text format of Prometheus, written directly: what is gone is gone from the next scrape.

use super::catalogue::{BUILD_INFO, Metric};
use forebay_engine::shard::Distribution;
use std::fmt::Write;

/// A page of metrics that grows family by family.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

/// A sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Of things that are counted.
    Whole(u64),
    /// Of what is measured; may be infinite.
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// What the values of a [`Distribution`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Milliseconds, shown as seconds.
    Milliseconds,
    /// Numbers of something.
    Count,
}

impl Page {
    /// Goes on behind `text`.
    pub(super) fn after(text: String) -> Self {
        Self { text }
    }

    /// The page.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Begins a family.
    pub(super) fn family(&mut self, metric: &Metric) {
        self.header(metric.name, metric.kind.name(), metric.help);
    }

    /// Begins a family that is not in the catalogue because its name is not ours.
    pub(super) fn header(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String can't fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample; `labels` with braces, or nothing.
    pub(super) fn sample(&mut self, name: &str, labels: &str, value: impl Into<Number>) {
        self.text.push_str(name);
        self.text.push_str(labels);
        let _ = match value.into() {
            Number::Whole(value) => writeln!(self.text, " {value}"),
            Number::Real(f64::INFINITY) => writeln!(self.text, " +Inf"),
            Number::Real(value) => writeln!(self.text, " {value}"),
        };
    }

    /// A sample with one label more than `labels`, which are not empty.
    pub(super) fn sample_with(
        &mut self,
        name: &str,
        labels: &str,
        (label, of): (&str, &str),
        value: impl Into<Number>,
    ) {
        self.text.push_str(name);
        self.text.push_str(labels.strip_suffix('}').unwrap_or(labels));
        for text in [",", label, "=\"", of] {
            self.text.push_str(text);
        }
        self.sample("", "\"}", value);
    }

    /// A family with one sample.
    pub(super) fn single(&mut self, metric: &Metric, value: impl Into<Number>) {
        self.family(metric);
        self.sample(metric.name, "", value);
    }

    /// Who wrote it.
    pub(super) fn build_info(&mut self) {
        self.family(&BUILD_INFO);
        self.sample(BUILD_INFO.name, concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1);
    }

    /// A histogram.
    pub(super) fn distribution(&mut self, metric: &Metric, scale: Scale, values: &Distribution) {
        self.family(metric);
        let unit = if scale == Scale::Milliseconds { 1000.0 } else { 1.0 };
        let (name, mut count) = (metric.name, 0);
        for (bucket, values) in values.buckets.iter().enumerate() {
            count += values;
            let Some(bound) = Distribution::bound(bucket) else { continue };
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{}\"}} {count}", bound as f64 / unit);
        }
        let sum = values.sum as f64 / unit;
        let _ = writeln!(self.text, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(self.text, "{name}_sum {sum}\n{name}_count {count}");
    }
}

/// The page as OpenMetrics: counters are named without `_total` where they are described, and the
/// end is marked.
pub(super) fn open_metrics(text: &str) -> String {
    let mut page = String::with_capacity(text.len() + 8);
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ").and_then(|line| line.split_once("_total ")) {
            Some((head, rest)) if is_description(head) => {
                let _ = writeln!(page, "# {head} {rest}");
            }
            _ => {
                let _ = writeln!(page, "{line}");
            }
        }
    }
    page.push_str("# EOF\n");
    page
}

/// `HELP name` or `TYPE name`, and nothing behind the name.
fn is_description(head: &str) -> bool {
    head.split(' ').count() == 2
}

/// A label's value as it stands between quotes.
pub(super) fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = String::new();
        escape(&mut text, "a\"b\\c\nd");
        assert_eq!(text, "a\\\"b\\\\c\\nd");
    }

    #[test]
    fn open_metrics_describes_counters_without_their_suffix() {
        let text = "# HELP a_total All of them.\n# TYPE a_total counter\na_total 1\n\n\
                    # HELP b See a_total here.\n";
        let expected = "# HELP a All of them.\n# TYPE a counter\na_total 1\n\
                        # HELP b See a_total here.\n# EOF\n";
        assert_eq!(open_metrics(text), expected);
    }
}
