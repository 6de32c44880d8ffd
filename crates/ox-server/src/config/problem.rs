//! What is said about a bad or useless setting, and where the setting stands.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The command line.
    Arguments,
    /// A `-Dname=value` in this environment variable.
    Variable(&'static str),
    /// A configuration file as a whole.
    File(PathBuf),
    /// A line of a configuration file, counted from 1.
    Line(PathBuf, usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::Arguments => f.write_str("command line"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// A reason not to start. Prints as `file:line: key: reason (what is allowed)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where the setting is, or where it is missing.
    pub origin: Origin,
    /// The key as it was written; empty for a file that cannot be read.
    pub key: String,
    /// Java's reason text, which operators search for, or ours where Java has none.
    pub reason: String,
    /// What may stand there instead; empty when the reason says it all.
    pub allowed: String,
    /// The exit code Java ends with for this: 2 nearly always.
    pub exit_code: u8,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)?;
        if self.allowed.is_empty() {
            Ok(())
        } else {
            write!(f, " (allowed: {})", self.allowed)
        }
    }
}

/// A setting that starts the server but does not do what its writer may expect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Where the setting is.
    pub origin: Origin,
    /// The key as it was written; empty for a file as a whole.
    pub key: String,
    /// What happens instead.
    pub text: String,
    /// Java logs the text at ERROR and goes on.
    pub severe: bool,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that keeps the server from starting, and the warnings found on the way.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors {
    /// In the order of the file; never empty.
    pub problems: Vec<Problem>,
    /// In the order of the file.
    pub warnings: Vec<Warning>,
}

impl ConfigErrors {
    /// What the process ends with: 2, unless everything wrong is something Java only finds after it
    /// has read the configuration.
    pub fn exit_code(&self) -> u8 {
        self.problems
            .iter()
            .map(|problem| problem.exit_code)
            .max()
            .unwrap_or(2)
    }
}
