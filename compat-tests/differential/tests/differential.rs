//! A few fixed seeds on a server alone and on three; `make differential` runs many.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use compat_tests::server::{Kind, Setup};
use compat_tests::suite::{self, Skip, say};
use compat_tests::wire::{Client, Fields, op};
use differential::hunt::hunt;
use differential::services::Mode;

/// Seeds of each mode: together they take about as long as the servers to start.
const SEEDS: u64 = 30;

fn check(mode: Mode) -> Result<(), Skip> {
    let tally = hunt(mode, 1..=SEEDS, false)?;
    assert!(tally.failed.is_empty(), "seeds {:?} differ", tally.failed);
    let unlike = tally.unlike_the_table;
    assert!(unlike.is_empty(), "not as the table has it: {unlike:?}");
    Ok(())
}

fn alone() -> Result<(), Skip> {
    check(Mode::Standalone)
}

fn ensemble() -> Result<(), Skip> {
    check(Mode::Ensemble)
}

/// Ticks that a session is granted; much more than what rounding adds.
const TICKS: u32 = 10;
const TICK: Duration = Duration::from_millis(200);

/// How long a session lives on after its last request, a read, on a server that has nothing else to do.
fn last_breath(kind: Kind) -> Result<Duration, Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let tick = TICK.as_millis().to_string();
    let server = Setup::new(kind, home.path())
        .line("tickTime", &tick)
        .start()?;
    let mut heir = Client::connect(server.address());
    let timeout = i32::try_from((TICK * TICKS).as_millis()).expect("a short one");
    let dying = Client::handshake(server.address(), 0, &[0; 16], timeout);
    let mut dying = dying.expect("a session");
    dying.create("/e", b"", 1);
    heir.ok(op::EXISTS, &Fields::new().string("/e").boolean(true));
    // Into the next span of the session's time, if only just.
    std::thread::sleep(TICK * 2);
    dying.call(op::PING, &Fields::new());
    let begun = Instant::now();
    heir.event();
    Ok(begun.elapsed())
}

/// On both a session ends its timeout after its last request, rounded up to a tick; ours may hear of a
/// read a tick later.
fn sessions_end_in_time() -> Result<(), Skip> {
    for kind in [Kind::REFERENCE, Kind::under_test()] {
        let took = last_breath(kind)?;
        say(format!("   {kind}: {took:.1?} after the last read"));
        assert!(TICK * (TICKS - 1) < took, "{kind}: only {took:?}");
        assert!(took < TICK * (TICKS + 6), "{kind}: as late as {took:?}");
    }
    Ok(())
}

fn main() -> ExitCode {
    suite::main(
        "differential",
        &[
            ("sessions_end_in_time", sessions_end_in_time),
            ("alone", alone),
            ("ensemble", ensemble),
        ],
    )
}
