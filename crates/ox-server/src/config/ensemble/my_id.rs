//! The file `myid` in the data directory: which of the members this server is.
//!
//! Source: `QuorumPeerConfig.setupMyId`; operations.md 1.3, quorum.md 1.1.

use std::io;
use std::path::{Path, PathBuf};

use ox_proto::ServerId;

use super::super::problem::Origin;
use super::super::reader::{Place, Reader};
use super::{found_after_the_configuration, is_true};

/// The number in `<dataDir>/myid`, if there is such a file. A bad one is a problem in any case.
pub(super) fn read(reader: &mut Reader, data_dir: &Path) -> Option<ServerId> {
    let path = path(data_dir);
    let allowed = "a number from 0 to 255";
    let text = match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        // A directory of this name is no file to Java either.
        Err(error) if is_missing(&error) => return None,
        Err(error) => {
            let reason = format!("Error processing {}: {error}", path.display());
            reader.problem(Origin::File(path), "", reason, allowed);
            return None;
        }
    };
    // Java reads null where there is no line.
    let line = text.split(['\n', '\r']).next().filter(|_| !text.is_empty());
    let line = line.unwrap_or("null");
    let id = line.parse().ok();
    if id.is_none() {
        let reason = format!("serverid {line} is not a number");
        reader.problem(Origin::File(path), "", reason, allowed);
    }
    id.map(ServerId)
}

fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | IsADirectory | NotADirectory)
}

/// Says that `myid` is not there, unless a bad one has been reported.
pub(super) fn missing(reader: &mut Reader, data_dir: &Path) {
    let path = path(data_dir);
    let file = Origin::File(path.clone());
    if reader.problems.iter().any(|problem| problem.origin == file) {
        return;
    }
    let allowed = format!("a number in {}", path.display());
    let origin = reader.whole.clone();
    reader.problem(origin, "", "myid file is missing", &allowed);
}

/// With TTL nodes the highest byte of a session id can no longer be 255 (`EphemeralType`).
pub(super) fn fits_ttl_nodes(reader: &mut Reader, data_dir: &Path, id: ServerId) {
    const MOST: i64 = 254;
    if id.0 <= MOST || !is_true(reader, "extendedTypesEnabled", Place::Property) {
        return;
    }
    let reason = format!(
        "extendedTypesEnabled is true but Server ID is too large. Cannot be larger than {MOST}"
    );
    let origin = Origin::File(path(data_dir));
    reader.problem(origin, "", reason, "0 to 254");
    found_after_the_configuration(reader);
}

pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("myid")
}
