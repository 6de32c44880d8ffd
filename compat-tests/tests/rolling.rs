//! Three servers of Apache ZooKeeper 3.9.5 are replaced by the server under test, one after the
//! other on the data they leave, and then back, while clients write and watch all the time.
//!
//! Quick form: once there and back; `OX_ROLLINGS` asks for more.

use std::process::ExitCode;
use std::time::Instant;

use compat_tests::ensemble::{Ensemble, Plan, Sid, wait_for};
use compat_tests::history::Recording;
use compat_tests::server::Kind;
use compat_tests::suite::{self, Skip, rounds, say};

const WRITERS: usize = 6;

/// Writes that are accepted between two replacements.
const BETWEEN: u64 = 300;

/// Long enough for any of the replacements, so that a session that is lost is a fault.
const TIMEOUT_MS: i32 = 40_000;

fn main() -> ExitCode {
    suite::main(
        "rolling",
        &[(
            "servers_are_replaced_there_and_back_and_clients_lose_nothing",
            there_and_back,
        )],
    )
}

fn there_and_back() -> Result<(), Skip> {
    let rounds = rounds("OX_ROLLINGS", 1);
    let home = tempfile::tempdir().expect("a temporary folder");
    // Small files, so that a server is also met while it takes snapshots and begins logs.
    let plan = Plan::voters(&[Kind::REFERENCE; 3]).line("snapCount", "3000");
    let mut ensemble = plan.lay_out(home.path());
    ensemble.start_all()?;
    let recording = Recording::start(&ensemble.addresses(), 0, WRITERS, TIMEOUT_MS);
    for _ in 0..rounds {
        for kind in [Kind::under_test(), Kind::REFERENCE] {
            let mut left = ensemble.sids();
            while !left.is_empty() {
                write_on(&recording);
                let sid = next(&ensemble, &mut left);
                replace(&mut ensemble, sid, kind)?;
            }
        }
    }
    write_on(&recording);
    let mut history = recording.finish();
    say(format!("   {}", history.summary()));
    history.check(&ensemble.check_same_state());
    history.close_sessions();
    history.check_closed(&ensemble.check_same_state());
    Ok(())
}

/// Followers first, as one does who wants few elections.
#[track_caller]
fn next(ensemble: &Ensemble, left: &mut Vec<Sid>) -> Sid {
    let leader = ensemble.leader();
    let index = left.iter().position(|sid| *sid != leader);
    left.remove(index.unwrap_or_default())
}

/// Waits until clients have got some writes done.
#[track_caller]
fn write_on(recording: &Recording) {
    let before = recording.acknowledged();
    wait_for("writes", || {
        (before + BETWEEN <= recording.acknowledged()).then_some(())
    });
}

/// Stops a member and starts it as another kind; waits until it has what the leader had by then.
#[track_caller]
fn replace(ensemble: &mut Ensemble, sid: Sid, kind: Kind) -> Result<(), Skip> {
    let (before, mode) = (ensemble.kind(sid), ensemble.mode(sid));
    let begun = Instant::now();
    ensemble.stop(sid);
    ensemble.start_as(sid, kind)?;
    let joined = ensemble.wait_until_serving(sid);
    let leader = ensemble.leader();
    let zxid = wait_for("the leader's zxid", || ensemble.zxid(leader));
    wait_for("the leader's transactions", || {
        ensemble.zxid(sid).filter(|seen| zxid <= *seen)
    });
    say(format!(
        "   server {sid}: {before} ({mode:?}) to {kind} ({joined:?}) in {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}
