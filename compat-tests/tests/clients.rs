//! Real, unmodified clients drive the server: kazoo, the Java client and its shell, the C client.
//!
//! Their programs lie in `python/`, `java/` and `c/`; each prints what it has done and ends with
//! exit code 0 only if all of it came out right. `fetch.sh` gets the clients; one that could not be
//! had is skipped.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use compat_tests::cache;
use compat_tests::programs::{self, bounded, c_libraries, compile_java, java, source};
use compat_tests::server::{Kind, Server, Setup};
use compat_tests::suite::{self, Skip, say};
use compat_tests::wire::Client;

/// How long a client program may take.
const PATIENCE: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    suite::main(
        "clients",
        &[
            ("kazoo_client_api", || kazoo("client_api.py")),
            ("kazoo_recipes", || kazoo("recipes.py")),
            ("java_client_api", java_client_api),
            (
                "java_reads_after_a_restart_what_it_wrote",
                java_across_a_restart,
            ),
            ("java_shell_commands", java_shell_commands),
            ("java_shell_one_shot", java_shell_one_shot),
            ("c_client_api", c_client_api),
            ("c_shell", c_shell),
            ("a_client_that_vanishes_behind_a_read", vanished),
        ],
    )
}

/// A server as clients want it: extended types, and a super user (super:secret).
fn setup(home: &Path) -> Setup {
    Setup::new(Kind::under_test(), home)
        .property("zookeeper.extendedTypesEnabled", "true")
        .property(
            "zookeeper.DigestAuthenticationProvider.superDigest",
            "super:lK75jTNcA+U9vtVEw5vB51mj/w4=",
        )
}

/// Runs a client program; panics with all it said, and the server's log, if it fails.
#[track_caller]
fn succeeds(server: &Server, command: &mut Command) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the client can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{said}\n{}\nserver:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        server.log()
    );
    if let Some(count) = said.lines().rev().find(|line| line.contains(" steps, ")) {
        say(format!("   {count}"));
    }
    output
}

fn kazoo(script: &str) -> Result<(), Skip> {
    let mut command = programs::kazoo(PATIENCE, script)?;
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = setup(home.path()).start()?;
    succeeds(&server, command.arg(server.connect_string()));
    Ok(())
}

fn java_client_api() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let class_path = compile_java(home.path())?;
    let server = setup(&home.path().join("server")).start()?;
    succeeds(
        &server,
        java(PATIENCE, &class_path, "ClientApi").arg(server.connect_string()),
    );
    Ok(())
}

fn java_across_a_restart() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let class_path = compile_java(home.path())?;
    let setup = setup(&home.path().join("server"));
    let server = setup.start()?;
    succeeds(
        &server,
        java(PATIENCE, &class_path, "Leave").args([&server.connect_string(), "write"]),
    );
    server.terminate();
    let server = setup.start()?;
    succeeds(
        &server,
        java(PATIENCE, &class_path, "Leave").args([&server.connect_string(), "read"]),
    );
    Ok(())
}

/// Commands of one shell session, and what they print on standard output and error, in order.
const SHELL: &[(&str, &[&str], &[&str])] = &[
    ("create /sh one", &[], &["Created /sh"]),
    ("get /sh", &["one"], &[]),
    ("set /sh two", &[], &[]),
    (
        "get -s /sh",
        &[
            "two",
            "cversion = 0",
            "dataVersion = 1",
            "ephemeralOwner = 0x0",
        ],
        &[],
    ),
    ("ls /", &["[sh, zookeeper]"], &[]),
    (
        "ls -R /",
        &["/\n", "/sh\n", "/zookeeper/config\n", "/zookeeper/quota\n"],
        &[],
    ),
    (
        "stat /sh",
        &["aclVersion = 0", "dataLength = 3", "numChildren = 0"],
        &[],
    ),
    ("create -e -s /sh/x data", &[], &["Created /sh/x0000000000"]),
    ("create -c /sh/cont", &[], &["Created /sh/cont"]),
    ("create -t 100000 /sh/ttl v", &[], &["Created /sh/ttl"]),
    (
        "ls -s /sh",
        &[
            "[cont, ttl, x0000000000]",
            "cversion = 3",
            "numChildren = 3",
        ],
        &[],
    ),
    ("getAcl /sh", &["'world,'anyone", ": cdrwa"], &[]),
    ("getAllChildrenNumber /sh", &["3"], &[]),
    ("getEphemerals /sh", &["[/sh/x0000000000]"], &[]),
    ("whoami", &["Auth scheme: User", "ip: 127.0.0.1"], &[]),
    (
        "setquota -n 10 /sh",
        &[],
        &["absolute path is /zookeeper/quota/sh/zookeeper_limits"],
    ),
    (
        "listquota /sh",
        &[
            "count=10,bytes=-1=;byteHardLimit=-1;countHardLimit=-1",
            "stat for /sh count=4,bytes=8",
        ],
        &[],
    ),
    ("delquota /sh", &[], &[]),
    ("addauth digest user:password", &[], &[]),
    ("whoami", &["Auth scheme: User", "digest: user"], &[]),
    (
        "create /sh/mine secret auth::cdrwa",
        &[],
        &["Created /sh/mine"],
    ),
    ("getAcl /sh/mine", &["'digest,'user:", ": cdrwa"], &[]),
    ("setAcl /sh/mine world:anyone:r", &[], &[]),
    ("get /sh/mine", &["secret"], &[]),
    (
        "set /sh/mine x",
        &[],
        &["Insufficient permission : /sh/mine"],
    ),
    ("get /nosuch", &[], &["Node does not exist: /nosuch"]),
    ("set -v 7 /sh x", &[], &["version No is not valid : /sh"]),
    ("delete /sh", &[], &["Node not empty: /sh"]),
    ("create /sh", &[], &["Node already exists: /sh"]),
    ("sync /sh", &["Sync is OK"], &[]),
    ("ls -w /sh", &["[cont, mine, ttl, x0000000000]"], &[]),
    (
        "create /sh/new",
        &["WatchedEvent state:SyncConnected type:NodeChildrenChanged path:/sh"],
        &["Created /sh/new"],
    ),
    ("deleteall /sh", &[], &[]),
    ("ls /", &["[zookeeper]"], &[]),
    ("quit", &[], &[]),
];

fn java_shell_commands() -> Result<(), Skip> {
    let jars = cache::jars()?;
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = setup(home.path()).start()?;
    let mut child = java(PATIENCE, &jars, "org.apache.zookeeper.ZooKeeperMain")
        .args(["-server", &server.connect_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("java can be run");
    let mut input = child.stdin.take().expect("piped");
    for (command, ..) in SHELL {
        writeln!(input, "{command}").expect("the shell reads on");
    }
    drop(input);
    let output = child.wait_with_output().expect("our own child");
    assert_eq!(output.status.code(), Some(0));
    let printed = SHELL
        .iter()
        .flat_map(|(command, out, _)| out.iter().map(move |o| (*command, *o)));
    in_order(&String::from_utf8_lossy(&output.stdout), printed);
    let errors = SHELL
        .iter()
        .flat_map(|(command, _, err)| err.iter().map(move |e| (*command, *e)));
    in_order(&String::from_utf8_lossy(&output.stderr), errors);
    say(format!("   {} commands", SHELL.len()));
    Ok(())
}

/// Each text comes after the one before it. Events come when they come: those are only there.
#[track_caller]
fn in_order<'a>(all: &str, wanted: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut rest = all;
    for (command, text) in wanted {
        if text.starts_with("WatchedEvent") {
            assert!(all.contains(text), "{command}: no {text:?} in\n{all}");
            continue;
        }
        let Some((_, after)) = rest.split_once(text) else {
            panic!("{command}: no {text:?} in\n{rest}\nof all\n{all}");
        };
        rest = after;
    }
}

fn java_shell_one_shot() -> Result<(), Skip> {
    let jars = cache::jars()?;
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = setup(home.path()).start()?;
    for (arguments, code, out, err) in [
        (
            &["create", "/one-shot", "data"][..],
            0,
            "",
            "Created /one-shot",
        ),
        (&["get", "/one-shot"], 0, "data", ""),
        (&["get", "/none"], 1, "", "Node does not exist: /none"),
        (&["ls", "/"], 0, "[one-shot, zookeeper]", ""),
    ] {
        let output = java(PATIENCE, &jars, "org.apache.zookeeper.ZooKeeperMain")
            .args(["-server", &server.connect_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("java can be run");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}:\n{text}\n{errors}"
        );
        assert!(
            text.contains(out) && errors.contains(err),
            "{arguments:?}:\n{text}\n{errors}"
        );
    }
    Ok(())
}

fn c_client_api() -> Result<(), Skip> {
    let root = cache::debian()?;
    cache::needs_command("cc")?;
    let libraries = c_libraries(&root, "zookeeper_mt");
    let home = tempfile::tempdir().expect("a temporary folder");
    let program = home.path().join("client_api");
    let output = Command::new("cc")
        .args([
            "-std=gnu11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-DTHREADED",
            "-pthread",
            "-I",
        ])
        .arg(root.join("usr/include"))
        .arg(source("c/client_api.c"))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(&libraries)
        .args([
            "-lzookeeper_mt",
            &format!("-Wl,-rpath,{}", libraries.display()),
        ])
        .output()
        .expect("cc can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let server = setup(&home.path().join("server")).start()?;
    succeeds(
        &server,
        bounded(PATIENCE, program).arg(server.connect_string()),
    );
    Ok(())
}

fn c_shell() -> Result<(), Skip> {
    let root = cache::debian()?;
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = setup(home.path()).start()?;
    for (command, wanted) in [
        ("create /c-shell", "[/c-shell]: rc = 0"),
        ("set /c-shell data", "/c-shell: rc = 0"),
        ("get /c-shell", "value_len = 4"),
        ("ls /", "c-shell"),
        ("delete /c-shell", "/c-shell: rc = 0"),
        ("get /c-shell", "/c-shell: rc = -101"),
    ] {
        let output = bounded(PATIENCE, root.join("usr/lib/zookeeper/bin/cli_mt"))
            .env("LD_LIBRARY_PATH", c_libraries(&root, "zookeeper_mt"))
            .arg(server.connect_string())
            .arg(format!("cmd:{command}"))
            .stdin(Stdio::null())
            .output()
            .expect("the shell can be run");
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains(wanted),
            "{command}:\n{text}"
        );
    }
    Ok(())
}

/// Its session ends after its timeout, and not after as much again: reads are told to the core when
/// that next looks at sessions, and count from when they came.
fn vanished() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = setup(home.path()).start()?;
    let mut other = Client::attach(server.address(), 0, 30_000).expect("a session");
    let mut client = Client::attach(server.address(), 0, 6000).expect("a session");
    client.create("/vanished", b"", 1);
    client.get("/vanished");
    drop(client);
    let begun = Instant::now();
    while other.get("/vanished").is_some() {
        let silent = begun.elapsed();
        assert!(silent < Duration::from_secs(10), "there after {silent:?}");
        thread::sleep(Duration::from_millis(50));
    }
    other.close();
    Ok(())
}
