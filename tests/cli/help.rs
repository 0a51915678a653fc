//! Every subcommand explains itself.

use crate::terminal::run;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["bench"],
    &["completions"],
    &["consume"],
    &["definitions"],
    &["demo"],
    &["demo", "spike"],
    &["exchange"],
    &["exchange", "declare"],
    &["exchange", "delete"],
    &["exchange", "bind"],
    &["exchange", "unbind"],
    &["publish"],
    &["queue"],
    &["queue", "declare"],
    &["queue", "list"],
    &["queue", "show"],
    &["queue", "count"],
    &["queue", "purge"],
    &["queue", "delete"],
    &["queue", "bind"],
    &["queue", "unbind"],
    &["repair"],
    &["serve"],
    &["status"],
    &["top"],
    &["verify"],
];

#[test]
fn every_subcommand_has_help_with_an_example() {
    for &command in COMMANDS {
        let text = run(&[command, &["--help"]].concat()).success();
        assert!(text.contains("Example"), "{command:?}:\n{text}");
        let example = [&["  forebay"][..], command].concat().join(" ");
        assert!(text.contains(&example), "{command:?}:\n{text}");
    }
}

#[test]
fn what_reports_can_do_so_in_json() {
    let leaves: [&[&str]; 19] = [
        &["bench"],
        &["consume"],
        &["demo", "spike"],
        &["publish"],
        &["status"],
        &["top"],
        &["queue", "declare"],
        &["queue", "list"],
        &["queue", "show"],
        &["queue", "count"],
        &["queue", "purge"],
        &["queue", "delete"],
        &["queue", "bind"],
        &["queue", "unbind"],
        &["exchange", "declare"],
        &["exchange", "delete"],
        &["exchange", "bind"],
        &["repair"],
        &["verify"],
    ];
    for leaf in leaves {
        let text = run(&[leaf, &["--help"]].concat()).success();
        assert!(text.contains("--json"), "{leaf:?}:\n{text}");
    }
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    for wrong in [&["publish", "x"][..], &["consume"], &["queue", "frobnicate"], &["bench", "-x"]] {
        let done = run(wrong);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.errors.contains("--help"), "{done:?}");
    }
}

#[test]
fn shells_get_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).success();
        assert!(
            script.contains("forebay") && script.contains("publish") && script.contains("verify")
        );
    }
}
