//! The test suites that clients ship with, against our server and against Apache's.
//!
//! Nothing of the suites is changed. They start servers as `java ... QuorumPeerMain zoo.cfg`; for
//! ours a stand-in for `java` comes first in PATH. Every test that passes with Apache ZooKeeper
//! 3.9.5 must pass here.
//!
//! They take long, and much that only they need: `OX_PEERS=full` asks for them, otherwise there is
//! nothing to do.

mod suites;

use std::process::ExitCode;

use compat_tests::comparison::judge;
use compat_tests::server::Kind;
use compat_tests::suite::{self, Case};

fn main() -> ExitCode {
    let full = std::env::var("OX_PEERS").is_ok_and(|form| form == "full");
    let cases = suites::all()
        .into_iter()
        .filter(|_| full)
        .map(|suite| Case {
            name: suite.subject.name.replace([' ', '/'], "_"),
            run: Box::new(move || {
                let home = tempfile::tempdir().expect("a temporary folder");
                let here = (suite.run)(Kind::under_test(), home.path())?;
                let reference = (suite.run)(Kind::REFERENCE, home.path())?;
                judge(suite.subject, &here, Some(&reference));
                Ok(())
            }),
        });
    suite::run("peers", cases.collect())
}
