//! The shell against what ZooKeeper's own shell says: the same commands on the same fresh server,
//! with both streams and the exit code.
//!
//! `fixtures/shell/*.txt` come from Apache ZooKeeper 3.9.5, its shell on its server. A run with
//! `OX_SERVER=apache` checks them there again; with `OX_REWRITE=1` besides, it writes them anew.
//!
//! A case begins with the command (`$`) or the lines typed (`<`); then follow what stdout (`|`) and
//! stderr (`!`) say and the exit code (`=`). `~` names an intended difference: there only the exit
//! code counts. Masked are dates, zxids, addresses and the version; left out is what says that a
//! connection is there, which comes or not as threads take their turns.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};

use compat_tests::cache;
use compat_tests::server::{Kind, Server, Setup, oxkeeper_binary};
use compat_tests::suite::{self, Skip};

fn main() -> ExitCode {
    suite::main(
        "shell",
        &[
            ("commands_run_once", || check("once.txt")),
            ("commands_typed", || check("typed.txt")),
            ("the_session_survives_a_crash_of_the_server", crash),
        ],
    )
}

/// What is run: one command, or lines typed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Input {
    Once(String),
    Typed(Vec<String>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    out: Vec<String>,
    err: Vec<String>,
    code: Option<i32>,
}

#[derive(Clone, Debug)]
struct Case {
    /// Comment lines before it, kept when the file is written anew.
    remarks: Vec<String>,
    input: Input,
    /// Why Oxkeeper says something else.
    difference: Option<String>,
    said: Said,
}

fn check(file: &str) -> Result<(), Skip> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/shell")
        .join(file);
    let mut cases = parse(&fs::read_to_string(&path).expect("the golden file is there"));
    let home = tempfile::tempdir().expect("a folder can be made");
    let kind = Kind::under_test();
    let server = Setup::new(kind, home.path())
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.enforceQuota", "true")
        .start()?;
    let rewrite = kind == Kind::REFERENCE && std::env::var_os("OX_REWRITE").is_some();
    let mut wrong = String::new();
    for case in &mut cases {
        let said = run(kind, &server, home.path(), &case.input)?;
        if rewrite {
            case.said = said;
        } else if !agree(kind, case, &said) {
            let _ = writeln!(
                wrong,
                "{:?}\n  expected {:#?}\n  got {said:#?}",
                case.input, case.said
            );
        }
    }
    if rewrite {
        fs::write(&path, print(&cases)).expect("the golden file can be written");
    }
    assert!(!cases.is_empty(), "no cases in {}", path.display());
    assert!(wrong.is_empty(), "{wrong}");
    Ok(())
}

/// The shell goes on with its session: ephemerals and watches are still there.
fn crash() -> Result<(), Skip> {
    let kind = Kind::under_test();
    let home = tempfile::tempdir().expect("a folder can be made");
    let setup = Setup::new(kind, home.path());
    let server = setup.start()?;
    let (address, port) = (server.connect_string(), server.address().port());
    let mut words = shell(kind, home.path())?;
    words.extend(["-server".into(), address]);
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", words[0]));
    let mut stdin = child.stdin.take().expect("it was asked for");
    let stdout = child.stdout.take().expect("it was asked for");
    let mut lines = BufReader::new(stdout).lines();
    let mut type_in = |text: &str| stdin.write_all(text.as_bytes()).expect("it reads");
    let mut until = |end: &str| {
        lines
            .by_ref()
            .map(|line| line.expect("text"))
            .find(|line| line.ends_with(end))
            .unwrap_or_else(|| panic!("the shell ended before it said {end}"))
    };
    type_in("create -e /x first\nget -w /x\n");
    until("first");
    server.kill();
    until("state:Disconnected type:None path:null zxid: -1");
    let again = setup
        .line("clientPort", &port.to_string())
        .line("clientPortAddress", "127.0.0.1");
    let server = again.start().expect("it could run a moment ago");
    until("state:SyncConnected type:None path:null zxid: -1");
    type_in("getEphemerals\n");
    until("[/x]");
    let zxid = server.last_zxid() + 1;
    type_in("set /x second\n");
    until(&format!(
        "WatchedEvent state:SyncConnected type:NodeDataChanged path:/x zxid: {zxid}"
    ));
    type_in("quit\n");
    assert!(child.wait().expect("our own child").success());
    Ok(())
}

fn agree(kind: Kind, case: &Case, said: &Said) -> bool {
    match (kind, &case.difference) {
        (Kind::Oxkeeper, Some(_)) => said.code == case.said.code && !said.err.is_empty(),
        _ => *said == case.said,
    }
}

fn run(kind: Kind, server: &Server, home: &Path, input: &Input) -> Result<Said, Skip> {
    let mut words = shell(kind, home)?;
    words.extend(["-server".into(), server.connect_string()]);
    if let Input::Once(line) = input {
        words.extend(split(line));
    }
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", words[0]));
    let mut stdin = child.stdin.take().expect("it was asked for");
    if let Input::Typed(lines) = input {
        // A shell that has ended early shows in what it said.
        let _ = stdin.write_all((lines.join("\n") + "\n").as_bytes());
    }
    drop(stdin);
    let output = child.wait_with_output().expect("our own child");
    Ok(said(&output, server, input))
}

/// The command that starts the shell.
fn shell(kind: Kind, home: &Path) -> Result<Vec<String>, Skip> {
    match kind {
        Kind::Oxkeeper => Ok(vec![
            oxkeeper_binary().display().to_string(),
            "shell".into(),
        ]),
        Kind::Apache(_) => {
            let quiet = home.join("quiet.xml");
            fs::write(&quiet, "<configuration/>").expect("a file can be written");
            java(&quiet)
        }
    }
}

fn java(quiet: &Path) -> Result<Vec<String>, Skip> {
    let mut words: Vec<String> = [
        "java",
        "-Xmx64m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dfile.encoding=UTF-8",
    ]
    .map(str::to_owned)
    .into();
    // A configuration without appenders: no log lines between the answers.
    let logback = quiet.display();
    words.push(format!("-Dlogback.configurationFile={logback}"));
    words.extend(["-cp".into(), cache::jars()?]);
    words.push("org.apache.zookeeper.ZooKeeperMain".into());
    Ok(words)
}

/// What was said, without what varies.
fn said(output: &Output, server: &Server, input: &Input) -> Said {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&server.connect_string(), "<server>");
    let mut out = text(&output.stdout);
    let typed = matches!(input, Input::Typed(_));
    if !typed {
        out = out
            .replacen("Connecting to <server>\n", "", 1)
            .replacen(CONNECTED, "", 1);
    }
    Said {
        out: out.lines().map(mask).collect(),
        err: text(&output.stderr)
            .lines()
            // The line editor of Java's shell is not what is compared.
            .filter(|line| !line.contains("org.jline") && !line.starts_with("WARNING: "))
            // Nor is where in its source it gave up.
            .filter(|line| !line.starts_with("\tat "))
            .map(mask)
            .collect(),
        code: output.status.code(),
    }
}

const CONNECTED: &str =
    "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:None path:null zxid: -1\n";

fn mask(line: &str) -> String {
    for field in ["cZxid = ", "mZxid = ", "pZxid = ", "ctime = ", "mtime = "] {
        if line.starts_with(field) && !line.ends_with("= 0x0") && !line.ends_with(" 1970") {
            return format!("{field}<volatile>");
        }
    }
    for field in ["ZooKeeper CLI version: ", "ephemeralOwner = 0x1"] {
        if line.starts_with(field) {
            return format!("{field}<volatile>");
        }
    }
    match line.rsplit_once(" zxid: ") {
        Some((event, zxid)) if zxid != "-1" => format!("{event} zxid: <volatile>"),
        _ => line.to_owned(),
    }
}

/// Words at white space, `"a b"` and `'a b'` being one.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, next) = match first {
            '"' | '\'' => rest[1..]
                .split_once(first)
                .expect("a quote of a golden file is closed"),
            _ => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = next.trim_start();
    }
    words
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut remarks = Vec::new();
    for line in text.lines() {
        let (mark, rest) = line.split_at(line.len().min(1));
        let rest = rest.strip_prefix(' ').unwrap_or(rest).to_owned();
        if mark == "<"
            && remarks.is_empty()
            && let Some(Case {
                input: Input::Typed(lines),
                said: Said { code: None, .. },
                ..
            }) = cases.last_mut()
        {
            lines.push(rest);
            continue;
        }
        match mark {
            "#" | "" => remarks.push(line.to_owned()),
            "$" | "<" => cases.push(Case {
                remarks: std::mem::take(&mut remarks),
                input: match mark {
                    "$" => Input::Once(rest),
                    _ => Input::Typed(vec![rest]),
                },
                difference: None,
                said: Said::default(),
            }),
            _ => {
                let case = cases.last_mut().expect("a case begins with its input");
                match mark {
                    "~" => case.difference = Some(rest),
                    "|" => case.said.out.push(rest),
                    "!" => case.said.err.push(rest),
                    "=" => case.said.code = rest.parse().ok(),
                    _ => panic!("no line of a golden file: {line}"),
                }
            }
        }
    }
    cases
}

fn print(cases: &[Case]) -> String {
    let mut text = String::new();
    let mut line = |mark: &str, rest: &str| {
        let gap = if rest.is_empty() { "" } else { " " };
        let _ = writeln!(text, "{mark}{gap}{rest}");
    };
    for case in cases {
        for remark in &case.remarks {
            line(remark, "");
        }
        match &case.input {
            Input::Once(words) => line("$", words),
            Input::Typed(lines) => lines.iter().for_each(|typed| line("<", typed)),
        }
        if let Some(difference) = &case.difference {
            line("~", difference);
        }
        case.said.out.iter().for_each(|out| line("|", out));
        case.said.err.iter().for_each(|err| line("!", err));
        let code = case
            .said
            .code
            .map_or_else(|| "signal".into(), |code| code.to_string());
        line("=", &code);
    }
    text
}
