//! What the README shows runs, as it stands there.

use crate::harness::broker;
use crate::harness::python::{interpreter, project, run};
use std::process::Command;

/// Where the README's examples connect to.
const README_ADDRESS: &str = "127.0.0.1:5672";

/// The code block of this language, the address replaced by that of the broker under test.
fn example(language: &str) -> String {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let (_, behind) = readme.split_once(&format!("```{language}\n")).expect("a block");
    let (code, _) = behind.split_once("```").expect("the block's end");
    assert!(code.contains(README_ADDRESS), "{code}");
    assert!(code.lines().count() <= 12, "a short example:\n{code}");
    code.replace(README_ADDRESS, &broker::shared().to_string())
}

#[test]
fn the_python_example_runs() {
    let Some(python) = interpreter() else { return };
    let said = run(Command::new(python).arg("-c").arg(example("python")));
    assert_eq!(said, "got two books\n");
}
