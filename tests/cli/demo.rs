//! `demo spike`: what it says is so, also when something was lost.

use crate::harness::broker;
use crate::terminal::{command, run};
use serde_json::json;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

#[test]
fn a_spike_is_drained_without_loss_and_the_poison_is_put_aside() {
    if !broker::is_ours() {
        return;
    }
    let proof = run(&["demo", "spike", "--events", "300", "--rate", "300", "--json"]).json();
    assert_eq!(proof["proven"], true, "{proof}");
    assert_eq!((&proof["events"], &proof["lost"]), (&json!(300), &json!(0)));
    assert_eq!(proof["dead_letters"], json!(["poison 100"]));
}

#[test]
fn what_it_shows_is_plain_in_a_pipe_and_tells_the_whole_story() {
    if !broker::is_ours() {
        return;
    }
    let text = run(&["demo", "spike", "--events", "1000", "--rate", "400"]).success();
    let firsts: Vec<&str> =
        text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(firsts[..2], ["broker", "burst"], "{text}");
    for first in ["draining", "killed"] {
        assert!(firsts.contains(&first), "{first} in {text}");
    }
    let end = &firsts[firsts.len() - 5..];
    assert_eq!(end, ["drained", "lost", "twice", "dead", "proven"], "{text}");
    assert!(text.contains("`poison 333` because of delivery_limit"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

/// Somebody else takes orders from the demo's broker: its consumers never see them.
#[test]
fn a_loss_is_told() {
    if !broker::is_ours() {
        return;
    }
    let mut command = command(&["demo", "spike", "--events", "2000", "--rate", "1000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut broker, mut burst) = (String::new(), String::new());
    output.read_line(&mut broker).unwrap();
    output.read_line(&mut burst).unwrap();
    assert!(burst.starts_with("burst "), "{burst}");
    let url = broker.split_whitespace().nth(1).unwrap();
    run(&["consume", "orders", "--ack", "--count", "7", "--url", url]).success();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{text}");
    assert!(text.contains("NOT drained") && text.ends_with("proven     NO\n"), "{text}");
    assert!(!text.contains("lost       0\n"), "{text}");
}
