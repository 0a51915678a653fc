//! What a broker says of a queue's lag, for people.

use super::queue_report::age_text;
use serde_json::Value;

/// The field `lag` of a queue, as the admin listener tells it.
pub(crate) struct LagReport<'a>(&'a Value);

impl<'a> LagReport<'a> {
    /// Of a queue as the admin listener describes it; `None` when it says nothing of what is normal.
    pub(crate) fn of(queue: &'a Value) -> Option<Self> {
        queue.get("lag").filter(|lag| lag.is_object()).map(Self)
    }

    fn number(&self, field: &str) -> Option<f64> {
        self.0.get(field).and_then(Value::as_f64)
    }

    fn word(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or("-")
    }

    fn age(&self, field: &str) -> String {
        age_text(self.number(field))
    }

    fn symptoms(&self) -> String {
        let symptoms = self.0.get("symptoms").and_then(Value::as_array);
        let symptoms: Vec<&str> =
            symptoms.into_iter().flatten().filter_map(Value::as_str).collect();
        if symptoms.is_empty() { "none".to_owned() } else { symptoms.join(", ") }
    }

    /// A label and a text for each line.
    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let normal = match (self.number("normal_peak"), self.number("alert_line")) {
            (Some(peak), Some(line)) => {
                let ratio = self.number("ratio").unwrap_or(0.0);
                let now = format!("now {ratio:.1} times its normal peak of {peak:.0}");
                match self.number("above_line_seconds") {
                    Some(_) => format!(
                        "{now}, above the alert line of {line:.0} for {}",
                        self.age("above_line_seconds")
                    ),
                    None => format!("{now}, the alert line is {line:.0}"),
                }
            }
            _ => "not known yet".to_owned(),
        };
        let service = match self.number("service_seconds") {
            None => "not known yet".to_owned(),
            Some(_) => format!("99 of 100 are settled within {}", self.age("service_seconds")),
        };
        vec![
            ("lag", normal),
            ("symptoms", self.symptoms()),
            (
                "time to drain",
                format!(
                    "{}, too long above {}",
                    self.age("drain_seconds"),
                    self.age("drain_line_seconds")
                ),
            ),
            ("age", format!("too old above {}", self.age("oldest_age_line_seconds"))),
            (
                "service time",
                format!("{service}; a stall above {}", self.age("stall_line_seconds")),
            ),
            ("role", self.word("role").to_owned()),
            (
                "history",
                format!(
                    "{} days, confidence: {}",
                    self.number("history_days").unwrap_or(0.0),
                    self.word("confidence")
                ),
            ),
        ]
    }
}
