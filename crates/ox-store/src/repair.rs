//! Setting aside what is damaged, so that the others of the ensemble can give it anew.
//!
//! A member that finds a damaged log, snapshot or epoch file does not know what it has acknowledged.
//! It must not vote on what is left, nor be counted for a new leader; but an established leader
//! may send it everything. So, if the operator allows it, all its history is given names that mean
//! nothing, and it begins empty and without a vote. Nothing is deleted.
//!
//! Invariant: from the first file that is set aside until the history is whole again, durably, a
//! note in the folder says so, and whoever starts there has no vote, whether repairing is still
//! allowed or not. Source: storage.md 8.3, reliability.md 2.2; Alagappan et al., Protocol-Aware
//! Recovery for Consensus-Based Storage, FAST 2018.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use ox_txnlog::{DataDirs, Doing as _, IoFailure, Open};

/// Says that the history is not whole. Java takes no notice of the name.
const NOTE: &str = "oxkeeper.repairing";

/// Begins the names of what is set aside, before a number and the old name.
const DAMAGED: &str = "oxkeeper.damaged.";

/// Whether the history of this server is not whole.
pub(crate) fn is_under_way(dirs: &DataDirs) -> Result<bool, IoFailure> {
    let names = dirs.disk().list(&dirs.snap).doing("list", &dirs.snap)?;
    Ok(names.iter().any(|name| name == NOTE))
}

/// Sets all history aside, or what is left of it to set aside.
pub(crate) fn set_aside(dirs: &DataDirs) -> Result<(), IoFailure> {
    let disk = dirs.disk();
    let note = dirs.snap.join(NOTE);
    let file = disk.open(&note, Open::WriteOrMake).doing("create", &note)?;
    file.sync_all().doing("sync", &note)?;
    disk.sync_dir(&dirs.snap).doing("sync", &dirs.snap)?;
    for dir in dirs.each() {
        let names = disk.list(dir).doing("list", dir)?;
        let number = 1 + names
            .iter()
            .filter_map(|name| number(name))
            .max()
            .unwrap_or(0);
        let history = names.iter().filter_map(|name| name.to_str());
        for name in history.filter(|name| is_history(name)) {
            let from = dir.join(name);
            let to = dir.join(format!("{DAMAGED}{number}.{name}"));
            tracing::warn!("setting {} aside as {}", from.display(), to.display());
            disk.rename(&from, &to).doing("rename", &from)?;
        }
        disk.sync_dir(dir).doing("sync", dir)?;
    }
    Ok(())
}

/// The history is whole again, and durable.
pub(crate) fn end(dirs: &DataDirs) -> Result<(), IoFailure> {
    let note = dirs.snap.join(NOTE);
    match dirs.disk().remove(&note) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        removed => removed.doing("delete", &note)?,
    }
    tracing::warn!("the history of this server is whole again: it votes from now on");
    dirs.disk().sync_dir(&dirs.snap).doing("sync", &dirs.snap)
}

/// What is damaged, or what must not be used without it. The accepted epoch is a promise to the
/// others and not a part of the history: it stays if it can be read.
fn is_history(name: &str) -> bool {
    let begins = |prefix| name.starts_with(prefix);
    begins("log.")
        || begins("snapshot.")
        || begins("oxkeeper.received.")
        || ["currentEpoch", "currentEpoch.tmp", "oxkeeper.synced"].contains(&name)
}

/// The number in the name of what was set aside.
fn number(name: &OsStr) -> Option<u64> {
    let rest = name.to_str()?.strip_prefix(DAMAGED)?;
    rest.split('.').next()?.parse().ok()
}

/// Sets one file aside that holds no history.
pub(crate) fn set_file_aside(dirs: &DataDirs, path: &Path) -> Result<(), IoFailure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let to = dirs.snap.join(format!("{DAMAGED}0.{name}"));
    tracing::warn!("setting {} aside as {}", path.display(), to.display());
    dirs.disk().rename(path, &to).doing("rename", path)?;
    dirs.disk().sync_dir(&dirs.snap).doing("sync", &dirs.snap)
}
