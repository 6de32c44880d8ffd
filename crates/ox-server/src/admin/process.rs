//! What the system knows of this process: files, memory, names.
//!
//! Reads `/proc` and other small files; what cannot be read is not known, which is no error.

use std::{fs, io, path::Path};

use rustix::process::{Resource, getrlimit, getuid};

/// How many file descriptors this process has open.
pub fn open_files() -> Option<u64> {
    let files = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // One of them was there to list them.
    files.checked_sub(1)
}

/// How many file descriptors this process may have open.
pub fn max_open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The lengths of all files in this directory; those further down do not count.
///
/// # Errors
/// If the directory cannot be read. A file that goes away meanwhile is none.
pub fn directory_size(directory: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(directory)? {
        match entry?.metadata() {
            Ok(metadata) if metadata.is_file() => size += metadata.len(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(size)
}

/// The memory that this process uses, in bytes.
pub(super) fn memory_used() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident
        .trim()
        .strip_suffix(" kB")?
        .trim_end()
        .parse()
        .ok()?;
    kibibytes.checked_mul(1024)
}

/// The memory that it may use, in bytes: the machine's, or the container's if that is less.
pub(super) fn memory_limit() -> u64 {
    let machine = rustix::system::sysinfo();
    let machine = (machine.totalram as u64).saturating_mul(machine.mem_unit.into());
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|text| text.trim().parse().ok());
    container.map_or(machine, |limit: u64| limit.min(machine))
}

/// The name of the user that this process belongs to.
pub(super) fn user_name() -> Option<String> {
    user_name_in(&fs::read_to_string("/etc/passwd").ok()?, getuid().as_raw())
}

fn user_name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let is_this = fields.nth(1)?.parse() == Ok(uid);
        is_this.then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_as_large_as_its_files() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("snapshot.0"), [0; 10]).unwrap();
        fs::write(directory.path().join("log.1"), [0; 5]).unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        fs::write(directory.path().join("below/file"), [0; 3]).unwrap();
        assert_eq!(directory_size(directory.path()).unwrap(), 15);
        assert!(directory_size(&directory.path().join("nowhere")).is_err());
    }

    #[test]
    fn a_user_is_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nodd line\nzk:x:1000:100::/home/zk:/bin/sh\n";
        assert_eq!(user_name_in(passwd, 1000), Some("zk".to_owned()));
        assert_eq!(user_name_in(passwd, 100), None);
    }

    #[test]
    fn this_process_has_files_open_and_uses_memory() {
        assert!(open_files().unwrap() <= max_open_files().unwrap_or(u64::MAX));
        assert!((1 << 20) < memory_used().unwrap() && memory_used() < Some(memory_limit()));
    }
}
