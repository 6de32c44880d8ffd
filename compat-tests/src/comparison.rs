//! The same tests against the server under test and against the reference, compared one by one.
//!
//! Invariant: what passes with the reference must pass here. What passes with neither is named, and
//! held against nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use crate::cache;
use crate::suite::say;

/// How a test of somebody else's ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Otherwise, and what it said.
    Failed(String),
    /// It was not run, and why.
    Skipped(String),
}

impl Outcome {
    /// What a line says of a test, and of which: `ok NAME`, `FAILED NAME: why`,
    /// `skipped NAME: why`. None for any other line.
    pub fn read(line: &str) -> Option<(String, Self)> {
        let (word, rest) = line.split_once(' ')?;
        let (name, why) = rest.split_once(": ").unwrap_or((rest, ""));
        let outcome = match word {
            "ok" => Self::Passed,
            "FAILED" => Self::Failed(why.to_owned()),
            "skipped" => Self::Skipped(why.to_owned()),
            _ => return None,
        };
        Some((name.to_owned(), outcome))
    }
}

/// Outcomes by the names of the tests.
pub type Outcomes = BTreeMap<String, Outcome>;

/// Whose tests they are.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Of which suite of ours.
    pub suite: &'static str,
    /// The client, or the suite of its own.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Where it comes from.
    pub from: &'static str,
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

/// How many passed, failed and were skipped.
struct Counts(usize, usize, usize);

impl Counts {
    fn of(outcomes: &Outcomes) -> Self {
        let mut counts = Self(0, 0, 0);
        for outcome in outcomes.values() {
            match outcome {
                Outcome::Passed => counts.0 += 1,
                Outcome::Failed(_) => counts.1 += 1,
                Outcome::Skipped(_) => counts.2 += 1,
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.0, self.1, self.2)
    }
}

/// Prints how tests have ended here and with the reference, and panics if one that passes there
/// does not pass here. Without a reference every test must pass or be skipped.
///
/// With a reference, the row is also left in a file for `docs/compatibility.md`.
#[track_caller]
pub fn judge(subject: Subject, here: &Outcomes, reference: Option<&Outcomes>) {
    let mut row = format!("   {subject}: passed/failed/skipped {}", Counts::of(here));
    if let Some(reference) = reference {
        row += &format!(" | on Apache {}", Counts::of(reference));
    }
    say(row);
    let mut worse = Vec::new();
    let mut neither = Vec::new();
    let absent = Outcome::Failed("it was not there".into());
    let names = here
        .keys()
        .chain(reference.into_iter().flat_map(|all| all.keys()));
    let names: std::collections::BTreeSet<&String> = names.collect();
    for name in names {
        let outcome = here.get(name).unwrap_or(&absent);
        let wanted = reference.map_or(&Outcome::Passed, |all| all.get(name).unwrap_or(&absent));
        match (outcome, wanted) {
            (Outcome::Passed | Outcome::Skipped(_), _) if outcome == wanted => {}
            (Outcome::Passed, _) => say(format!("   only here passes {name}")),
            (Outcome::Skipped(_), Outcome::Skipped(_)) => {}
            (Outcome::Skipped(why), Outcome::Passed) if reference.is_none() => {
                say(format!("   skipped {name}: {why}"));
            }
            (Outcome::Failed(why) | Outcome::Skipped(why), Outcome::Passed) => {
                worse.push(format!("{name}: {why}"));
            }
            (Outcome::Failed(why) | Outcome::Skipped(why), _) => {
                say(format!("   passes with neither: {name}: {why}"));
                neither.push(name.as_str());
            }
        }
    }
    if let Some(reference) = reference {
        keep(subject, here, reference, &neither);
    }
    assert!(
        worse.is_empty(),
        "{subject}: {} fail here{}:\n{}",
        worse.len(),
        if reference.is_some() {
            " and pass with Apache"
        } else {
            ""
        },
        worse.join("\n")
    );
}

/// The folder of the rows, one file for each; `compat-tests/docs.sh` makes a table of them.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| cache::repository().join("target"), PathBuf::from);
    target.join("compat-results")
}

fn keep(subject: Subject, here: &Outcomes, reference: &Outcomes, neither: &[&str]) {
    let Subject {
        suite,
        name,
        version,
        from,
    } = subject;
    let folder = folder().join(suite);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let row = format!(
        "| {name} | {version} | {from} | {} | {} | {} |\n",
        Counts::of(here),
        Counts::of(reference),
        neither.join(", ")
    );
    fs::write(
        folder.join(format!("{name} {version}").replace('/', "-")),
        row,
    )
    .expect("as above");
}
