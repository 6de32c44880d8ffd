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

/// The C client with TLS and SASL, and our program for it.
pub struct SecureC {
    program: PathBuf,
    plugins: PathBuf,
}

impl SecureC {
    /// Compiles `c/secure.c` into `home`.
    pub fn compile(home: &Path) -> Result<Self, Skip> {
        let client = cache::c_secure()?;
        cache::needs_command("cc")?;
        // Their folder is named after the machine.
        let libraries = std::fs::read_dir(client.join("root/usr/lib"))
            .expect("the packages have libraries")
            .map(|entry| entry.expect("readable").path())
            .find(|path| path.join("libsasl2.so").exists())
            .expect("libsasl2.so is in a package");
        let headers = client.join("root/usr/include");
        let machine = libraries.file_name().expect("it has been listed");
        let program = home.join("secure");
        let mut command = Command::new("cc");
        command.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread"]);
        command.args(["-DTHREADED", "-DUSE_STATIC_LIB"]);
        command.args(["-DHAVE_OPENSSL_H", "-DHAVE_CYRUS_SASL_H"]);
        for folder in [&client.join("include"), &headers, &headers.join(machine)] {
            command.arg("-I").arg(folder);
        }
        command.arg(source("c/secure.c")).arg("-o").arg(&program);
        for folder in [&client.join("lib"), &libraries] {
            command.arg("-L").arg(folder);
        }
        command.args(["-lzookeeper", "-lhashtable", "-lssl", "-lcrypto", "-lsasl2"]);
        command.args(["-lm", "-lrt"]);
        command.arg(format!("-Wl,-rpath,{}", libraries.display()));
        let output = command.output().expect("cc can be run");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let plugins = libraries.join("sasl2");
        Ok(Self { program, plugins })
    }

    /// The program; its arguments are still to come.
    pub fn command(&self, patience: Duration) -> Command {
        let mut command = bounded(patience, &self.program);
        command.env("SASL_PATH", &self.plugins);
        command
    }
}
