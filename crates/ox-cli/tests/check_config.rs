//! What the binary says about a configuration, and what it ends with (operations.md 1.2, 2.1).

#![expect(
    clippy::unwrap_used,
    reason = "a test whose files cannot be set up has failed"
)]

use std::path::Path;
use std::process::{Command, Output};

fn oxkeeper(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxkeeper"));
    command
        .args(arguments)
        .env_remove("JVMFLAGS")
        .env_remove("SERVER_JVMFLAGS");
    command
}

fn file(dir: &Path, text: &str) -> String {
    let path = dir.join("zoo.cfg");
    std::fs::write(&path, text.replace("{dir}", &dir.display().to_string())).unwrap();
    path.display().to_string()
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &[&str], stderr: &[&str]) {
    let lines = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (lines(&output.stdout), lines(&output.stderr));
    assert_eq!(
        output.status.code(),
        Some(code),
        "stdout:\n{out}\nstderr:\n{err}"
    );
    assert_eq!(err.lines().collect::<Vec<_>>(), stderr);
    for expected in stdout {
        assert!(
            out.lines().any(|line| line.ends_with(expected)),
            "no line {expected:?} in\n{out}"
        );
    }
}

#[test]
fn a_good_file_passes_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let config = file(dir.path(), "dataDir={dir}\nclientPort=2181\n");
    let output = oxkeeper(&["serve", "--check-config", &config])
        .output()
        .unwrap();
    check(
        &output,
        0,
        &["the server would start: 0 errors, 0 warnings"],
        &[],
    );
}

#[test]
fn the_check_prints_errors_and_warnings() {
    let dir = tempfile::tempdir().unwrap();
    let config = file(
        dir.path(),
        "dataDir={dir}\nclientPort=x\naudit.enable=true\n",
    );
    let output = oxkeeper(&["serve", "--check-config", &config])
        .output()
        .unwrap();
    let warning =
        format!("warning: {config}:3: audit.enable: no effect: no audit log is written yet");
    let error = format!(
        "error: {config}:2: clientPort: For input string: \"x\" (allowed: a port, 1 to 65535)"
    );
    check(
        &output,
        2,
        &[&warning, &error, "refused: 1 errors, 1 warnings"],
        &[],
    );
}

#[test]
fn a_bad_file_ends_with_javas_words_and_code() {
    let dir = tempfile::tempdir().unwrap();
    let config = file(
        dir.path(),
        "dataDir={dir}\nclientPort=2181\nsecureClientPort=2281\n",
    );
    let output = oxkeeper(&["serve", &config]).output().unwrap();
    let reason = format!(
        "{config}:3: secureClientPort: Keystore is required for SSL server: \
         zookeeper.ssl.keyStore.location (allowed: a line that names a file with a private key and \
         its certificates)"
    );
    check(
        &output,
        2,
        &[
            &format!(" - {reason}"),
            " - Invalid config, exiting abnormally",
            " - Exiting JVM with code 2",
        ],
        &[&reason, "Invalid config, exiting abnormally"],
    );
}

#[test]
fn flags_come_from_the_command_line_and_from_both_variables() {
    let dir = tempfile::tempdir().unwrap();
    let config = file(dir.path(), "dataDir={dir}\nclientPort=2181\n");
    let arguments = ["serve", "--check-config", "-Dzookeeper.maxCnxns=a", &config];
    let output = oxkeeper(&arguments)
        .env(
            "SERVER_JVMFLAGS",
            "-Djute.maxbuffer=b -Dzookeeper.maxCnxns=hidden",
        )
        .env("JVMFLAGS", "-Dzookeeper.snapCount=c -Xmx1g")
        .output()
        .unwrap();
    check(
        &output,
        0,
        &[
            "warning: command line: maxCnxns: \"a\" is no number, 0 is used",
            "warning: SERVER_JVMFLAGS: jute.maxbuffer: \"b\" is no number, 1048575 is used",
            "warning: JVMFLAGS: snapCount: \"c\" is no number, 100000 is used",
            "warning: JVMFLAGS: options of a JVM have no effect: -Xmx1g",
        ],
        &[],
    );
}

#[test]
fn too_many_arguments_end_with_2() {
    let output = oxkeeper(&["serve", "1", "2", "3", "4", "5"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("Invalid number of arguments:[1, 2, 3, 4, 5]"),
        "{stderr}"
    );
    assert!(
        stderr.contains("Invalid arguments, exiting abnormally"),
        "{stderr}"
    );
}

#[test]
fn the_version_line_has_zookeepers_number_where_scripts_look_for_it() {
    let output = oxkeeper(&["version"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("Apache ZooKeeper, version 3.9.5 "),
        "{text}"
    );
    assert!(text.contains("Oxkeeper"), "{text}");
    assert_eq!(output.status.code(), Some(0));
}
