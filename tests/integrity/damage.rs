//! Each kind of file, harmed in each way.

use crate::commands::{found, missing, offline};
use crate::ground::{copy, drain, files, ground};
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip,
    Zero,
    Cut,
    Remove,
}

const HARMS: [Harm; 4] = [Harm::Flip, Harm::Zero, Harm::Cut, Harm::Remove];

/// Where the content ends: a journal goes on with zeros.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(bytes.len(), |last| last + 1)
}

fn harm(file: &Path, harm: Harm, random: &mut Random) {
    let mut bytes = fs::read(file).unwrap();
    let used = used(&bytes);
    let at = random.below(used as u64) as usize;
    match harm {
        Harm::Flip => bytes[at] ^= 1 << random.below(8),
        Harm::Zero => bytes[at..used.min(at + 512)].fill(0),
        Harm::Cut => bytes.truncate(at),
        Harm::Remove => return fs::remove_file(file).unwrap(),
    }
    fs::write(file, bytes).unwrap();
}

/// The kinds: the file's name without its number.
fn kind(file: &Path) -> String {
    let name = file.to_str().unwrap().rsplit("/data/").next().unwrap();
    name.trim_end_matches(|character: char| character.is_ascii_digit()).to_owned()
}

/// Why a broker does not start; nothing when it does.
fn refusal(directory: &Path) -> Option<String> {
    let mut child = Launch::on(directory).command().spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut text = String::new();
    for line in lines {
        if line.ends_with("ready") {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        text = text + &line + "\n";
    }
    assert_eq!(child.wait().unwrap().code(), Some(1), "{text}");
    Some(text)
}

/// Harms one file, and sees it through to the end.
fn round(file: &str, with: Harm, random: &mut Random) {
    let (_parent, directory) = copy();
    let what = format!("{with:?} of {file}");
    harm(&directory.join(file), with, random);
    let refusal = refusal(&directory);
    if let Some(text) = &refusal {
        for command in ["forebay verify --data-dir", "forebay repair --accept-loss --data-dir"] {
            assert!(text.contains(command), "{what}: {text}");
        }
    }
    let (is_sound, told) = found(&["verify"], &directory);
    if is_sound {
        assert_eq!(refusal, None, "{what}");
        // Zeros over zeros, the cut of a file's zeros, an old manifest.
        assert_eq!(drain(&directory), ground().queues, "{what}");
        return;
    }
    let (is_sound, foretold) = found(&["repair"], &directory);
    assert!(!is_sound, "{what}");
    assert_eq!(foretold["damages"], told["damages"], "{what}");
    let (_, repaired) = found(&["repair", "--accept-loss"], &directory);
    assert!(Path::new(repaired["damaged_files"].as_str().unwrap()).join("REPORT.txt").is_file());
    assert!(found(&["verify"], &directory).0, "{what}");
    let is_uncountable = repaired.to_string().contains("commits");
    // Whether messages before the first page were acknowledged may be lost too: then all count.
    let is_doubtful = repaired.to_string().contains("unless they were acknowledged");
    let kept = drain(&directory);
    // In the order in which they were declared.
    let ids = BTreeMap::from([("orders".to_owned(), 1), ("parcels".to_owned(), 2)]);
    for (queue, confirmed) in &ground().queues {
        let none = BTreeSet::new();
        // A queue whose name is lost has another one.
        let recovered = format!("recovered.{id}", id = ids[queue]);
        let kept = kept.get(queue).or(kept.get(&recovered)).unwrap_or(&none);
        let missing = missing(&repaired, queue);
        let (kept_of_it, lost) = (kept.intersection(confirmed).count(), confirmed.difference(kept));
        let lost = lost.count() as u64;
        // What was acknowledged may come again, nothing else may.
        assert!(kept.iter().all(|body| body.starts_with(queue)), "{what}");
        assert!(
            lost <= missing || is_uncountable,
            "{what}: {queue}: {lost} of {kept_of_it} {repaired}"
        );
        if !is_uncountable && !is_doubtful {
            assert_eq!(lost, missing, "{what}: {queue}: {repaired}");
        }
    }
}

#[test]
fn each_kind_of_file_is_seen_through() {
    let mut random = Random::from_environment();
    let mut kinds = BTreeSet::new();
    let directory = &ground().directory;
    let all = files(directory);
    for file in all.iter().filter(|file| kinds.insert(kind(file))) {
        let name = file.strip_prefix(directory).unwrap().to_str().unwrap();
        if name == "FORMAT" {
            continue;
        }
        let with = HARMS[random.below(4) as usize];
        println!("{with:?} of {name}");
        round(name, with, &mut random);
    }
    assert!(kinds.len() > 15, "{kinds:?}");
}

#[test]
fn a_sound_directory_is_sound() {
    let (_parent, directory) = copy();
    let text = offline(&["verify"], &directory).success();
    assert!(text.contains("sound"), "{text}");
    let (is_sound, report) = found(&["repair", "--accept-loss"], &directory);
    assert!(is_sound && report["repaired"] == false, "{report}");
    let count: usize = ground().queues.values().map(BTreeSet::len).sum();
    assert_eq!(report["messages"], count, "{report}");
    assert_eq!(drain(&directory), ground().queues);
}

#[test]
fn a_path_that_is_no_data_directory_is_refused_and_not_made() {
    let parent = tempfile::tempdir().unwrap();
    let nowhere = parent.path().join("forebay-dta");
    for command in [&["verify"][..], &["repair"], &["repair", "--accept-loss"]] {
        let text = offline(command, &nowhere).failure();
        assert!(text.contains("no data directory") && text.contains("forebay-dta"), "{text}");
        let text = offline(command, parent.path()).failure();
        assert!(text.contains("FORMAT"), "{text}");
    }
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_a_broker_holds_is_refused() {
    let (_parent, directory) = copy();
    let _broker = Broker::start(&directory);
    for command in [&["verify"][..], &["repair"], &["repair", "--accept-loss"]] {
        let text = offline(command, &directory).failure();
        assert!(text.contains("in use by another process"), "{text}");
    }
}
