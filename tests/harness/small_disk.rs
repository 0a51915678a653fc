//! A small disk: a file system in memory, seen only by processes that are started within it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A file system of a fixed size. Gone with this, and also when the test program dies first.
pub(crate) struct SmallDisk {
    holder: Child,
    directory: TempDir,
}

impl SmallDisk {
    /// Mounts one in a namespace of its own; says so and gives nothing where the system does not
    /// allow that.
    pub(crate) fn mount(size_mib: u32) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let path = directory.path().display();
        // The namespace lives as long as the shell, and that until its input is closed.
        let script =
            format!("mount -t tmpfs -o size={size_mib}m tmpfs '{path}' && echo mounted && read _");
        let holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = match holder {
            Ok(holder) => holder,
            Err(error) => {
                eprintln!("passed over: needs a small file system, and unshare: {error}");
                return None;
            }
        };
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said.trim() != "mounted" {
            eprintln!("passed over: the system does not allow a file system of our own");
            let _ = holder.wait();
            return None;
        }
        Some(Self { holder, directory })
    }

    /// Where it is, for processes within.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where this file of it is for us.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.path().strip_prefix("/").unwrap()).join(name)
    }

    /// Takes room until so many bytes are free.
    pub(crate) fn fill_up_to(&self, free: u64) {
        let disk = rustix::fs::statvfs(self.outside("")).unwrap();
        let bytes = (disk.f_bavail * disk.f_frsize).saturating_sub(free);
        std::fs::write(self.outside("ballast"), vec![0; bytes as usize]).unwrap();
    }

    /// Gives it back.
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.outside("ballast")).unwrap();
    }

    /// What a program is started with to be within.
    pub(crate) fn entrance(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", &target]
            .map(str::to_owned)
            .to_vec()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
