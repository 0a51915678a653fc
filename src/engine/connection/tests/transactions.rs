use super::*;

fn transactional() -> Client {
    let mut client = Client::open();
    client.declare("q");
    client.event(deliver(QueueId(1), "t", (0..3).map(delivery).collect()));
    client.send(1, TxSelect {});
    client.frames();
    client.take_commands();
    client
}

fn ack(client: &mut Client, delivery_tag: u64, multiple: bool) {
    client.send(1, BasicAck { delivery_tag, multiple });
}

#[test]
fn a_commit_is_one_request_with_everything_in_it() {
    let mut client = transactional();
    client.publish(to("q"), &Properties::default(), b"x");
    client.publish(BasicPublish { mandatory: true, ..to("no") }, &Properties::default(), b"y");
    client.publish(to("q"), &Properties::default(), b"z");
    ack(&mut client, 1, false);
    ack(&mut client, 3, true);
    assert!(client.take_commands().is_empty());
    assert!(client.frames().is_empty());
    client.send(1, TxCommit {});
    assert!(client.frames().is_empty());
    let commands = client.answered();
    let [Command::CommitTransaction { publishes, settles, .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(publishes.len(), 1);
    assert_eq!((publishes[0].messages.len(), publishes[0].confirm), (2, None));
    assert_eq!((settles.len(), settles[0].runs.len()), (1, 1));
    let methods = client.methods();
    assert!(
        matches!(methods[..], [(1, Method::BasicReturn(_)), (1, Method::TxCommitOk(_))]),
        "{methods:?}"
    );
    client.send(1, TxCommit {});
    assert!(client.take_commands().is_empty());
    assert_eq!(client.methods(), [(1, TxCommitOk {}.into())]);
}

#[test]
fn a_rollback_forgets_publishes_and_gives_acknowledged_deliveries_back() {
    let mut client = transactional();
    client.publish(to("q"), &Properties::default(), b"x");
    ack(&mut client, 2, false);
    ack(&mut client, 3, true);
    client.send(1, TxRollback {});
    assert_eq!(client.methods(), [(1, TxRollbackOk {}.into())]);
    ack(&mut client, 1, false);
    ack(&mut client, 2, false);
    ack(&mut client, 3, false);
    client.send(1, TxCommit {});
    let commands = client.answered();
    let [Command::CommitTransaction { publishes, settles, .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert!(publishes.is_empty());
    assert_eq!(settles.len(), 1);
}

#[test]
fn a_delivery_is_acknowledged_once_within_a_transaction() {
    let mut client = transactional();
    ack(&mut client, 1, false);
    ack(&mut client, 1, false);
    assert_eq!(client.outcome().0, "chclose:406");
}

#[test]
fn what_a_transaction_published_is_routed_as_the_topology_is_when_it_commits() {
    let mut client = transactional();
    client.publish(BasicPublish { mandatory: true, ..to("q") }, &Properties::default(), b"x");
    let queue = client.topology.find_queue(&name("/"), &name("q")).unwrap().id;
    client.topology.remove_queue(queue);
    client.send(1, TxCommit {});
    assert!(client.take_commands().is_empty());
    let methods = client.methods();
    assert!(
        matches!(methods[..], [(1, Method::BasicReturn(_)), (1, Method::TxCommitOk(_))]),
        "{methods:?}"
    );
}
