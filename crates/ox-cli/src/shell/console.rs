//! The two streams of a shell.

use std::io::{self, Write};

/// Where the shell writes. A reader that has gone away, as `head` does, is no reason to fail.
#[derive(Debug)]
pub(crate) struct Console(());

impl Console {
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// A line of a result.
    pub(crate) fn out(&self, line: &str) {
        let _ = writeln!(io::stdout().lock(), "{line}");
    }

    /// A line of anything else.
    pub(crate) fn err(&self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// The beginning of a line that somebody else ends.
    pub(crate) fn prompt(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = write!(out, "{text}").and_then(|()| out.flush());
    }
}
