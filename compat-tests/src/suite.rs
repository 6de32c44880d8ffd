//! A test runner that can tell "could not run here" from "passed".
//!
//! Invariant: a test counts as passed only if it ran to its end; what could not run says why.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::server::Kind;

/// Why a test could not run on this machine.
#[derive(Clone, Debug)]
pub struct Skip(pub String);

/// One test: panics when what it tests is wrong.
pub type Test = fn() -> Result<(), Skip>;

/// A test that was made for one of several versions of a server.
pub struct Case {
    /// As the command line can name it.
    pub name: String,
    /// Panics when what it tests is wrong.
    pub run: Box<dyn Fn() -> Result<(), Skip>>,
}

/// Prints one line of the test's story.
#[expect(
    clippy::print_stdout,
    reason = "a test runner reports on standard output"
)]
pub fn say(line: impl Display) {
    println!("{line}");
}

/// As `run`, of tests that are known when this is compiled.
pub fn main(suite: &str, tests: &[(&str, Test)]) -> ExitCode {
    let cases = tests.iter().map(|(name, test)| Case {
        name: (*name).to_owned(),
        run: Box::new(*test),
    });
    run(suite, cases.collect())
}

/// Runs the tests whose names contain one of the command line's words (all without words) and
/// ends with the line `N passed, N failed, N skipped`.
pub fn run(suite: &str, cases: Vec<Case>) -> ExitCode {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    if std::env::args().any(|word| word == "--list") {
        for Case { name, .. } in cases {
            say(format!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    say(format!(
        "\nrunning {suite} against {}",
        Kind::under_test().describe()
    ));
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    for Case { name, run } in cases {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let begun = Instant::now();
        let verdict = catch_unwind(AssertUnwindSafe(run));
        let took = begun.elapsed().as_secs_f64();
        match verdict {
            Ok(Ok(())) => {
                passed += 1;
                say(format!("test {suite}::{name} ... ok ({took:.1} s)"));
            }
            Ok(Err(Skip(reason))) => {
                skipped += 1;
                say(format!("test {suite}::{name} ... skipped: {reason}"));
            }
            Err(_) => {
                say(format!("test {suite}::{name} ... FAILED ({took:.1} s)"));
                failed.push(name);
            }
        }
    }
    for name in &failed {
        say(format!("failed: {suite}::{name}"));
    }
    say(format!(
        "{passed} passed, {} failed, {skipped} skipped",
        failed.len()
    ));
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A number of rounds from the environment, for the quick and the full form of a test.
pub fn rounds(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}
