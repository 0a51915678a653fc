//! A data directory of another version is served or refused, never guessed at.

use crate::commands::{found, offline};
use crate::ground::{copy, copy_directory, drain};
use crate::harness::launch::Launch;
use std::fs;
use std::path::Path;

#[test]
fn a_newer_and_an_older_format_are_refused_with_both_versions() {
    let (_parent, directory) = copy();
    for (format, found, advice) in [
        ("forebay data format 7\n", "format 7", "newer"),
        ("forebay data format 0\n", "format 0", ""),
    ] {
        fs::write(directory.join("FORMAT"), format).unwrap();
        let refused = Launch::on(&directory).output();
        assert_eq!(refused.status.code(), Some(1));
        let serve = String::from_utf8(refused.stderr).unwrap();
        let verify = offline(&["verify"], &directory).failure();
        let repair = offline(&["repair", "--accept-loss"], &directory).failure();
        for text in [serve, verify, repair] {
            assert!(text.contains(found) && text.contains("formats 1 to 4"), "{text}");
            assert!(text.contains(advice) && text.contains("version that wrote it"), "{text}");
        }
    }
}

/// Written by a broker of before the records of levels said where a level ends.
#[test]
fn a_directory_of_an_older_program_is_served() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integrity/format-1");
    copy_directory(&fixture, &directory);
    let (is_sound, report) = found(&["verify"], &directory);
    assert!(is_sound && report["messages"] == 201, "{report}");
    let queues = drain(&directory);
    assert_eq!((queues["orders"].len(), queues["parcels"].len()), (181, 20));
    assert!(found(&["verify"], &directory).0);
}
