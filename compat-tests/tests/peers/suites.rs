//! The suites: how each is run, and what its output says of its tests.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use compat_tests::cache;
use compat_tests::comparison::{Outcome, Outcomes, Subject};
use compat_tests::ports::Port;
use compat_tests::programs::{bounded, compile_java_with, source};
use compat_tests::server::{Kind, Setup, oxkeeper_binary};
use compat_tests::suite::Skip;
use serde_json::Value;

/// How long a suite may take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A suite of somebody else's.
pub(crate) struct Suite {
    /// Whose it is.
    pub(crate) subject: Subject,
    /// Whether it waits most of the time, so that both its runs can go on at once.
    pub(crate) waits: bool,
    /// Runs it with servers of a kind; its output goes into a folder.
    pub(crate) run: fn(Kind, &Path) -> Result<Outcomes, Skip>,
}

/// All of them.
pub(crate) fn all() -> Vec<Suite> {
    let suite = |name, version, from, waits, run| Suite {
        subject: Subject {
            suite: "peers",
            name,
            version,
            from,
        },
        waits,
        run,
    };
    vec![
        suite("kazoo", "2.11.0", "PyPI", false, kazoo),
        suite("Curator's recipes", "5.9.0", "Maven Central", true, curator),
        suite("go-zookeeper/zk", "1.0.4", "Go proxy", false, go),
        suite(
            "zookeeper-client",
            "0.11.2",
            "crates.io",
            false,
            zookeeper_client,
        ),
        suite(
            "tokio-zookeeper",
            "0.4.0",
            "crates.io",
            false,
            tokio_zookeeper,
        ),
    ]
}

/// `kazoo/tests` of its sdist, on ensembles of three.
fn kazoo(kind: Kind, home: &Path) -> Result<Outcomes, Skip> {
    let folder = cache::peer("kazoo")?;
    let outcomes = home.join("outcomes");
    let mut pytest = bounded(PATIENCE, folder.join("venv/bin/python"));
    pytest.current_dir(folder.join("kazoo-2.11.0"));
    pytest.args(["-m", "pytest", "-q", "-p", "outcomes"]);
    pytest.args(["-p", "no:cacheprovider", "--timeout", "180", "kazoo/tests"]);
    pytest.env("PYTHONPATH", source("python"));
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    pytest.env("OUTCOMES", &outcomes);
    // As its own machines run it: some tests look at the server's version.
    pytest.env("CI", "true").env("ZOOKEEPER_VERSION", "3.9.5");
    // It takes ports from there on, without a look at who else has them.
    pytest.env("ZOOKEEPER_PORT_OFFSET", Port::claim().number().to_string());
    output(pytest, kind, home)?;
    let text = fs::read_to_string(&outcomes).expect("the plugin writes it");
    Ok(text.lines().filter_map(Outcome::read).collect())
}

/// The tests of the recipes, with a stand-in for the class that has a server in their process.
fn curator(kind: Kind, home: &Path) -> Result<Outcomes, Skip> {
    let folder = cache::peer("curator")?;
    let jars = format!("{}/*", folder.display());
    let tests = folder.join("curator-recipes-5.9.0-tests.jar");
    let sources = ["ZooKeeperServerEmbeddedAdapter", "RunTests"];
    let sources = sources.map(|name| source("stand-ins/curator").join(format!("{name}.java")));
    let class_path = compile_java_with(home, &jars, &sources)?;
    let outcomes = home.join("outcomes");
    let mut java = bounded(PATIENCE, own_java()?);
    java.args(["-Xmx512m", "-cp", &class_path, "RunTests"]);
    java.arg(tests).arg(&outcomes);
    output(java, kind, home)?;
    let text = fs::read_to_string(&outcomes).expect("the runner writes it");
    Ok(text.lines().filter_map(Outcome::read).collect())
}

/// The `java` of this machine, whatever stands before it in the PATH of a suite.
fn own_java() -> Result<PathBuf, Skip> {
    cache::needs_command("java")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("java"));
    Ok(found.find(|java| java.exists()).expect("it can be run"))
}

/// The tests in the module of `go-zookeeper/zk`.
fn go(kind: Kind, home: &Path) -> Result<Outcomes, Skip> {
    let folder = cache::peer("go")?;
    cache::needs_command("go")?;
    let mut go = bounded(PATIENCE, "go");
    go.current_dir(folder).env("GOPROXY", "off");
    go.args(["test", "-json", "-count=1", "-timeout=25m", "-vet=off", "."]);
    // It looks for zkServer.sh there.
    go.env("ZOOKEEPER_BIN_PATH", source("stand-ins"));
    Ok(of_go(&output(go, kind, home)?))
}

/// What `go test -json` says.
fn of_go(text: &str) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let (Some(test), Some(action)) = (event["Test"].as_str(), event["Action"].as_str()) else {
            continue;
        };
        if let Some(output) = event["Output"].as_str().map(str::trim)
            && !output.is_empty()
            && !["---", "==="].iter().any(|mark| output.starts_with(mark))
        {
            said.insert(test.to_owned(), output.to_owned());
        }
        let why = said.get(test).cloned().unwrap_or_default();
        let outcome = match action {
            "pass" => Outcome::Passed,
            "fail" => Outcome::Failed(why),
            "skip" => Outcome::Skipped(why),
            _ => continue,
        };
        outcomes.insert(test.to_owned(), outcome);
    }
    outcomes
}

/// The integration tests of the crate, with a stand-in for the crate that starts containers.
fn zookeeper_client(kind: Kind, home: &Path) -> Result<Outcomes, Skip> {
    let words = ["--features", "tokio", "--test", "zookeeper"];
    crate_tests("zookeeper-client", &words, kind, home)
}

/// The tests of the crate, which want a server at the port that is in all the books.
fn tokio_zookeeper(kind: Kind, home: &Path) -> Result<Outcomes, Skip> {
    let port = ("127.0.0.1", 2181);
    TcpListener::bind(port).map_err(|error| Skip(format!("port 2181: {error}")))?;
    let server = Setup::new(kind, &home.join("server"))
        .line("clientPort", "2181")
        .line("clientPortAddress", "127.0.0.1")
        .start()?;
    let outcomes = crate_tests("tokio-zookeeper", &["--lib"], kind, home);
    server.terminate();
    outcomes
}

/// The tests of a crate, as `fetch-peers.sh` has built them.
fn crate_tests(name: &str, words: &[&str], kind: Kind, home: &Path) -> Result<Outcomes, Skip> {
    let folder = cache::peer(name)?;
    let mut cargo = bounded(PATIENCE, "cargo");
    cargo.current_dir(&folder);
    cargo.env("CARGO_TARGET_DIR", folder.join("target"));
    cargo.env("CARGO_PROFILE_DEV_LTO", "off");
    cargo.args(["test", "--offline"]).args(words);
    // Some tests expect of their servers what two at a time on two cores can still give.
    cargo.args(["--", "--test-threads", "2"]);
    Ok(of_libtest(&output(cargo, kind, home)?))
}

/// What Rust's own harness says.
fn of_libtest(text: &str) -> Outcomes {
    let line_of = |line: &str| {
        let (name, word) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let outcome = match word {
            "ok" => Outcome::Passed,
            "FAILED" => Outcome::Failed(panic_of(text, name)),
            "ignored" => Outcome::Skipped("ignored".into()),
            _ => return None,
        };
        Some((name.to_owned(), outcome))
    };
    text.lines().filter_map(line_of).collect()
}

/// Where a test of Rust's has panicked, and what it said.
fn panic_of(text: &str, name: &str) -> String {
    let section = text.split_once(&format!("---- {name} stdout ----"));
    let (_, section) = section.unwrap_or_default();
    let lines = section
        .lines()
        .skip_while(|line| !line.contains(" panicked at "));
    lines.take(4).collect::<Vec<_>>().join(" ")
}

/// All that a suite prints, run with servers of a kind.
fn output(mut command: Command, kind: Kind, home: &Path) -> Result<String, Skip> {
    cache::needs_command("java")?;
    match kind {
        Kind::Oxkeeper => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let mut folders = vec![source("stand-ins/bin")];
            folders.extend(std::env::split_paths(&path));
            let path = std::env::join_paths(folders).expect("it came from a PATH");
            command.env("PATH", path);
            command.env("OXKEEPER_BIN", oxkeeper_binary());
            command.env("ZOOKEEPER_CLASSPATH", "none");
        }
        Kind::Apache(version) => {
            command.env("ZOOKEEPER_CLASSPATH", cache::server_jars(version)?);
            let options = format!(
                "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
                 -Dlogback.configurationFile={} -Dcompat.log=INFO",
                source("java/logback.xml").display()
            );
            command.env("JAVA_TOOL_OPTIONS", options);
        }
    }
    let path = home.join("output");
    let log = File::create(&path).expect("a file of ours");
    command.stdin(Stdio::null());
    command
        .stdout(log.try_clone().expect("a handle"))
        .stderr(log);
    // It is not well if a test fails, which its output tells.
    let status = command.status();
    status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let bytes = fs::read(&path).expect("a file of ours");
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
