//! The files that say who belongs to the ensemble, as a reconfiguration leaves them.
//!
//! The static file, `zoo.cfg`, names the dynamic one, `zoo.cfg.dynamic.<version>`, which holds the
//! members of the configuration in force; what was proposed and is not in force stands in
//! `zoo.cfg.dynamic.next`. Invariants: each file is whole at any moment; the static file names a
//! dynamic one only when that is durable. Source: `QuorumPeerConfig.writeDynamicConfig`,
//! `editStaticConfig`, `backupOldConfig`; quorum.md 11.2, operations.md 1.11.
//!
//! Java writes the static file anew, without its comments and in no order; here what stays, stays
//! where it was.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ox_proto::{EnsembleConfig, ServerId, properties};
use ox_txnlog::{Disk, Open};

/// The files of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFiles {
    /// The static file; the others bear its name and more.
    pub path: PathBuf,
    /// This server.
    pub own: ServerId,
}

impl ConfigFiles {
    /// More than any of them is long: a text that no election can tell is never proposed.
    const MAX_LENGTH: u64 = 16 << 20;

    /// Where what was proposed stands.
    pub fn next_path(&self) -> PathBuf {
        self.named(".dynamic.next")
    }

    fn named(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// Keeps the static file as an operator has written it, before it is changed for the first time.
    ///
    /// # Errors
    /// The file or its folder.
    pub fn back_up(&self, disk: &dyn Disk) -> io::Result<()> {
        let bytes = read(disk, &self.path)?;
        self.write(disk, &self.named(".bak"), &bytes)
    }

    /// Notes a configuration that was proposed.
    ///
    /// # Errors
    /// The file or its folder.
    pub fn note(&self, disk: &dyn Disk, config: &EnsembleConfig) -> io::Result<()> {
        self.write(disk, &self.next_path(), lines(config, true).as_bytes())
    }

    /// Makes a configuration the one that the next start goes by.
    ///
    /// # Errors
    /// A file or its folder.
    pub fn enter(&self, disk: &dyn Disk, config: &EnsembleConfig) -> io::Result<()> {
        let dynamic = self.named(&format!(".dynamic.{:x}", config.version));
        self.write(disk, &dynamic, lines(config, false).as_bytes())?;
        let own = config.members.get(&self.own);
        let in_line = own.is_some_and(|own| own.client.is_some());
        let is_moved = |key: &str| {
            let moved = [
                "server.",
                "group",
                "weight",
                "dynamicConfigFile",
                "peerType",
            ];
            moved.iter().any(|start| key.starts_with(start))
                || in_line && key.starts_with("clientPort")
        };
        let mut text = properties::without(&read(disk, &self.path)?, is_moved);
        let absolute = std::path::absolute(&dynamic)?;
        text.extend_from_slice(b"dynamicConfigFile=");
        text.extend_from_slice(absolute.as_os_str().as_encoded_bytes());
        text.push(b'\n');
        self.write(disk, &self.path, &text)?;
        self.forget_noted(disk, config.version)
    }

    /// What was noted is in force now, or has come to nothing.
    fn forget_noted(&self, disk: &dyn Disk, version: i64) -> io::Result<()> {
        let next = self.next_path();
        let noted = match read(disk, &next) {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let noted = noted.and_then(|text| EnsembleConfig::parse(&text).ok());
        if noted.is_some_and(|noted| version < noted.version) {
            return Ok(());
        }
        disk.remove(&next)?;
        disk.sync_dir(self.folder())
    }

    fn folder(&self) -> &Path {
        let folder = self.path.parent();
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }

    /// Puts a whole file in the place of another, durably.
    fn write(&self, disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut temporary = path.to_owned().into_os_string();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = disk.open(&temporary, Open::Replace)?;
        file.write_at([bytes, &[]], 0)?;
        file.sync_all()?;
        disk.rename(&temporary, path)?;
        disk.sync_dir(self.folder())
    }
}

/// The lines of a configuration, sorted, without a newline at the end.
fn lines(config: &EnsembleConfig, with_version: bool) -> String {
    let text = config.to_string();
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| with_version || !line.starts_with("version="))
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let length = disk.length(path)?;
    if length > ConfigFiles::MAX_LENGTH {
        let text = format!("{} bytes in {}", length, path.display());
        return Err(io::Error::new(ErrorKind::FileTooLarge, text));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let file = disk.open(path, Open::Read)?;
    let mut at = 0;
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64)? {
            0 => break,
            count => at += count,
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ox_txnlog::RealDisk;

    use super::*;

    fn files(text: &str) -> (tempfile::TempDir, ConfigFiles) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zoo.cfg");
        fs::write(&path, text).unwrap();
        let own = ServerId(2);
        (folder, ConfigFiles { path, own })
    }

    fn text(files: &ConfigFiles, suffix: &str) -> Option<String> {
        fs::read_to_string(files.named(suffix)).ok()
    }

    #[test]
    fn what_is_in_force_stands_in_a_file_of_its_own() {
        let old = "# ours\ntickTime=2000\nclientPort=5\nserver.2=a:1:2\npeerType=observer\n";
        let (_folder, files) = files(old);
        let config = "server.10=c:1:2\nserver.2=b:1:2:observer\nversion=1f";
        let config = EnsembleConfig::parse(config).unwrap();
        files.back_up(&RealDisk).unwrap();
        files.note(&RealDisk, &config).unwrap();
        let sorted = "server.10=c:1:2:participant\nserver.2=b:1:2:observer";
        assert_eq!(
            text(&files, ".dynamic.next").unwrap(),
            format!("{sorted}\nversion=1f")
        );
        files.enter(&RealDisk, &config).unwrap();
        assert_eq!(text(&files, ".dynamic.1f").unwrap(), sorted);
        assert_eq!(text(&files, ".dynamic.next"), None);
        assert_eq!(text(&files, ".bak").unwrap(), old);
        let named = files.named(".dynamic.1f");
        let expected = format!(
            "# ours\ntickTime=2000\nclientPort=5\ndynamicConfigFile={}\n",
            named.display()
        );
        assert_eq!(text(&files, "").unwrap(), expected);
    }

    #[test]
    fn a_client_port_in_the_own_line_takes_the_place_of_the_static_one() {
        let (_folder, files) = files("clientPortAddress=h\ndataDir=/d\nclientPort=5");
        let config = "server.2=b:1:2;9\nversion=20";
        let config = EnsembleConfig::parse(config).unwrap();
        files.enter(&RealDisk, &config).unwrap();
        let now = text(&files, "").unwrap();
        assert!(now.starts_with("dataDir=/d\ndynamicConfigFile="), "{now}");
    }

    #[test]
    fn what_was_proposed_since_stays_noted() {
        let (_folder, files) = files("");
        let parse = |text| EnsembleConfig::parse(text).unwrap();
        files
            .note(&RealDisk, &parse("server.2=b:1:2\nversion=30"))
            .unwrap();
        files
            .enter(&RealDisk, &parse("server.2=b:1:2\nversion=20"))
            .unwrap();
        assert!(text(&files, ".dynamic.next").is_some());
    }
}
