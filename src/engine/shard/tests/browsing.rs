//! Walks of operators: what they count, show and send back, that consumers do not notice, and that
//! no crash loses or doubles a message that goes back.

use super::broker::{
    Broker, CHANNEL, CONNECTION, arguments, consume, message, message_with, publish, settle,
};
use crate::browse::{Browse, BrowseAction, BrowseFilter, BrowsePage, RedriveOutcome};
use crate::command::Command;
use crate::event::{Delivery, Reply};
use crate::model::{ConnectionId, Fault, Message, OffsetRange, Settlement, TopologyRequest};
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue, RawProperties, ShortStr};
use proptest::prelude::*;

const OPERATOR: ConnectionId = ConnectionId(9);

fn browse(action: BrowseAction) -> Browse {
    let queue = ShortStr::from_static("q.dlq");
    Browse {
        queue: queue.into(),
        runs: None,
        filter: BrowseFilter::default(),
        action,
        taken_max: 1_000,
        trust_headers: false,
    }
}

fn ask(broker: &mut Broker, browse: Browse) -> Result<BrowsePage, Fault> {
    broker.send(OPERATOR, [Command::Browse { channel: CHANNEL, browse: Box::new(browse) }]);
    broker.commit();
    match broker.reply(OPERATOR)? {
        Reply::BrowsePage(page) => Ok(*page),
        other => panic!("{other:?}"),
    }
}

/// `count` messages that were rejected in `q`, their bodies their numbers.
fn with_dead(count: u8) -> Broker {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(OPERATOR);
    let queue = broker.declare("q", true, FieldTable::new());
    let messages = (0..count).map(|n| message(vec![n], true)).collect();
    broker.send(CONNECTION, [publish(queue, messages, None)]);
    while let Some(delivery) = get(&mut broker, "q") {
        broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
    }
    broker.commit();
    broker
}

fn get(broker: &mut Broker, queue: &str) -> Option<Delivery> {
    let get = Command::Get { channel: CHANNEL, queue: queue.try_into().unwrap(), no_ack: false };
    broker.send(CONNECTION, [get]);
    broker.deliveries(CONNECTION).pop()
}

/// The bodies of all that is ready, in order.
fn drain(broker: &mut Broker, queue: &str) -> Vec<u8> {
    let mut bodies = Vec::new();
    while let Some(delivery) = get(broker, queue) {
        bodies.push(delivery.message.body()[0]);
    }
    bodies
}

fn outcomes(page: &BrowsePage) -> Vec<(RedriveOutcome, u64)> {
    page.groups.iter().map(|(group, count)| (group.outcome, *count)).collect()
}

#[test]
fn a_redriven_message_is_as_it_was_and_its_history_stays() {
    let mut broker = with_dead(3);
    let page = ask(&mut broker, browse(BrowseAction::Redrive)).unwrap();
    assert_eq!((page.examined, page.taken(), page.rest.len()), (3, 3, 0));
    assert_eq!(broker.statistics("q.dlq").ready, 0);
    let first = get(&mut broker, "q").unwrap();
    assert_eq!((first.message.exchange(), first.message.routing_key()), (&b""[..], &b"q"[..]));
    assert_eq!((first.failures, first.redelivered), (0, false));
    let properties = RawProperties::parse(first.message.properties_bytes()).unwrap();
    let headers = properties.headers().unwrap();
    assert!(headers.get("x-death").is_some());
    assert_eq!(first.message.body()[0], 0);
    assert_eq!(drain(&mut broker, "q"), [1, 2]);
}

#[test]
fn to_count_and_to_show_change_nothing() {
    let mut broker = with_dead(3);
    for action in [BrowseAction::Count, BrowseAction::Show] {
        let page = ask(&mut broker, browse(action)).unwrap();
        assert_eq!(outcomes(&page), [(RedriveOutcome::Redriven, 3)]);
        let shown: Vec<u8> = page.shown.iter().map(|shown| shown.message.body()[0]).collect();
        let expected: &[u8] = if action == BrowseAction::Show { &[0, 1, 2] } else { &[] };
        assert_eq!(shown, expected);
    }
    let delivery = get(&mut broker, "q.dlq").unwrap();
    assert_eq!((delivery.failures, delivery.redelivered), (0, false));
}

#[test]
fn steps_go_on_where_the_last_one_ended_and_pass_over_what_came_meanwhile() {
    let mut broker = with_dead(5);
    let queue = broker.queue("q");
    let mut runs = None;
    let mut steps = 0;
    loop {
        let step = Browse { runs, taken_max: 2, ..browse(BrowseAction::Redrive) };
        let page = ask(&mut broker, step).unwrap();
        steps += 1;
        // The poison dies again at once.
        while let Some(delivery) = get(&mut broker, "q") {
            broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
        }
        if page.rest.is_empty() {
            break;
        }
        runs = Some(page.rest);
    }
    assert_eq!(steps, 3);
    assert_eq!(drain(&mut broker, "q.dlq"), [0, 1, 2, 3, 4]);
}

#[test]
fn a_filter_chooses_by_queue_reason_key_and_header() {
    let mut broker = with_dead(2);
    let text = |text: &'static str| Some(ShortStr::from_static(text));
    let header = |value: &str| Some((ShortStr::from_static("x-first-death-queue"), value.into()));
    let all = BrowseFilter::default();
    let cases = [
        (BrowseFilter { queue: text("q"), ..all.clone() }, 2),
        (BrowseFilter { queue: text("other"), ..all.clone() }, 0),
        (BrowseFilter { reason: text("rejected"), ..all.clone() }, 2),
        (BrowseFilter { reason: text("expired"), ..all.clone() }, 0),
        (BrowseFilter { routing_key: text("q"), ..all.clone() }, 2),
        (BrowseFilter { routing_key: text("r"), ..all.clone() }, 0),
        (BrowseFilter { header: header("q"), ..all.clone() }, 2),
        (BrowseFilter { header: header("r"), ..all }, 0),
    ];
    for (filter, expected) in cases {
        let step = Browse { filter: filter.clone(), ..browse(BrowseAction::Count) };
        let page = ask(&mut broker, step).unwrap();
        assert_eq!((page.examined, page.taken()), (2, expected), "{filter:?}");
    }
}

#[test]
fn what_has_no_way_back_stays() {
    let mut broker = with_dead(2);
    let dead_letters = broker.queue("q.dlq");
    broker.send(CONNECTION, [publish(dead_letters, vec![message(vec![9], true)], None)]);
    let name = ShortStr::from_static("q");
    broker
        .ask(TopologyRequest::DeleteQueue { name: name.into(), if_unused: false, if_empty: false })
        .unwrap();
    let page = ask(&mut broker, browse(BrowseAction::Redrive)).unwrap();
    let gone = [(RedriveOutcome::NoOrigin, 1), (RedriveOutcome::QueueGone, 2)];
    assert_eq!(outcomes(&page), gone);
    broker.declare("q", true, arguments(&[("x-max-length", FieldValue::I32(1))]));
    let page = ask(&mut broker, browse(BrowseAction::Redrive)).unwrap();
    let expected = [
        (RedriveOutcome::NoOrigin, 1),
        (RedriveOutcome::Redriven, 1),
        (RedriveOutcome::QueueFull, 1),
    ];
    assert_eq!(outcomes(&page), expected);
    assert_eq!(drain(&mut broker, "q"), [0]);
    assert_eq!(drain(&mut broker, "q.dlq"), [1, 9]);
}

/// An `x-death` as any client can publish it.
fn claiming(queue: &str, body: &'static [u8]) -> Message {
    let text = |text: &str| FieldValue::LongStr(text.to_owned().into());
    let death = arguments(&[("queue", text(queue)), ("reason", text("rejected"))]);
    let deaths = FieldValue::Array(vec![FieldValue::Table(death)]);
    let headers = Some(arguments(&[("x-death", deaths)]));
    let properties = Properties { headers, delivery_mode: Some(2), ..Properties::default() };
    message_with(body, &properties, None)
}

#[test]
fn what_a_message_claims_itself_sends_it_nowhere_unless_an_operator_believes_it() {
    let mut broker = with_dead(1);
    broker.declare("payroll", true, FieldTable::new());
    let (queue, dead_letters) = (broker.queue("q"), broker.queue("q.dlq"));
    broker.send(CONNECTION, [publish(dead_letters, vec![claiming("payroll", &[7])], None)]);
    // One that claims and then really dies goes back to where it died.
    broker.send(CONNECTION, [publish(queue, vec![claiming("payroll", &[8])], None)]);
    let delivery = get(&mut broker, "q").unwrap();
    broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
    broker.commit();
    broker.crash();
    broker.open(CONNECTION);
    broker.open(OPERATOR);
    let page = ask(&mut broker, browse(BrowseAction::Redrive)).unwrap();
    let expected = [(RedriveOutcome::Unproven, 1), (RedriveOutcome::Redriven, 2)];
    let mut found = outcomes(&page);
    found.sort_unstable_by_key(|(_, count)| *count);
    assert_eq!(found, expected);
    assert_eq!(drain(&mut broker, "q"), [0, 8]);
    assert_eq!(broker.statistics("payroll").ready, 0);
    let believing = Browse { trust_headers: true, ..browse(BrowseAction::Redrive) };
    assert_eq!(outcomes(&ask(&mut broker, believing).unwrap()), [(RedriveOutcome::Redriven, 1)]);
    assert_eq!(drain(&mut broker, "payroll"), [7]);
}

#[test]
fn a_message_goes_back_step_by_step_on_the_way_that_it_came() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    broker.open(OPERATOR);
    let into = |next: &str| {
        let text = |text: &str| FieldValue::LongStr(text.to_owned().into());
        arguments(&[
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(next)),
        ])
    };
    broker.declare("first", true, into("second"));
    broker.declare("second", true, into("third"));
    broker.declare("third", true, FieldTable::new());
    let first = broker.queue("first");
    broker.send(CONNECTION, [publish(first, vec![message(vec![1], true)], None)]);
    for queue in ["first", "second"] {
        let delivery = get(&mut broker, queue).unwrap();
        let id = broker.queue(queue);
        broker.send(CONNECTION, [settle(id, Settlement::Reject, &[&delivery])]);
    }
    broker.commit();
    for (queue, outcome) in [
        ("third", RedriveOutcome::Redriven),
        ("second", RedriveOutcome::Redriven),
        // Its headers still tell of the second one, in which it is no dead letter any more.
        ("first", RedriveOutcome::Unproven),
    ] {
        let queue = ShortStr::try_from(queue).unwrap().into();
        let page = ask(&mut broker, Browse { queue, ..browse(BrowseAction::Redrive) }).unwrap();
        assert_eq!(outcomes(&page), [(outcome, 1)]);
    }
    assert_eq!(drain(&mut broker, "first"), [1]);
}

#[test]
fn what_a_consumer_holds_is_not_touched() {
    let mut broker = with_dead(4);
    broker.subscribe(CONNECTION, consume("q.dlq", "c", 2));
    let held = broker.deliveries(CONNECTION);
    assert_eq!(held.len(), 2);
    let page = ask(&mut broker, browse(BrowseAction::Redrive)).unwrap();
    assert_eq!(page.examined, 2);
    assert_eq!((broker.statistics("q.dlq").unacked, broker.statistics("q").ready), (2, 2));
}

#[test]
fn content_that_is_not_in_memory_is_fetched() {
    let mut broker = with_dead(40);
    broker.crash();
    broker.open(CONNECTION);
    broker.open(OPERATOR);
    // From the middle on, what is before it first by a consumer.
    let last = OffsetRange {
        level: crate::model::Level(0),
        first: crate::model::Offset(30),
        last: crate::model::Offset(39),
    };
    let step = Browse { runs: Some(vec![last]), ..browse(BrowseAction::Redrive) };
    assert_eq!(ask(&mut broker, step).unwrap().taken(), 10);
    assert_eq!(drain(&mut broker, "q.dlq"), (0..30).collect::<Vec<u8>>());
    assert_eq!(drain(&mut broker, "q"), (30..40).collect::<Vec<u8>>());
}

#[test]
fn nobody_waits_for_a_queue_that_is_gone() {
    let mut broker = with_dead(1);
    let missing =
        Browse { queue: ShortStr::from_static("none").into(), ..browse(BrowseAction::Count) };
    assert!(ask(&mut broker, missing).unwrap_err().text.contains("'none'"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each message is in its queue or among the dead letters: never in both, never in neither,
    /// wherever the process dies, whatever died and came back.
    #[test]
    fn after_a_crash_there_is_exactly_one_copy(
        steps in prop::collection::vec((0u8..8, 0u8..6), 1..60),
    ) {
        let total = 12u8;
        let mut broker = with_dead(total);
        let mut held: Vec<Delivery> = Vec::new();
        for (what, which) in steps {
            match what {
                0 | 1 => {
                    let taken_max = usize::from(which) + 1;
                    let step = Browse { taken_max, ..browse(BrowseAction::Redrive) };
                    broker.send(
                        OPERATOR,
                        [Command::Browse { channel: CHANNEL, browse: Box::new(step) }],
                    );
                }
                2 => held.extend(get(&mut broker, "q")),
                3 if usize::from(which) < held.len() => {
                    let delivery = held.remove(which.into());
                    let queue = broker.queue("q");
                    broker.send(CONNECTION, [settle(queue, Settlement::Reject, &[&delivery])]);
                }
                4 => {
                    broker.begin_commit();
                }
                5 => broker.finish_commit(),
                6 => broker.pass(100),
                7 => {
                    broker.crash();
                    broker.open(CONNECTION);
                    broker.open(OPERATOR);
                    held.clear();
                }
                _ => {}
            }
            let (queue, dead) = (broker.statistics("q"), broker.statistics("q.dlq"));
            prop_assert_eq!(queue.ready + queue.unacked + dead.ready, u64::from(total));
        }
        broker.crash();
        broker.open(CONNECTION);
        let mut found = drain(&mut broker, "q");
        found.extend(drain(&mut broker, "q.dlq"));
        found.sort_unstable();
        prop_assert_eq!(found, (0..total).collect::<Vec<u8>>());
    }
}
