//! Hadoop's ActiveStandbyElector, by which two of its services settle who is active, with its
//! breadcrumb: who takes over from one that may still be active has to fence it.

use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use compat_tests::cache;
use compat_tests::ensemble::{DEADLINE, Ensemble, wait_for};
use compat_tests::programs::{Program, compile_java_with, source};
use compat_tests::suite::Skip;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::steps::{Steps, data, kill_leader, made_by};

/// The sessions of the electors: a dead one is known as dead after so long.
const SESSION_MS: u64 = 6000;

const PARENT: &str = "/hadoop-ha/cluster";
const LOCK: &str = "/hadoop-ha/cluster/ActiveStandbyElectorLock";
const BREADCRUMB: &str = "/hadoop-ha/cluster/ActiveBreadCrumb";

/// One of those who want to be active.
struct Elector {
    name: &'static str,
    program: Program,
    lines: Receiver<String>,
}

impl Elector {
    fn join(class_path: &str, servers: &str, name: &'static str) -> Self {
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args(["-cp", class_path, "ElectorMember"]);
        command.args([servers, &SESSION_MS.to_string(), PARENT, name]);
        let (mut program, lines) = Program::start(&mut command);
        program.tell("join");
        Self {
            name,
            program,
            lines,
        }
    }

    /// Waits until it says so; all that it has said before that.
    #[track_caller]
    fn says(&self, wanted: &str) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut before = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|error| {
                panic!("{} said {before:?}, not {wanted}: {error}", self.name)
            });
            if line == wanted {
                return before;
            }
            before.push(line);
        }
    }

    /// What it has said that nobody has waited for.
    fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// kill -9, and it is gone.
    fn kill(self) {
        self.program.signal(Signal::KILL);
    }
}

/// `LOCK` is the active one's as long as its session lives, `BREADCRUMB` until somebody else takes over.
#[track_caller]
fn check_active(ensemble: &Ensemble, name: &str) {
    for path in [LOCK, BREADCRUMB] {
        wait_for(path, || (data(ensemble, path)? == name).then_some(()));
    }
}

pub(crate) fn run(ensemble: &mut Ensemble, home: &TempDir) -> Result<(), Skip> {
    let jars = cache::app_jars("hadoop")?;
    let member = source("java/src/ElectorMember.java");
    let class_path = compile_java_with(home.path(), &jars, &[member])?;
    let row = format!("Hadoop on {}", ensemble.kind(1));
    let mut steps = Steps::begin();
    let servers = ensemble.connect_string();

    let first = Elector::join(&class_path, &servers, "first");
    assert!(first.says("ACTIVE").is_empty());
    check_active(ensemble, "first");
    steps.done("who comes first is active, fences nobody, and leaves its breadcrumb");

    let second = Elector::join(&class_path, &servers, "second");
    second.says("STANDBY");
    steps.done("who comes second stands by");

    let killed = Instant::now();
    first.kill();
    assert_eq!(second.says("ACTIVE"), ["FENCES first"]);
    steps.stall("kill -9 of the active one", killed.elapsed());
    check_active(ensemble, "second");
    steps.done("the second one fences the first when that is killed, and is active");

    let mut first = Elector::join(&class_path, &servers, "first");
    first.says("STANDBY");
    steps.done("the first one is back, and stands by");

    let lock = made_by(ensemble, LOCK);
    let killed = Instant::now();
    let leader = kill_leader(ensemble);
    let next = ensemble.leader();
    // Its connection is lost; on the next one it finds that the lock is still its own.
    assert_eq!(second.says("ACTIVE"), ["NEUTRAL"]);
    steps.stall("the kill of ZooKeeper's leader", killed.elapsed());
    check_active(ensemble, "second");
    assert_eq!(made_by(ensemble, LOCK), lock, "no other election was held");
    steps.done(&format!(
        "server {next} leads when {leader} is killed, and the second one is still active"
    ));
    ensemble.start(leader)?;
    ensemble.wait_until_all_serve();

    second.program.signal(Signal::STOP);
    let stopped = Instant::now();
    let before = first.says("ACTIVE");
    steps.stall("a pause of the active one", stopped.elapsed());
    assert_eq!(before.last().map(String::as_str), Some("FENCES second"));
    check_active(ensemble, "first");
    steps.done("the first one fences the second when that is paused for longer than its session");

    second.said();
    second.program.signal(Signal::CONT);
    let before = second.says("STANDBY");
    assert!(!before.iter().any(|line| line == "ACTIVE"), "{before:?}");
    steps.done("the second one goes on, learns of it, and stands by");

    first.program.tell("quit");
    let before = second.says("ACTIVE");
    assert!(before.is_empty(), "nobody has to be fenced: {before:?}");
    check_active(ensemble, "second");
    steps.done("the first one leaves in good order, and the second is active without fencing");

    first.kill();
    second.kill();
    ensemble.check_same_state();
    steps.done("the three servers hold the same");
    steps.end(&row);
    Ok(())
}
