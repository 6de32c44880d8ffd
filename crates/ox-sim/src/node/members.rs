//! Who belongs to the ensemble, as a server's own files say when it starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ox_proto::{EnsembleConfig, properties};
use ox_store::ConfigFiles;
use ox_txnlog::{Disk, Open};

use super::start::DATA;
use super::votes::server_of;
use crate::queue::Place;

/// The files of a server.
pub(crate) fn files(place: Place) -> ConfigFiles {
    ConfigFiles {
        path: Path::new(DATA).join("zoo.cfg"),
        own: server_of(place),
    }
}

/// Writes the static file with which a server begins.
pub(super) fn prepare(disk: &dyn Disk, place: Place, initial: &EnsembleConfig) {
    let files = files(place);
    let lines = initial.members.iter();
    let lines = lines.map(|(id, member)| format!("server.{}={member}\n", id.0));
    let text: String = lines.collect();
    let write = || {
        disk.create_dirs(Path::new(DATA))?;
        let file = disk.open(&files.path, Open::Replace)?;
        file.write_at([text.as_bytes(), &[]], 0)?;
        file.sync_all()?;
        disk.sync_dir(Path::new(DATA))
    };
    let _: std::io::Result<()> = write();
}

/// The configuration in force, and the one that was proposed. `initial` is what a server without
/// files is told, and one whose files do not name it: such a server refuses to start, and somebody puts
/// the file back with which it began.
pub(super) fn read(
    disk: &dyn Disk,
    place: Place,
    initial: &Arc<EnsembleConfig>,
) -> (Arc<EnsembleConfig>, Option<EnsembleConfig>) {
    let files = files(place);
    let next = text(disk, &files.next_path());
    let proposed = next.and_then(|text| EnsembleConfig::parse(&text).ok());
    let committed = committed(disk, &files);
    let committed = committed.filter(|config| config.members.contains_key(&files.own));
    (committed.unwrap_or(Arc::clone(initial)), proposed)
}

fn committed(disk: &dyn Disk, files: &ConfigFiles) -> Option<Arc<EnsembleConfig>> {
    let entries = properties::parse_text(&text(disk, &files.path)?).entries;
    let dynamic = entries
        .iter()
        .find(|entry| entry.key == "dynamicConfigFile");
    let path = PathBuf::from(&dynamic?.value);
    let mut config = EnsembleConfig::parse(&text(disk, &path)?).ok()?;
    let (_, version) = path.to_str()?.rsplit_once('.')?;
    config.version = i64::from_str_radix(version, 16).ok()?;
    Some(Arc::new(config))
}

fn text(disk: &dyn Disk, path: &Path) -> Option<String> {
    let mut bytes = vec![0; usize::try_from(disk.length(path).ok()?).ok()?];
    let file = disk.open(path, Open::Read).ok()?;
    let length = file.read_at(&mut bytes, 0).ok()?;
    bytes.truncate(length);
    String::from_utf8(bytes).ok()
}
