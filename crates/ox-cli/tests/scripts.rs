//! The scripts in `bin/`, run as operators and their tools run them (operations.md 2.2, 2.3).

#![expect(
    clippy::unwrap_used,
    reason = "a test whose files cannot be set up has failed"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ox_server::config::{Config, Sources};
use rustix::process::{Pid, Signal, kill_process};

/// The directories of one installation, and the variables its scripts are run with.
struct Installation {
    root: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Installation {
    fn new(config: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        for directory in ["conf", "data", "logs"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        let text = config.replace("{root}", &root.path().display().to_string());
        fs::write(root.path().join("conf/zoo.cfg"), text).unwrap();
        Self {
            root,
            variables: Vec::new(),
        }
    }

    /// One that serves on a port that was free a moment ago.
    fn serving() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self::new(&format!(
            "tickTime=2000\ndataDir={{root}}/data\nclientPort={port}\nclientPortAddress=127.0.0.1\n"
        ))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin");
        Command::new(bin.join(script))
            .args(arguments)
            .env_remove("JVMFLAGS")
            .env_remove("SERVER_JVMFLAGS")
            .env("OXKEEPER_BIN", env!("CARGO_BIN_EXE_oxkeeper"))
            .env("ZOOCFGDIR", self.path("conf"))
            .env("ZOO_LOG_DIR", self.path("logs"))
            .env("USER", "operator")
            .env("HOSTNAME", "machine")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap()
    }

    /// Runs a verb of `zkServer.sh` and compares what it prints, with `{root}` for the directory.
    #[track_caller]
    fn check(&self, arguments: &[&str], code: i32, stdout: &str) {
        let output = self.run("zkServer.sh", arguments);
        let root = self.root.path().display().to_string();
        let out = String::from_utf8(output.stdout)
            .unwrap()
            .replace(&root, "{root}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (out.trim_end(), output.status.code()),
            (stdout, Some(code)),
            "stderr: {err}"
        );
        assert!(err.contains("Using config: "), "{err}");
    }
}

impl Drop for Installation {
    /// Ends the server that a failed test has left running.
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.path("data/zookeeper_server.pid")).ok();
        if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[test]
fn the_command_line_is_printed_with_what_the_variables_add() {
    let command = format!("{} serve", env!("CARGO_BIN_EXE_oxkeeper"));
    let plain = Installation::new("dataDir={root}/data\n");
    plain.check(
        &["print-cmd"],
        0,
        &format!("{command} {{root}}/conf/zoo.cfg"),
    );
    plain.check(
        &["print-cmd", "other.cfg"],
        0,
        &format!("{command} {{root}}/conf/other.cfg"),
    );
    plain.check(
        &["print-cmd", "/etc/other.cfg"],
        0,
        &format!("{command} /etc/other.cfg"),
    );
    plain.check(
        &["--config", "/", "print-cmd"],
        0,
        &format!("{command} //zoo.cfg"),
    );
    let strict = plain
        .variable("ZOO_DATADIR_AUTOCREATE_DISABLE", "1")
        .variable("ZOOCFG", "a.cfg");
    let flag = "-Dzookeeper.datadir.autocreate=false";
    strict.check(
        &["print-cmd"],
        0,
        &format!("{command} {flag} {{root}}/conf/a.cfg"),
    );
}

#[test]
fn an_unknown_verb_prints_the_usage_and_ends_with_0() {
    let output = Installation::new("").run("zkServer.sh", &["fly"]);
    assert_eq!(output.status.code(), Some(0));
    let usage = "{start|start-foreground|stop|version|restart|status|print-cmd}";
    assert!(String::from_utf8(output.stderr).unwrap().contains(usage));
    assert!(output.stdout.is_empty());
}

#[test]
fn the_version_is_the_binarys() {
    let output = Installation::new("").run("zkServer.sh", &["version"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("Apache ZooKeeper, version 3.9.5 "),
        "{text}"
    );
}

#[test]
fn nothing_to_stop_is_no_failure() {
    Installation::new("dataDir={root}/data\n").check(
        &["stop"],
        0,
        "Stopping zookeeper ... no zookeeper to stop (could not find file \
         {root}/data/zookeeper_server.pid)",
    );
}

#[test]
fn a_server_that_refuses_its_file_has_failed_to_start() {
    let bad = Installation::new("dataDir={root}/data\nclientPort=x\n");
    bad.check(&["start"], 1, "Starting zookeeper ... FAILED TO START");
    assert!(!bad.path("data/zookeeper_server.pid").exists());
    let log = bad.path("logs/zookeeper-operator-server-machine.out");
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains("zoo.cfg:2: clientPort: For input string: \"x\""),
        "{log}"
    );
    bad.check(
        &["start", "missing.cfg"],
        1,
        "Starting zookeeper ... FAILED TO START",
    );
}

#[test]
fn a_server_is_started_asked_restarted_and_stopped() {
    let place = Installation::serving();
    let config = fs::read_to_string(place.path("conf/zoo.cfg")).unwrap();
    let port = config
        .lines()
        .find_map(|line| line.strip_prefix("clientPort="))
        .unwrap();
    let mode = format!(
        "Client port found: {port}. Client address: 127.0.0.1. Client SSL: false.\nMode: standalone"
    );
    place.check(&["start"], 0, "Starting zookeeper ... STARTED");
    let pid = fs::read_to_string(place.path("data/zookeeper_server.pid")).unwrap();
    place.check(&["status"], 0, &mode);
    let shell = place.run(
        "zkCli.sh",
        &["-server", &format!("127.0.0.1:{port}"), "ls", "/"],
    );
    assert!(
        String::from_utf8(shell.stdout)
            .unwrap()
            .ends_with("\n[zookeeper]\n")
    );
    assert_eq!(shell.status.code(), Some(0));
    place.check(
        &["start"],
        1,
        &format!("Starting zookeeper ... already running as process {pid}."),
    );
    place.check(
        &["restart"],
        0,
        "Stopping zookeeper ... STOPPED\nStarting zookeeper ... STARTED",
    );
    let next = fs::read_to_string(place.path("data/zookeeper_server.pid")).unwrap();
    assert_ne!(next, pid);
    place.check(&["status"], 0, &mode);
    place.check(&["stop"], 0, "Stopping zookeeper ... STOPPED");
    assert!(!place.path("data/zookeeper_server.pid").exists());
    let log = place.path("logs/zookeeper-operator-server-machine.out");
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.trim_end().ends_with(" - Exiting JVM with code 0"),
        "{log}"
    );
}

#[test]
fn missing_directories_end_the_start_if_they_may_not_be_made() {
    let strict = Installation::new("dataDir={root}/data\nclientPort=2181\n")
        .variable("ZOO_DATADIR_AUTOCREATE_DISABLE", "1");
    strict.check(
        &["start"],
        1,
        "Starting zookeeper ... ZooKeeper data directory is missing at {root}/data fix the path \
         or run initialize",
    );
}

#[test]
fn the_shell_files_of_the_conf_directory_are_sourced() {
    let bad = Installation::new("dataDir={root}/data\nclientPort=2181\n");
    fs::write(
        bad.path("conf/java.env"),
        "JVMFLAGS=\"$JVMFLAGS -Dzookeeper.ssl.a=b\"\n",
    )
    .unwrap();
    fs::write(
        bad.path("conf/zookeeper-env.sh"),
        "ZOO_LOG4J_PROP=ERROR,CONSOLE\nJVMFLAGS=-Xmx1g\n",
    )
    .unwrap();
    let output = bad.run("zkServer.sh", &["start-foreground"]);
    assert_eq!(output.status.code(), Some(2));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(
        stdout.contains("JVMFLAGS: zookeeper.ssl.a: no such setting of TLS is known"),
        "{stdout}"
    );
    assert!(!stdout.contains("WARN"), "{stdout}");
}

#[test]
fn status_looks_for_the_port_where_the_server_does() {
    let failure = |port: u16, address: &str| {
        format!(
            "Client port found: {port}. Client address: {address}. Client SSL: false.\nError \
             contacting service. It is probably not running."
        )
    };
    // Ports below 1024 that nothing serves here.
    for (config, port, address) in [
        ("clientPort=9", 9, "localhost"),
        ("clientPort : 9\nclientPortAddress=0.0.0.0", 9, "localhost"),
        ("clientPort=9\nclientPortAddress=127.0.0.1", 9, "127.0.0.1"),
        ("server.1=h:2888:3888;9", 9, "localhost"),
        (
            "server.1=h:2888:3888:participant;127.0.0.1:9",
            9,
            "127.0.0.1",
        ),
        ("server.1=h:2888:3888;[::1]:9", 9, "::1"),
        // Of an ensemble's lines the one of myid, or the first.
        ("server.1=h:1:2;9\nserver.11=i:1:2;8", 9, "localhost"),
    ] {
        let config = format!("dataDir={{root}}/data\n{config}\n");
        Installation::new(&config).check(&["status"], 1, &failure(port, address));
    }
    let named = Installation::new("dataDir={root}/data\nserver.1=h:1:2;8\nserver.4=i:1:2;9\n");
    fs::write(named.path("data/myid"), "4\n").unwrap();
    named.check(&["status"], 1, &failure(9, "localhost"));
    let dynamic = Installation::new("dataDir={root}/data\ndynamicConfigFile={root}/members.1\n");
    fs::write(dynamic.path("data/myid"), "4\n").unwrap();
    let lines = "server.1=h:1:2:participant;8\nserver.4=i:1:2:observer;0.0.0.0:9\n";
    fs::write(dynamic.path("members.1"), lines).unwrap();
    dynamic.check(&["status"], 1, &failure(9, "localhost"));
}

/// In place of the binary stands a script that says its arguments and waits.
#[test]
fn three_members_run_until_they_are_told_to_stop() {
    let root = tempfile::tempdir().unwrap();
    let stand_in = root.path().join("server");
    fs::write(
        &stand_in,
        "#!/usr/bin/env bash\ntrap 'echo stopped; exit 0' TERM\necho \"runs $*\"\n\
         for _ in {1..1200}; do sleep 0.05; done\n",
    )
    .unwrap();
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
    let directory = root.path().join("ensemble");
    fs::create_dir_all(directory.join("3")).unwrap();
    fs::write(directory.join("3/myid"), "3 # kept\n").unwrap();
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin");
    let mut script = Command::new(bin.join("ensemble.sh"))
        .arg(&directory)
        .env("OXKEEPER_BIN", &stand_in)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
    let mut running = 0;
    while running < 3 {
        let line = lines.next().unwrap().unwrap();
        running += usize::from(line.contains(": runs serve "));
    }
    kill_process(Pid::from_child(&script), Signal::TERM).unwrap();
    let stopped = lines.filter(|line| line.as_ref().unwrap().ends_with(": stopped"));
    assert_eq!(stopped.count(), 3);
    assert!(script.wait().unwrap().success());
    let kept = fs::read_to_string(directory.join("3/myid")).unwrap();
    assert_eq!(kept, "3 # kept\n");
    fs::write(directory.join("3/myid"), "3\n").unwrap();
    for (id, port) in [(1, 2181), (2, 2182), (3, 2183)] {
        let file = directory.join(format!("{id}/zoo.cfg"));
        let config = Config::load(&Sources {
            arguments: vec![file.display().to_string()],
            ..Sources::default()
        })
        .unwrap();
        assert_eq!(config.warnings, []);
        assert_eq!(config.client.unwrap().port, port);
        let ensemble = config.ensemble.unwrap();
        assert_eq!((ensemble.id.0, ensemble.members.members.len()), (id, 3));
    }
}

#[test]
fn cleanup_takes_the_directories_from_the_file() {
    let place = Installation::new("dataDir={root}/data\ndataLogDir={root}/log\n");
    for directory in ["data/version-2", "log/version-2"] {
        fs::create_dir_all(place.path(directory)).unwrap();
    }
    // Taken for the other folder, either would be refused for what is in it.
    fs::write(place.path("data/version-2/snapshot.5"), "").unwrap();
    fs::write(place.path("log/version-2/log.1"), "").unwrap();
    let output = place.run("zkCleanup.sh", &["-n", "3"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = place.run("zkCleanup.sh", &["-n", "2"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("count should be greater than or equal to 3"),
        "{stderr}"
    );
}
