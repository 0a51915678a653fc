//! Damage under a running broker that the scrub finds before the message is wanted.

use crate::damaged_page::{flip, tables_with_orders};
use crate::ground::copy;
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::must;
use std::time::Duration;

#[tokio::test]
async fn a_bit_that_flips_under_a_running_broker_is_named_by_the_scrub() {
    let (_parent, directory) = copy();
    let broker = Broker::launch(&Launch::on(&directory).argument("--scrub-rate").argument("1GB"));
    let a_round = async {
        while broker.metric("forebay_scrub_rounds_total") < 1.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    must("a round of the scrub", a_round).await;
    assert_eq!(broker.metric("forebay_store_files_damaged"), 0.0);
    let found = async {
        loop {
            let tables = tables_with_orders(&directory);
            if !tables.is_empty() {
                return tables;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let tables = must("a table with a message of orders", found).await;
    for (table, at) in &tables {
        flip(table, *at);
    }
    broker.await_metric("forebay_store_files_damaged", tables.len() as f64).await;
    broker.log_line(|line| {
        line.contains("stored data is damaged: queue 'orders' in vhost '/'")
            && line.contains("offsets")
            && line.contains("forebay repair")
    });
    assert!(broker.metric("forebay_scrub_bytes_total") > 0.0);
}
