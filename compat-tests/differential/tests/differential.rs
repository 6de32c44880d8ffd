//! A few fixed seeds on a server alone and on three; `make differential` runs many.

use std::process::ExitCode;

use compat_tests::suite::{self, Skip};
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

fn main() -> ExitCode {
    suite::main("differential", &[("alone", alone), ("ensemble", ensemble)])
}
