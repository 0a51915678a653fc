//! Python with pika, for clients that are not ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Set it to pass over the tests that need Python, on a machine that can't have it.
const SKIP_VARIABLE: &str = "FOREBAY_SKIP_PYTHON";

/// The project's directory.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An interpreter that has pika; made at the first call when the system has none.
///
/// # Panics
/// When there is none and none can be made, unless [`SKIP_VARIABLE`] is set.
pub(crate) fn interpreter() -> Option<&'static Path> {
    static INTERPRETER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let interpreter = INTERPRETER.get_or_init(|| {
        if std::env::var_os(SKIP_VARIABLE).is_some() {
            eprintln!("PASSED OVER: {SKIP_VARIABLE} is set, so nothing was tried with pika");
            return None;
        }
        let output = Command::new(project().join("scripts/python-env"))
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "no Python with pika (see above); {SKIP_VARIABLE}=1 passes these tests over"
        );
        Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()))
    });
    interpreter.as_deref()
}

/// Runs a program to its end and returns what it wrote to stdout.
///
/// # Panics
/// When it fails, with all that it wrote.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed:\n{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}
