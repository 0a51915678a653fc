//! How much memory this process may use: what the machine has, or less where a control group of the
//! process, or one above it, has a limit. The kernel kills what exceeds that limit, so the memory
//! alarm and all budgets follow from it.
//!
//! Version 2 of control groups names limits `memory.max`, version 1 `memory.limit_in_bytes`. Both are
//! looked for where the process is (`/proc/self/cgroup`), not at the root of the hierarchy: that is
//! where systemd's `MemoryMax=` stands. Inside of a container the root of the mount is the
//! container's own group.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The bound, and what sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    pub(crate) bytes: u64,
    /// The file of the control group that sets it; `None`: the size of the machine.
    pub(crate) file: Option<PathBuf>,
}

impl MemoryLimit {
    /// Reads it; `None` where the system does not tell.
    pub(crate) fn read() -> Option<Self> {
        Self::read_below(Path::new("/"))
    }

    /// Reads the limit from the system's files below this root.
    fn read_below(root: &Path) -> Option<Self> {
        let machine = fs::read_to_string(root.join("proc/meminfo")).ok()?;
        let total = machine.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let total = total.split_whitespace().next()?.parse::<u64>().ok()? * 1024;
        let machine = Self { bytes: total, file: None };
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
        let limits = mounts.lines().filter_map(Mount::parse).flat_map(|mount| {
            let group = mount.group_of(&groups);
            mount.limits(root, &group)
        });
        // The smallest one counts; a limit above the machine's memory, as "no limit" in version 1,
        // is none.
        Some(
            limits.fold(
                machine,
                |least, limit| if limit.bytes < least.bytes { limit } else { least },
            ),
        )
    }
}

impl std::fmt::Display for MemoryLimit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes, ", self.bytes)?;
        match &self.file {
            Some(file) => write!(formatter, "the limit in {}", file.display()),
            None => write!(formatter, "all that the machine has"),
        }
    }
}

/// Where a hierarchy of control groups that limits memory is mounted.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// The group that the mount shows at its root.
    root: PathBuf,
    /// Where it is mounted.
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Mount {
    /// Reads a line of `/proc/self/mountinfo` (proc(5)); `None` when something else is mounted.
    fn parse(line: &str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let version = match (kind.next()?, kind.nth(1)?) {
            ("cgroup2", _) => Version::Two,
            ("cgroup", options) if options.split(',').any(|option| option == "memory") => {
                Version::One
            }
            _ => return None,
        };
        let mut place = place.split(' ').skip(3).map(unescaped);
        Some(Self { version, root: place.next()?, path: place.next()? })
    }

    /// The process's group relative to the root of the mount; the root itself where the process's
    /// group is not below it, as it can look from within another namespace.
    fn group_of(&self, groups: &str) -> PathBuf {
        let group = groups.lines().find_map(|line| {
            let (_, line) = line.split_once(':')?;
            let (controllers, path) = line.split_once(':')?;
            let is_it = match self.version {
                Version::One => controllers.split(',').any(|controller| controller == "memory"),
                Version::Two => controllers.is_empty(),
            };
            is_it.then_some(Path::new(path))
        });
        let group = group.and_then(|group| group.strip_prefix(&self.root).ok());
        group
            .filter(|group| group.components().all(|part| matches!(part, Component::Normal(_))))
            .map(Path::to_owned)
            .unwrap_or_default()
    }

    /// The limits of a group and of all above it.
    fn limits(&self, root: &Path, group: &Path) -> Vec<MemoryLimit> {
        let name = match self.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        let path = self.path.strip_prefix("/").unwrap_or(&self.path);
        let read = |group: &Path| {
            let file = self.path.join(group).join(name);
            let text = fs::read_to_string(root.join(path).join(group).join(name)).ok()?;
            // "max" is no number, and no limit.
            Some(MemoryLimit { bytes: text.trim().parse().ok()?, file: Some(file) })
        };
        group.ancestors().filter_map(read).collect()
    }
}

/// A path as mountinfo writes it: spaces and the like as `\040`.
fn unescaped(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|code| u8::from_str_radix(code, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) if code.is_ascii() => {
                path.push(char::from(code));
                path.push_str(rest);
            }
            _ => {
                path.push('\\');
                path.push_str(part);
            }
        }
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;
    const V2: &str =
        "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// A system with these files, 1 GiB of memory in all.
    fn limit(groups: &str, mounts: &str, files: &[(&str, &str)]) -> MemoryLimit {
        let root = tempfile::tempdir().unwrap();
        let all = [
            ("proc/meminfo", "MemTotal:        1048576 kB\nMemFree: 1 kB\n"),
            ("proc/self/cgroup", groups),
            ("proc/self/mountinfo", mounts),
        ];
        for (name, content) in all.iter().chain(files) {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        MemoryLimit::read_below(root.path()).unwrap()
    }

    #[test]
    fn without_control_groups_the_machine_is_the_limit() {
        assert_eq!(limit("", "", &[]), MemoryLimit { bytes: 1024 * MIB, file: None });
        let unlimited = [("sys/fs/cgroup/a/memory.max", "max\n")];
        assert_eq!(limit("0::/a\n", V2, &unlimited).bytes, 1024 * MIB);
    }

    #[test]
    fn the_limit_of_a_systemd_unit_stands_at_its_own_path() {
        let unit = "sys/fs/cgroup/system.slice/forebay.service/memory.max";
        let limit =
            limit("0::/system.slice/forebay.service\n", V2, &[(unit, &(200 * MIB).to_string())]);
        assert_eq!(limit.bytes, 200 * MIB);
        assert_eq!(limit.file.unwrap(), Path::new("/").join(unit));
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let files = [
            ("sys/fs/cgroup/a/memory.max", "300000000"),
            ("sys/fs/cgroup/a/b/memory.max", "400000000"),
            ("sys/fs/cgroup/a/b/c/memory.max", "max"),
            ("sys/fs/cgroup/other/memory.max", "1000"),
        ];
        assert_eq!(limit("0::/a/b/c\n", V2, &files).bytes, 300_000_000);
    }

    #[test]
    fn a_container_finds_its_limit_with_and_without_a_namespace_of_its_own() {
        let files = [("sys/fs/cgroup/memory.max", "300000000")];
        assert_eq!(limit("0::/\n", V2, &files).bytes, 300_000_000);
        let mount = V2.replace(" / /sys", " /docker/abc /sys");
        assert_eq!(limit("0::/docker/abc\n", &mount, &files).bytes, 300_000_000);
        // The process was moved into the namespace from outside.
        assert_eq!(limit("0::/../def\n", V2, &files).bytes, 300_000_000);
    }

    #[test]
    fn version_1_has_a_hierarchy_for_memory_and_a_large_number_for_no_limit() {
        let mounts = "31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      32 24 0:28 / /sys/fs/cgroup/my\\040memory rw shared:3 - cgroup cgroup rw,memory\n\
                      33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/broker.1\n1:cpu:/x\n0::/\n";
        let files = [
            ("sys/fs/cgroup/my memory/memory.limit_in_bytes", "9223372036854771712"),
            ("sys/fs/cgroup/my memory/broker.1/memory.limit_in_bytes", "134217728\n"),
            ("sys/fs/cgroup/cpu/x/memory.limit_in_bytes", "5"),
        ];
        let limit = limit(groups, mounts, &files);
        assert_eq!(limit.bytes, 128 * MIB);
        assert!(limit.to_string().ends_with("my memory/broker.1/memory.limit_in_bytes"), "{limit}");
    }

    #[test]
    fn no_line_of_the_system_makes_it_panic() {
        for text in ["", "a", "a b c d - cgroup2", "\\", "\\04", "1 2 3 / \\777x - cgroup2 x rw"] {
            let _ = Mount::parse(text).map(|mount| mount.group_of(text));
            let _ = unescaped(text);
        }
    }
}
