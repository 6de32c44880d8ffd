//! The fixtures: real exchanges and real data directories (`fixtures/README.md` has the origin).

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::de::DeserializeOwned;

/// A path below `fixtures/`.
pub fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(below)
}

/// A JSON file below `fixtures/`.
pub fn json<T: DeserializeOwned>(below: &str) -> T {
    let path = path(below);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Unpacks a packed data directory; the result is the folder `datadir` in `into`.
pub fn unpack(name: &str, into: &Path) -> PathBuf {
    let packed = path("datadirs").join(name).join("datadir.tar.gz");
    let status = Command::new("tar")
        .args(["-x", "-z", "--no-same-owner", "-f"])
        .arg(&packed)
        .arg("-C")
        .arg(into)
        .status()
        .expect("tar can be run");
    assert!(status.success(), "tar cannot unpack {}", packed.display());
    into.join("datadir")
}
