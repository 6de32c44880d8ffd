//! How the server's process begins and ends (operations.md 1.2, 2.4, 11.1).

#![expect(
    clippy::unwrap_used,
    reason = "a test whose files cannot be set up has failed"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};

const OXKEEPER: &str = env!("CARGO_BIN_EXE_oxkeeper");

/// A server that serves; killed when dropped.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it has logged so far.
    log: Vec<String>,
    port: u16,
}

impl Server {
    /// Starts `command` and waits for the line that names the port.
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .env_remove("JVMFLAGS")
            .env_remove("SERVER_JVMFLAGS")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            stdout,
            log: Vec::new(),
            port: 0,
        };
        while server.port == 0 {
            let mut line = String::new();
            let read = server.stdout.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "ended before it served: {:?}", server.log);
            if let Some((_, address)) = line.split_once("binding to port ") {
                let address = address.split(' ').next().unwrap().trim_end_matches(':');
                server.port = address.rsplit(':').next().unwrap().parse().unwrap();
            }
            server.log.push(line.trim_end().to_owned());
        }
        server
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn ask(&self, word: &str) -> String {
        let port = self.port.to_string();
        let arguments = ["four-letter-word", "127.0.0.1", &port, word];
        let output = Command::new(OXKEEPER).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends `signal`, and returns the exit code and the whole log.
    fn end(mut self, signal: Signal) -> (Option<i32>, Vec<String>) {
        kill_process(self.pid(), signal).unwrap();
        let mut log = std::mem::take(&mut self.log);
        log.extend(self.stdout.by_ref().lines().map(Result::unwrap));
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(OXKEEPER);
    command.arg("serve").args(arguments);
    command
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[track_caller]
fn check_refused(output: &Output, code: i32, reason: &str) {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.starts_with(reason), "{stderr}");
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        stdout.ends_with(&format!(" - Exiting JVM with code {code}\n")),
        "{stdout}"
    );
}

#[test]
fn both_signals_end_a_server_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&mut serve(&["0", &text(dir.path())]));
        assert!(server.ask("srvr").contains("Mode: standalone"));
        let (code, log) = server.end(signal);
        assert_eq!(code, Some(0), "{log:?}");
        assert!(
            log.last().unwrap().ends_with(" - Exiting JVM with code 0"),
            "{log:?}"
        );
    }
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&mut serve(&["0", &text(dir.path())]));
    let output = serve(&["0", &text(dir.path())]).output().unwrap();
    check_refused(
        &output,
        3,
        "Unable to access datadir, exiting abnormally: another server",
    );
    assert!(server.ask("srvr").contains("Mode: standalone"));
}

#[test]
fn a_missing_directory_is_refused_if_it_may_not_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let flag = "-Dzookeeper.datadir.autocreate=false";
    let output = serve(&[flag, "0", &text(dir.path())]).output().unwrap();
    check_refused(
        &output,
        3,
        "Unable to access datadir, exiting abnormally: missing data dir",
    );
}

#[test]
fn a_busy_port_ends_with_1() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let server = Server::start(&mut serve(&["0", &text(dirs[0].path())]));
    let port = server.port.to_string();
    let output = serve(&[&port, &text(dirs[1].path())]).output().unwrap();
    let reason =
        format!("Unexpected exception, exiting abnormally: cannot open the client port {port}");
    check_refused(&output, 1, &reason);
}

#[test]
fn a_container_serves_on_the_port_of_its_server_line_and_not_as_root() {
    let root = tempfile::tempdir().unwrap();
    let all = fs::Permissions::from_mode(0o777);
    fs::set_permissions(root.path(), all.clone()).unwrap();
    // The binary may lie where the user it drops to cannot look. Another process copies it: a file
    // that this one has open for writing goes to every child that another test starts meanwhile,
    // and cannot be run before those are gone.
    let binary = root.path().join("oxkeeper");
    let copied = Command::new("cp")
        .arg(OXKEEPER)
        .arg(&binary)
        .status()
        .unwrap();
    assert!(copied.success());
    let mut command = Command::new(&binary);
    command.args(["container-entrypoint", "zkServer.sh", "start-foreground"]);
    for (name, directory) in [
        ("ZOO_CONF_DIR", "conf"),
        ("ZOO_DATA_DIR", "data"),
        ("ZOO_DATA_LOG_DIR", "datalog"),
        ("ZOO_LOG_DIR", "logs"),
    ] {
        let path = root.path().join(directory);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, all.clone()).unwrap();
        command.env(name, path);
    }
    command
        .env("ZOO_MY_ID", "5")
        .env("ZOO_SERVERS", "server.5=localhost:2888:3888;0")
        .env("ZOO_4LW_COMMANDS_WHITELIST", "ruok")
        .env("ZOO_CFG_EXTRA", "extendedTypesEnabled=true maxCnxns=7");
    let server = Server::start(&mut command);
    assert_eq!(server.ask("ruok"), "imok");
    let (code, log) = server.end(Signal::TERM);
    assert_eq!(code, Some(0), "{log:?}");
    let config = fs::read_to_string(root.path().join("conf/zoo.cfg")).unwrap();
    for line in [
        "4lw.commands.whitelist=ruok",
        "extendedTypesEnabled=true",
        "maxCnxns=7",
    ] {
        assert!(
            config.lines().any(|found| found == line),
            "no {line} in {config}"
        );
    }
    assert_eq!(
        fs::read_to_string(root.path().join("data/myid")).unwrap(),
        "5\n"
    );
    let log_dir = fs::metadata(root.path().join("datalog/version-2")).unwrap();
    let expected = if geteuid().is_root() {
        1000
    } else {
        geteuid().as_raw()
    };
    assert_eq!(log_dir.uid(), expected);
}

#[test]
fn a_container_runs_nothing_else() {
    let output = Command::new(OXKEEPER)
        .args(["container-entrypoint", "sh"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("zkServer.sh start-foreground")
    );
}

/// Starts the only member of an ensemble, in a directory that must not begin with an empty tree
/// unless it is told to.
fn only_member(dir: &Path) -> Server {
    let config = dir.join("zoo.cfg");
    // It speaks to nobody but itself, so any free ports will do.
    let port = || {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let text = format!(
        "dataDir={}\nclientPort={}\nstandaloneEnabled=false\ninitLimit=10\nsyncLimit=5\n\
         db.autocreate=false\nserver.1=127.0.0.1:{}:{}\n",
        dir.display(),
        port(),
        port(),
        port(),
    );
    fs::write(&config, text).unwrap();
    fs::write(dir.join("myid"), "1").unwrap();
    Server::start(&mut serve(&[&config.display().to_string()]))
}

/// Row 35 of the faults: a member that has lost its data looks like a new one.
#[test]
fn an_empty_member_that_may_not_begin_has_no_vote() {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("version-2");
    let epoch = || fs::read_to_string(files.join("currentEpoch")).unwrap();
    for _ in 0..2 {
        let (code, log) = only_member(dir.path()).end(Signal::TERM);
        assert_eq!(code, Some(0), "{log:?}");
        assert!(!log.iter().any(|line| line.contains("LEADING")), "{log:?}");
        assert!(!files.join("snapshot.0").exists());
        assert_eq!(epoch(), "-1");
    }
    fs::write(dir.path().join("initialize"), "").unwrap();
    let server = only_member(dir.path());
    let (code, log) = server.end(Signal::TERM);
    assert_eq!(code, Some(0), "{log:?}");
    assert!(files.join("snapshot.0").exists());
    assert!(!dir.path().join("initialize").exists());
}
