//! Means to make real processes and the real kernel fail: cuts of power, full and broken disks,
//! networks that lose packets, calls that return errors.
//!
//! Invariant: what is made here (mounts, namespaces, processes) goes with the value that stands
//! for it, also when a test panics. What a machine does not let us do is a `Skip` with its reason.

pub mod disk;
pub mod network;
pub mod tracer;

use std::process::{Command, Output};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::cache;
use crate::suite::{Skip, say};

/// Skips unless we are root and these commands can be run.
pub fn needs_root_and(commands: &[&str]) -> Result<(), Skip> {
    if !rustix::process::geteuid().is_root() {
        return Err(Skip("needs root".into()));
    }
    commands
        .iter()
        .try_for_each(|command| cache::needs_command(command))
}

/// Runs a command of the system to its end; says what it said if it fails.
pub fn run(words: &[&str]) -> Result<String, String> {
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .map_err(|error| format!("{}: {error}", words[0]))?;
    said(words, &output)
}

/// What a command has written, if it has succeeded.
pub(crate) fn said(words: &[&str], output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!(
        "{}: {} {}",
        words.join(" "),
        output.status,
        text(&output.stderr)
    ))
}

/// The generator of a test's choices: `OX_SEED`, or a new seed, which is printed.
pub fn seeded() -> StdRng {
    let seed: u64 = std::env::var("OX_SEED").map_or_else(
        |_| rand::random(),
        |text| text.parse().expect("OX_SEED is a number"),
    );
    say(format!("   OX_SEED={seed}"));
    StdRng::seed_from_u64(seed)
}
