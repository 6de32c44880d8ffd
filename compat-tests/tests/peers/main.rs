//! The test suites that clients ship with, against our server and against Apache's.
//!
//! Nothing of the suites is changed. They start servers as `java ... QuorumPeerMain zoo.cfg`; for
//! ours a stand-in for `java` comes first in PATH. Every test that passes with Apache ZooKeeper
//! 3.9.5 must pass here.
//!
//! They take long, and much that only they need: `OX_PEERS=full` asks for them, otherwise there is
//! nothing to do.

mod suites;

use std::fs;
use std::process::ExitCode;
use std::thread;

use compat_tests::comparison::judge;
use compat_tests::server::Kind;
use compat_tests::suite::{self, Case, Skip};
use suites::Suite;

fn main() -> ExitCode {
    let full = std::env::var("OX_PEERS").is_ok_and(|form| form == "full");
    let chosen = suites::all().into_iter().filter(|_| full);
    let cases = chosen.map(|suite| Case {
        name: suite.subject.name.replace([' ', '/'], "_"),
        run: Box::new(move || case(&suite)),
    });
    suite::run("peers", cases.collect())
}

fn case(suite: &Suite) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let run = |kind: Kind| {
        let home = home.path().join(kind.to_string());
        fs::create_dir(&home).expect("a folder of ours");
        (suite.run)(kind, &home)
    };
    let (here, reference) = if suite.waits {
        thread::scope(|scope| {
            let reference = scope.spawn(|| run(Kind::REFERENCE));
            (run(Kind::under_test()), reference.join())
        })
    } else {
        (run(Kind::under_test()), Ok(run(Kind::REFERENCE)))
    };
    let reference = reference.expect("it has said why")?;
    judge(suite.subject, &here?, Some(&reference));
    Ok(())
}
