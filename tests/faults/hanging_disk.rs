//! A disk that hangs: a sync does not come back. Nothing is confirmed meanwhile, and a watchdog says so
//! and ends the broker, which would otherwise keep its publishers waiting for ever.

use crate::disk::{Disk, Mount};
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::raw::{Raw, short};
use crate::harness::session::{Session, drain};
use bytes::Bytes;
use forebay_wire::Method;
use forebay_wire::method::{ConfirmSelect, QueueDeclare};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_does_not_come_back_ends_the_broker() {
    let disk = Disk::default();
    let Some(mount) = Mount::of(&disk) else { return };
    let launch = Launch::on(&mount.data());
    let mut broker = Broker::launch(&launch);
    let mut raw = Raw::open_channel(broker.address).await;
    raw.declare(QueueDeclare { queue: short("q"), durable: true, ..<_>::default() }).await;
    raw.send(1, &ConfirmSelect { no_wait: false }).await;
    assert!(matches!(raw.method().await, Method::ConfirmSelectOk(_)));
    raw.publish(1, &short("q"), 2, &Bytes::from_static(b"before")).await;
    assert!(matches!(raw.method().await, Method::BasicAck(_)));

    disk.hang();
    raw.publish(1, &short("q"), 2, &Bytes::from_static(b"meanwhile")).await;
    while disk.hanging() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    broker.log_line(|line| line.contains("a commit has taken longer than 60 s"));
    // A thread that hangs in the system keeps the process until the system lets it go.
    disk.mend();
    assert_eq!(broker.wait().code(), Some(1), "{}", broker.log());
    loop {
        match raw.frame().await {
            None => break,
            Some(forebay_wire::Frame::Method { method: Method::BasicAck(ack), .. }) => {
                panic!("confirmed although nothing was synced: {ack:?}")
            }
            Some(_) => {}
        }
    }

    let broker = Broker::launch(&launch);
    let session = Session::open_at(broker.address).await;
    let kept = drain(&session.channel, "q").await;
    // What was not confirmed may be there or not.
    assert!(kept == ["before"] || kept == ["before", "meanwhile"], "{kept:?}");
}
