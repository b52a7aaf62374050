//! A control group that counts the CPU time of a server's processes, found or made.
//!
//! The rule: what was moved here goes back where it was, and the group goes away, however the run ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A control group and how its clock is read.
#[derive(Debug)]
pub(crate) struct Cgroup {
    folder: PathBuf,
    version: Version,
    /// Where each process was before, if this group was made for it.
    moved: Vec<(u32, PathBuf)>,
    is_ours: bool,
}

impl Cgroup {
    /// A group that exists.
    ///
    /// # Errors
    /// [`CgroupError::NoClock`] if it counts no CPU time.
    pub(crate) fn existing(folder: &Path) -> Result<Self, CgroupError> {
        let version = [Version::Two, Version::One]
            .into_iter()
            .find(|version| version.read(folder).is_some())
            .ok_or_else(|| CgroupError::NoClock(folder.to_owned()))?;
        Ok(Self {
            folder: folder.to_owned(),
            version,
            moved: Vec::new(),
            is_ours: false,
        })
    }

    /// Makes a group and moves processes into it.
    ///
    /// # Errors
    /// Why it cannot be made; nothing is left behind then.
    pub(crate) fn make(pids: &[u32]) -> Result<Self, CgroupError> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mut last = CgroupError::NotMounted;
        for (version, mount) in mounts_of(&mounts) {
            match Self::make_under(version, &mount, pids) {
                Ok(group) => return Ok(group),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// CPU time that its processes have used since it was made.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        self.version.read(&self.folder)
    }

    /// What its clock is called.
    pub(crate) fn name(&self) -> &'static str {
        match self.version {
            Version::One => "cgroup v1 cpuacct",
            Version::Two => "cgroup v2",
        }
    }

    /// Every process in it.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn make_under(version: Version, mount: &Path, pids: &[u32]) -> Result<Self, CgroupError> {
        let folder = mount.join(format!("corecast-load-{}", std::process::id()));
        let failed = |folder: &Path| {
            let folder = folder.to_owned();
            move |error| CgroupError::Refused { folder, error }
        };
        fs::create_dir(&folder).map_err(failed(&folder))?;
        // From here on dropping the group undoes everything.
        let mut group = Self {
            folder,
            version,
            moved: Vec::new(),
            is_ours: true,
        };
        if group.cpu().is_none() {
            return Err(CgroupError::NoClock(group.folder.clone()));
        }
        for pid in pids {
            let was = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            let home = home_of(&was, version).map_or_else(
                || mount.to_owned(),
                |path| mount.join(path.trim_start_matches('/')),
            );
            let procs = group.folder.join("cgroup.procs");
            fs::write(&procs, pid.to_string()).map_err(failed(&procs))?;
            group.moved.push((*pid, home));
        }
        Ok(group)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if !self.is_ours {
            return;
        }
        let first = self.moved.first().map(|(_, home)| home.clone());
        for pid in self.pids() {
            // Children that were born here go where their parents came from.
            let known = self.moved.iter().find(|(moved, _)| *moved == pid);
            if let Some(home) = known.map(|(_, home)| home).or(first.as_ref()) {
                // A process that is gone needs no home.
                drop(fs::write(home.join("cgroup.procs"), pid.to_string()));
            }
        }
        drop(fs::remove_dir(&self.folder));
    }
}

/// Which of the kernel's two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    fn read(self, folder: &Path) -> Option<Duration> {
        match self {
            Self::One => {
                let text = fs::read_to_string(folder.join("cpuacct.usage")).ok()?;
                Some(Duration::from_nanos(text.trim().parse().ok()?))
            }
            Self::Two => {
                let text = fs::read_to_string(folder.join("cpu.stat")).ok()?;
                let mut lines = text.lines();
                let usage = lines.find_map(|line| line.strip_prefix("usage_usec "))?;
                Some(Duration::from_micros(usage.trim().parse().ok()?))
            }
        }
    }
}

/// Why there is no group.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    #[error("control group {0} counts no CPU time: neither cpu.stat nor cpuacct.usage is there")]
    NoClock(PathBuf),
    #[error("no control group that counts CPU time is mounted")]
    NotMounted,
    #[error("write to control group {folder} was refused")]
    Refused {
        folder: PathBuf,
        #[source]
        error: io::Error,
    },
}

/// Where the interfaces are mounted, the newer first.
fn mounts_of(mounts: &str) -> Vec<(Version, PathBuf)> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, folder, kind, options, ..] = words.as_slice() else {
            continue;
        };
        match *kind {
            "cgroup2" => found.insert(0, (Version::Two, PathBuf::from(folder))),
            "cgroup" if options.split(',').any(|option| option == "cpuacct") => {
                found.push((Version::One, PathBuf::from(folder)));
            }
            _ => {}
        }
    }
    found
}

/// The path of a process within one hierarchy, from its `/proc/PID/cgroup`.
fn home_of(text: &str, version: Version) -> Option<&str> {
    text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_it = match version {
            Version::One => controllers.split(',').any(|it| it == "cpuacct"),
            Version::Two => controllers.is_empty(),
        };
        is_it.then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_interface_is_tried_first_and_others_are_none() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
            cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let found = mounts_of(mounts);
        assert_eq!(
            found,
            [
                (Version::Two, "/sys/fs/cgroup/unified".into()),
                (Version::One, "/sys/fs/cgroup/cpu,cpuacct".into())
            ]
        );
    }

    #[test]
    fn home_of_a_process_is_that_of_the_hierarchy_asked_for() {
        let text = "5:cpu,cpuacct:/a\n4:memory:/b\n0::/c/d\n";
        assert_eq!(home_of(text, Version::One), Some("/a"));
        assert_eq!(home_of(text, Version::Two), Some("/c/d"));
        assert_eq!(home_of("4:memory:/b\n", Version::One), None);
    }

    #[test]
    fn folder_without_a_clock_is_refused_by_name() {
        let refused = Cgroup::existing(Path::new("/proc/self/fdinfo"));
        assert!(
            matches!(refused, Err(CgroupError::NoClock(_))),
            "{refused:?}"
        );
    }
}
