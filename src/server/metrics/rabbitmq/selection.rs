//! What a scrape asks for: the path, and on `/metrics/detailed` the query.

use super::families::{COARSE, CONSUMERS, Column, DELIVERY, METRICS};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Selection {
    /// `/metrics`: sums over all queues.
    Aggregated,
    /// `/metrics/per-object`: each queue.
    PerObject,
    /// `/metrics/detailed`: some families of some virtual hosts.
    Detailed {
        /// The families.
        families: Vec<Family>,
        /// The virtual hosts; none named: all.
        vhosts: Vec<String>,
    },
}

/// A group of metrics as `family=` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Family {
    /// Messages of each queue.
    Coarse,
    /// Consumers of each queue.
    Consumers,
    /// Consumers, their capacity and bytes of each queue.
    Metrics,
    /// What each queue counted.
    Delivery,
    /// What was opened and closed.
    Churn,
    /// Files, memory and disk.
    NodeCoarse,
    /// Their limits.
    Node,
    /// Logins.
    Logins,
}

impl Family {
    /// Those with a sample for each queue, together each metric once.
    pub(super) const OF_QUEUES: [Self; 3] = [Self::Coarse, Self::Metrics, Self::Delivery];

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "queue_coarse_metrics" => Self::Coarse,
            "queue_consumer_count" => Self::Consumers,
            "queue_metrics" => Self::Metrics,
            "queue_delivery_metrics" => Self::Delivery,
            "connection_churn_metrics" => Self::Churn,
            "node_coarse_metrics" => Self::NodeCoarse,
            "node_metrics" => Self::Node,
            "auth_attempt_metrics" => Self::Logins,
            _ => return None,
        })
    }

    pub(super) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Coarse => &COARSE,
            Self::Consumers => &CONSUMERS,
            Self::Metrics => &METRICS,
            Self::Delivery => &DELIVERY,
            Self::Churn | Self::NodeCoarse | Self::Node | Self::Logins => &[],
        }
    }
}

impl Selection {
    /// `family=…&vhost=…`, each as often as wanted. An unknown family gives nothing, as in
    /// RabbitMQ; no metric is there twice, whatever is asked.
    pub(in super::super) fn parse_query(query: &str) -> Self {
        let (mut families, mut vhosts) = (Vec::new(), Vec::new());
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "family" => {
                    families.extend(Family::named(value).filter(|new| !families.contains(new)));
                }
                "vhost" => vhosts.push(decode(value)),
                _ => {}
            }
        }
        if families.contains(&Family::Metrics) {
            // They have it, too.
            families.retain(|family| *family != Family::Consumers);
        }
        Self::Detailed { families, vhosts }
    }
}

/// A value of a query, where `+` stands for a space.
fn decode(value: &str) -> String {
    let spaced = value.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_selects_families_and_virtual_hosts() {
        let query = "vhost=%2F&vhost=a+b&family=queue_coarse_metrics&x=y&family=nothing";
        let expected = Selection::Detailed {
            families: vec![Family::Coarse],
            vhosts: vec!["/".to_owned(), "a b".to_owned()],
        };
        assert_eq!(Selection::parse_query(query), expected);
    }

    #[test]
    fn no_metric_is_selected_twice() {
        let query = "family=queue_consumer_count&family=queue_metrics&family=queue_metrics";
        let Selection::Detailed { families, .. } = Selection::parse_query(query) else { panic!() };
        assert_eq!(families, [Family::Metrics]);
    }
}
