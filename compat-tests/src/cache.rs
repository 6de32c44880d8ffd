//! The cache folder that `fetch.sh` fills with reference servers and real clients.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::ApacheVersion;
use crate::suite::Skip;

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies one folder below the root")
        .to_path_buf()
}

/// The cache folder: `OX_CACHE`, or `.cache` at the root of the repository.
pub fn folder() -> PathBuf {
    std::env::var_os("OX_CACHE").map_or_else(|| repository().join(".cache"), PathBuf::from)
}

/// Class path of Apache ZooKeeper 3.9.5 and of its client and shell; needs a `java` in PATH.
pub fn jars() -> Result<String, Skip> {
    server_jars(ApacheVersion::V3_9_5)
}

/// Class path of a version of Apache ZooKeeper's server; needs a `java` in PATH.
pub fn server_jars(version: ApacheVersion) -> Result<String, Skip> {
    needs_command("java")?;
    let jars = folder().join(match version {
        ApacheVersion::V3_8_0 => "jars-3.8.0",
        ApacheVersion::V3_8_6 => "jars-3.8.6",
        ApacheVersion::V3_9_5 => "jars",
    });
    if !jars.join(".stamp").exists() {
        return Err(Skip(format!(
            "no jars in {}: run compat-tests/fetch.sh",
            jars.display()
        )));
    }
    Ok(format!("{}/*", jars.display()))
}

/// The Python of the environment that has kazoo.
pub fn python() -> Result<PathBuf, Skip> {
    let python = folder().join("venv/bin/python");
    if python.exists() {
        return Ok(python);
    }
    Err(Skip(
        "no kazoo in the cache folder: run compat-tests/fetch.sh".into(),
    ))
}

/// Root of the unpacked Debian packages of the C client.
pub fn debian() -> Result<PathBuf, Skip> {
    let root = folder().join("debian/root");
    if root.join("usr/include/zookeeper").exists() {
        return Ok(root);
    }
    Err(Skip(
        "no C client in the cache folder: run compat-tests/fetch.sh".into(),
    ))
}

/// Folder of the C client that is built with TLS and SASL: `lib`, `include`, and below `root` the
/// packages that it needs.
pub fn c_secure() -> Result<PathBuf, Skip> {
    let folder = folder().join("c-secure");
    if folder.join(".stamp").exists() {
        return Ok(folder);
    }
    Err(Skip(
        "no C client with TLS and SASL in the cache folder: compat-tests/fetch.sh says why".into(),
    ))
}

/// Skips unless the command can be run.
pub fn needs_command(name: &str) -> Result<(), Skip> {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {name}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if found {
        Ok(())
    } else {
        Err(Skip(format!("no {name} in PATH")))
    }
}
