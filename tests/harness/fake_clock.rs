//! A wall clock for a broker, set by libfaketime; the monotonic clock stays right.

use super::launch::Launch;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A wall clock that can be set while a broker goes by it.
pub(crate) struct FakeClock {
    place: TempDir,
    library: PathBuf,
}

impl FakeClock {
    /// A clock that is right; `None` where libfaketime is not installed, which CI takes for a failure.
    pub(crate) fn make() -> Option<Self> {
        // Where Debian has it.
        let library =
            format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
        let library = PathBuf::from(library);
        assert!(library.exists() || std::env::var_os("CI").is_none(), "CI needs libfaketime");
        if !library.exists() {
            eprintln!("passed over: needs libfaketime");
            return None;
        }
        let clock = Self { place: TempDir::new().unwrap(), library };
        clock.set(0);
        Some(clock)
    }

    fn file(&self) -> PathBuf {
        self.place.path().join("clock")
    }

    /// Sets it this many seconds off.
    pub(crate) fn set(&self, seconds: i64) {
        let next = self.place.path().join("next");
        std::fs::write(&next, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(next, self.file()).unwrap();
    }

    /// A broker that goes by it.
    pub(crate) fn launch(&self, data: &Path) -> Launch {
        Launch::on(data)
            .variable("LD_PRELOAD", self.library.to_str().unwrap())
            .variable("FAKETIME_TIMESTAMP_FILE", self.file().to_str().unwrap())
            .variable("FAKETIME_NO_CACHE", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }
}
