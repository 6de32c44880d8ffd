//! `differential`: runs seeds, or one of them again.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use compat_tests::suite::{Skip, say};

use differential::hunt::hunt;
use differential::normal::MAY_DIFFER;
use differential::services::Mode;

/// Runs the same scripts on Apache ZooKeeper 3.9.5 and on Oxkeeper.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// One seed again, with its script.
    #[arg(long)]
    seed: Option<u64>,
    /// On a server alone, on three, or on both.
    #[arg(long, value_enum, default_value_t = Modes::Both)]
    mode: Modes,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Modes {
    Standalone,
    Ensemble,
    Both,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let modes: &[Mode] = match arguments.mode {
        Modes::Standalone => &[Mode::Standalone],
        Modes::Ensemble => &[Mode::Ensemble],
        Modes::Both => &[Mode::Standalone, Mode::Ensemble],
    };
    let (first, count) = match arguments.seed {
        Some(seed) => (seed, 1),
        None => (arguments.first, arguments.seeds),
    };
    for (what, how) in MAY_DIFFER {
        say(format!("   not compared as it is: {what}: {how}"));
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for mode in modes {
        match hunt(*mode, first..first + count, arguments.seed.is_some()) {
            Ok(tally) => {
                let took = tally.took.as_secs_f64();
                say(format!("{mode}: {count} seeds in {took:.1} s"));
                if !tally.failed.is_empty() {
                    say(format!("{mode}: seeds that differ: {:?}", tally.failed));
                }
                passed += tally.passed + tally.explained;
                failed += tally.failed.len() + tally.unlike_the_table.len();
            }
            Err(Skip(reason)) => {
                say(format!("{mode} ... skipped: {reason}"));
                skipped += 1;
            }
        }
    }
    say(format!(
        "{passed} passed, {failed} failed, {skipped} skipped"
    ));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
