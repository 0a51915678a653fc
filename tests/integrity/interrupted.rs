//! A repair that is killed, at any moment, is run again and loses nothing further.

use crate::commands::{found, missing, offline_command};
use crate::ground::{copy, drain, files, ground};
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::random::Random;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Zeros in the middle of the largest table of pages, and half of the journal gone.
fn harm(directory: &Path) {
    let files = files(&directory.join("fjall"));
    let size = |file: &Path| fs::metadata(file).unwrap().len();
    let tables = files.iter().filter(|file| file.to_str().unwrap().contains("keyspaces/1/tables"));
    let table = tables.max_by_key(|file| size(file)).unwrap();
    let mut bytes = fs::read(table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 600].fill(0);
    fs::write(table, bytes).unwrap();
    let journal =
        files.iter().rfind(|file| file.extension().is_some_and(|end| end == "jnl")).unwrap();
    let bytes = fs::read(journal).unwrap();
    fs::write(journal, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_repair_that_is_killed_is_run_again() {
    let (_whole, undisturbed) = copy();
    harm(&undisturbed);
    let (_, expected) = found(&["repair", "--accept-loss"], &undisturbed);
    let kept = drain(&undisturbed);
    let mut random = Random::from_environment();
    for _ in 0..6 {
        let (_parent, directory) = copy();
        harm(&directory);
        for _ in 0..2 {
            let mut command = offline_command(&["repair", "--accept-loss", "--json"], &directory);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // The moment of the kill is drawn; when it has ended before, all the better.
            std::thread::sleep(Duration::from_micros(random.below(150_000)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        found(&["repair", "--accept-loss"], &directory);
        let (is_sound, report) = found(&["verify"], &directory);
        assert!(is_sound, "{report}");
        assert_eq!(report["messages"], expected["messages"]);
        assert_eq!(drain(&directory), kept);
        let told = fs::read_to_string(directory.join("damaged-1/REPORT.txt")).unwrap();
        for damage in expected["damages"].as_array().unwrap() {
            let what = damage["what"].as_str().unwrap();
            assert!(told.contains(what), "{what}: {told}");
        }
    }
    let lost: u64 = ground().queues.keys().map(|queue| missing(&expected, queue)).sum();
    let before: usize = ground().queues.values().map(|bodies| bodies.len()).sum();
    let after: usize = kept.values().map(|bodies| bodies.len()).sum();
    assert!(before >= after && (before - after) as u64 >= lost);
}

#[test]
fn a_directory_whose_repair_was_interrupted_names_the_command() {
    let (_parent, directory) = copy();
    // As after a kill between the two last steps.
    fs::create_dir(directory.join("damaged-1")).unwrap();
    fs::rename(directory.join("fjall"), directory.join("fjall.repaired")).unwrap();
    let refused = Launch::on(&directory).output();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        text.contains("interrupted") && text.contains("forebay repair --accept-loss"),
        "{text}"
    );
    let (_, report) = found(&["repair", "--accept-loss"], &directory);
    assert_eq!(report["repaired"], true, "{report}");
    drop(Broker::start(&directory));
    assert_eq!(drain(&directory), ground().queues);
}
