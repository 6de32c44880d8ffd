//! The programs that drive real clients: kazoo's in `python/`, the Java client's in `java/`.
//!
//! Each takes a connect string, prints a line when a step begins and when it has come to its end,
//! and ends with exit code 0 only if all have. A program that hangs is ended, and so fails.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

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
    let sources = ["Steps", "ClientApi", "Leave", "Sasl", "Tls"];
    let sources = sources.map(|name| source("java/src").join(format!("{name}.java")));
    compile_java_with(home, &cache::jars()?, &sources)
}

/// The class path of these Java sources, compiled into `home`, with the jars they need. Java 11 and
/// later can run it.
pub fn compile_java_with(home: &Path, jars: &str, sources: &[PathBuf]) -> Result<String, Skip> {
    cache::needs_command("javac")?;
    let classes = home.join("classes");
    let mut javac = Command::new("javac");
    javac.args(["--release", "11", "-encoding", "UTF-8"]);
    javac.args(["-nowarn", "-cp", jars, "-d"]);
    succeeds(javac.arg(&classes).args(sources));
    Ok(format!("{}:{jars}", classes.display()))
}

/// The folder of one of the C client's libraries, below a name that depends on the machine.
#[track_caller]
pub fn c_libraries(root: &Path, library: &str) -> PathBuf {
    std::fs::read_dir(root.join("usr/lib"))
        .expect("the packages have libraries")
        .map(|entry| entry.expect("readable").path())
        .find(|path| path.join(format!("lib{library}.so")).exists())
        .unwrap_or_else(|| panic!("lib{library}.so is in the package"))
}

/// Runs a compiler, or whatever else must succeed for a test to begin.
#[track_caller]
pub fn succeeds(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A Java class; its arguments are still to come.
pub fn java(patience: Duration, class_path: &str, class: &str) -> Command {
    java_of(Path::new("java"), patience, class_path, class)
}

/// As `java`, with another Java than the one in PATH.
pub fn java_of(java: &Path, patience: Duration, class_path: &str, class: &str) -> Command {
    let mut command = bounded(patience, java);
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.arg(format!(
        "-Dlogback.configurationFile={}",
        source("java/logback.xml").display()
    ));
    command.args(["-Dcompat.log=ERROR", "-cp", class_path, class]);
    command
}

/// A client program that runs, below `timeout`; it ends with the value that stands for it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    input: ChildStdin,
}

impl Program {
    /// Starts it; the lines it prints come by the channel, which closes at its end.
    pub fn start(command: &mut Command) -> (Self, Receiver<String>) {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = child.stdout.take().expect("piped");
        let input = child.stdin.take().expect("piped");
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        (Self { child, input }, receiver)
    }

    /// Gives it a line to read.
    pub fn tell(&mut self, line: &str) {
        // An error means that it has ended already.
        let _ = writeln!(self.input, "{line}");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // An error means that it has ended already.
        let _ = kill_process(pid.expect("a pid"), signal);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("our own child")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // `timeout` hands this on; who is paused takes it when it goes on.
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        let _ = self.child.wait();
    }
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
        succeeds(&mut command);
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
