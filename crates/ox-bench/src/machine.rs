//! The machine and the command, so that numbers can be read by somebody else.

use std::fs;
use std::path::Path;
use std::thread;

use crate::Error;
use crate::report::say;

/// Prints both. Data on a tmpfs is refused: there is no disk to sync then.
pub(crate) fn describe(data: &Path) -> Result<(), Error> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let cpu = field("/proc/cpuinfo", "model name");
    let memory = field("/proc/meminfo", "MemTotal");
    let kernel = read("/proc/sys/kernel/osrelease");
    let file_system = file_system(&read("/proc/mounts"), data);
    let words: Vec<_> = std::env::args().collect();
    say(format!("command      {}", words.join(" ")));
    say(format!("machine      {cores} cores, {cpu}, {memory}"));
    say(format!("kernel       Linux {}", kernel.trim()));
    say(format!("data         {} on {file_system}", data.display()));
    match file_system.as_str() {
        "tmpfs" => Err(Error::Other(format!(
            "{} is on a tmpfs; choose another folder with --data",
            data.display()
        ))),
        _ => Ok(()),
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn field(path: &str, name: &str) -> String {
    read(path)
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
}

/// The type of the mount that `path` lies on: the longest mount point that begins it.
fn file_system(mounts: &str, path: &Path) -> String {
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_tells_the_file_system() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/b xfs rw 0 0\n";
        for (path, kind) in [("/x", "ext4"), ("/tmp/c", "tmpfs"), ("/tmp/b/c", "xfs")] {
            assert_eq!(file_system(mounts, Path::new(path)), kind);
        }
    }
}
