//! What is printed, and what passes.

use std::fmt::Display;
use std::process::ExitCode;

/// Prints a line.
#[expect(
    clippy::print_stdout,
    reason = "a benchmark reports on standard output"
)]
pub(crate) fn say(line: impl Display) {
    println!("{line}");
}

/// The checks so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    /// A goal, and whether it is reached.
    pub(crate) fn check(&mut self, passed: bool, goal: &str, got: impl Display) {
        let verdict = match passed {
            true => {
                self.passed += 1;
                "passed"
            }
            false => {
                self.failed += 1;
                "FAILED"
            }
        };
        say(format!("{verdict}: {goal}: {got}"));
    }

    /// A goal that could not be looked at.
    pub(crate) fn skip(&mut self, goal: &str, why: impl Display) {
        self.skipped += 1;
        say(format!("skipped: {goal}: {why}"));
    }

    /// The last line and the exit code.
    pub(crate) fn finish(&self) -> ExitCode {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        say(format!(
            "\n{passed} passed, {failed} failed, {skipped} skipped"
        ));
        match failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

/// The middle value; 0 for none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![]), 0.0);
    }
}
