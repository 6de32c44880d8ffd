//! The programs that drive real clients: kazoo's in `python/`, the Java client's in `java/`.
//!
//! Each takes a connect string, prints a line when a step begins and when it has come to its end,
//! and ends with exit code 0 only if all have. A program that hangs is ended, and so fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cache;
use crate::suite::Skip;

/// A path below this crate's folder.
pub fn source(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// A program that is ended, and so fails, if it takes longer.
pub fn bounded(patience: Duration, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.arg(patience.as_secs().to_string()).arg(program);
    command
}

/// A script that uses kazoo; its arguments are still to come.
pub fn kazoo(patience: Duration, script: &str) -> Result<Command, Skip> {
    let mut command = bounded(patience, cache::python()?);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(source("python").join(script));
    Ok(command)
}

/// The class path of our Java programs, compiled into `home`.
pub fn compile_java(home: &Path) -> Result<String, Skip> {
    let jars = cache::jars()?;
    cache::needs_command("javac")?;
    let classes = home.join("classes");
    let sources = ["Steps", "ClientApi", "Leave", "Sasl", "Tls"];
    let output = Command::new("javac")
        .args(["-nowarn", "-cp", &jars, "-d"])
        .arg(&classes)
        .args(sources.map(|name| source("java/src").join(format!("{name}.java"))))
        .output()
        .expect("javac can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(format!("{}:{jars}", classes.display()))
}

/// A Java class; its arguments are still to come.
pub fn java(patience: Duration, class_path: &str, class: &str) -> Command {
    let mut command = bounded(patience, "java");
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.arg(format!(
        "-Dlogback.configurationFile={}",
        source("java/logback.xml").display()
    ));
    command.args(["-Dcompat.log=ERROR", "-cp", class_path, class]);
    command
}
