//! What the configuration says of queues that don't say themselves.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::launch::Launch;
use crate::harness::session::{Session, await_ready, declare_named, fill, get, string, table};
use lapin::options::BasicRejectOptions;
use tempfile::TempDir;

fn with(data: &TempDir, queues: &str) -> Launch {
    let config = data.path().join("forebay.toml");
    std::fs::write(&config, format!("[queues]\n{queues}\n")).unwrap();
    Launch::on(&data.path().join("data")).argument("--config").argument(config.to_str().unwrap())
}

/// Gives the message back until it does not come any more; how often it came. At most `most`.
async fn failures(session: &Session, queue: &str, most: u32) -> u32 {
    for failures in 0..most {
        let Some(message) = get(&session.channel, queue).await else { return failures };
        message.delivery.acker.reject(BasicRejectOptions { requeue: true }).await.unwrap();
    }
    most
}

#[tokio::test]
async fn rabbitmqs_defaults_are_one_word_away() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::launch(&with(&data, "defaults = \"rabbitmq\""));
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "classic", <_>::default()).await;
    declare_named(&session.channel, "quorum", table("x-queue-type", string("quorum"))).await;
    for queue in ["classic", "quorum"] {
        fill(&session, queue, &["bad"]).await;
    }
    assert_eq!(failures(&session, "classic", 50).await, 50);
    assert_eq!(failures(&session, "quorum", 50).await, 20);
    // Given up without a place to go.
    declare_named(&session.channel, "quorum.dlq", <_>::default()).await;
    await_ready(&session.channel, "quorum.dlq", 0).await;
    broker.kill();

    // Queues that are there follow the configuration of the next start.
    let broker = Broker::launch(&with(&data, "delivery_limit = 2"));
    let session = Session::open_at(broker.address).await;
    fill(&session, "quorum", &["bad"]).await;
    assert_eq!(failures(&session, "quorum", 50).await, 2);
    await_ready(&session.channel, "quorum.dlq", 1).await;
}

#[test]
fn a_wrong_default_is_named() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let output = with(&data, "delivery_limit = 0").output();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("delivery_limit = 0") && text.contains("-1 for no limit"), "{text}");
}
