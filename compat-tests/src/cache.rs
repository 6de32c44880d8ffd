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
    fetched(&jars, "fetch.sh")?;
    Ok(format!("{}/*", jars.display()))
}

/// Class path of a client that only the long form of the matrix drives, such as `java-3.4.14`.
pub fn client_jars(name: &str) -> Result<String, Skip> {
    needs_command("java")?;
    Ok(format!("{}/*", client(name)?.display()))
}

/// Class path of an application and its client; needs a `java` in PATH.
pub fn app_jars(name: &str) -> Result<String, Skip> {
    needs_command("java")?;
    let jars = folder().join(format!("jars-{name}"));
    fetched(&jars, "fetch.sh apps")?;
    Ok(format!("{}/*", jars.display()))
}

/// The folder of a client that only the long form of the matrix drives.
pub fn client(name: &str) -> Result<PathBuf, Skip> {
    let folder = folder().join("clients").join(name);
    fetched(&folder, "fetch.sh matrix")?;
    Ok(folder)
}

/// The folder of a test suite that a client ships with.
pub fn peer(name: &str) -> Result<PathBuf, Skip> {
    let folder = folder().join("peers").join(name);
    fetched(&folder, "fetch.sh peers")?;
    Ok(folder)
}

/// Skips unless a folder was filled to its end.
fn fetched(folder: &Path, script: &str) -> Result<(), Skip> {
    if folder.join(".stamp").exists() {
        return Ok(());
    }
    Err(Skip(format!(
        "nothing in {}: run compat-tests/{script}",
        folder.display()
    )))
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

/// Root of the unpacked Debian packages of the C client with threads.
pub fn debian() -> Result<PathBuf, Skip> {
    unpacked("debian")
}

/// Root of the unpacked Debian packages of the C client without threads.
pub fn debian_st() -> Result<PathBuf, Skip> {
    unpacked("debian-st")
}

fn unpacked(packages: &str) -> Result<PathBuf, Skip> {
    let packages = folder().join(packages);
    fetched(&packages, "fetch.sh")?;
    Ok(packages.join("root"))
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
