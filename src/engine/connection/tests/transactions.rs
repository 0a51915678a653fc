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

/// A transaction that publishes to the queue and then to an exchange, and acknowledges.
fn to_an_exchange() -> Client {
    let mut client = transactional();
    let declare =
        ExchangeDeclare { exchange: name("x"), kind: name("fanout"), ..Default::default() };
    client.send(1, declare);
    client.answered();
    client.frames();
    client.publish(to("q"), &Properties::default(), b"x");
    client.publish(BasicPublish { mandatory: true, ..to("no") }, &Properties::default(), b"y");
    let publish = BasicPublish { exchange: name("x"), ..to("k") };
    client.publish(publish, &Properties::default(), b"z");
    ack(&mut client, 1, false);
    client
}

/// Nothing of it is done: the channel goes, and with it what was acknowledged returns.
fn is_refused(client: &mut Client, outcome: &str) {
    client.send(1, TxCommit {});
    let commands = client.take_commands();
    assert!(matches!(commands[..], [Command::CloseChannel { .. }]), "{commands:?}");
    assert_eq!(client.outcome().0, outcome);
}

#[test]
fn a_commit_fails_as_a_whole_when_an_exchange_of_it_has_gone() {
    let mut client = to_an_exchange();
    let exchange = crate::model::ObjectName::try_from("x").unwrap();
    client.topology.delete_exchange(&name("/"), &exchange, false).unwrap();
    is_refused(&mut client, "chclose:404");
}

#[test]
fn a_commit_fails_as_a_whole_when_the_permission_has_gone() {
    let mut client = to_an_exchange();
    let permission = crate::access::Permission::new(".*", "^amq\\.default$", ".*").unwrap();
    client.access.grant(&name("guest"), &name("/"), permission);
    is_refused(&mut client, "chclose:403");
}

#[test]
fn what_the_shard_refuses_closes_the_channel_and_returns_nothing() {
    let mut client = to_an_exchange();
    client.send(1, TxCommit {});
    let commands = client.take_commands();
    assert!(matches!(commands[..], [Command::CommitTransaction { .. }]), "{commands:?}");
    let fault = Fault::channel(ReplyCode::PreconditionFailed, "no room");
    client.reply(1, Err(fault));
    assert_eq!(client.outcome().0, "chclose:406");
}
