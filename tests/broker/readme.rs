//! What the README shows runs, as it stands there.

use crate::harness::broker;
use crate::harness::python::{interpreter, project, run};
use std::process::Command;

/// Where the README's examples connect to.
const README_ADDRESS: &str = "127.0.0.1:5672";

/// The code block of this language.
fn example(language: &str) -> String {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let (_, behind) = readme.split_once(&format!("```{language}\n")).expect("a block");
    let (code, _) = behind.split_once("```").expect("the block's end");
    assert!(code.contains(README_ADDRESS), "{code}");
    code.to_owned()
}

#[test]
fn the_python_example_runs() {
    let Some(python) = interpreter() else { return };
    let code = example("python").replace(README_ADDRESS, &broker::shared().to_string());
    assert!(code.lines().count() <= 10, "ten lines:\n{code}");
    assert_eq!(run(Command::new(python).arg("-c").arg(code)), "got two books\n");
}

#[test]
fn the_rust_example_runs() {
    let code = std::fs::read_to_string(project().join("examples/parcel.rs")).unwrap();
    assert_eq!(example("rust"), code, "README.md shows examples/parcel.rs as it is");
    let uri = format!("amqp://guest:guest@{}", broker::shared());
    let mut parcel = Command::new(env!("CARGO"));
    parcel.args(["run", "--quiet", "--example", "parcel"]).env("AMQP_URL", uri);
    assert_eq!(run(parcel.current_dir(project())), "got a parcel\n");
}
