//! Runs seeds one after the other, and makes what it finds short.

use std::time::{Duration, Instant};

use compat_tests::server::Kind;
use compat_tests::suite::{Skip, say};

use crate::deliberate::TABLE;
use crate::draw;
use crate::pair::Difference;
use crate::script::Script;
use crate::services::{Mode, Services};
use crate::shrink::shrink;

/// How many differences are made short; each takes hundreds of runs.
const SHRUNK: usize = 20;

/// What came of some seeds.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Seeds whose scripts showed no difference.
    pub passed: usize,
    /// The others, in the order in which they ran.
    pub failed: Vec<u64>,
    /// Deliberate differences that are as their table has them.
    pub explained: usize,
    /// Those that are not.
    pub unlike_the_table: Vec<&'static str>,
    /// From the start of the servers to the end of the last seed.
    pub took: Duration,
}

/// Runs seeds in a mode.
pub fn hunt(
    mode: Mode,
    seeds: impl IntoIterator<Item = u64>,
    verbose: bool,
) -> Result<Tally, Skip> {
    let begun = Instant::now();
    let mut hunt = Hunt {
        mode,
        services: Services::start(mode)?,
    };
    let mut tally = Tally::default();
    for seed in seeds {
        let script = draw::script(seed, mode.servers());
        if verbose {
            say(&script);
        }
        let Some(found) = hunt.run(&script) else {
            tally.passed += 1;
            continue;
        };
        tally.failed.push(seed);
        say(format!("{mode}, seed {seed} differs:\n{found}"));
        if let Some(found) = hunt.run(&Script::default()) {
            say(format!("and so it does without a script:\n{found}"));
        } else if tally.failed.len() <= SHRUNK {
            let short = shrink(&script, |script| hunt.run(script).is_some());
            match hunt.run(&short) {
                Some(found) => say(format!("seed {seed} made short:\n{short}{found}")),
                None => say(format!("seed {seed} does not differ always:\n{short}")),
            }
        }
    }
    // What is meant to differ is ours; the reference may be compared with itself.
    if Kind::under_test() == Kind::Oxkeeper {
        hunt.deliberate(&mut tally);
    }
    tally.took = begun.elapsed();
    Ok(tally)
}

struct Hunt {
    mode: Mode,
    services: Services,
}

impl Hunt {
    /// What differs after a script, in words; both services are as fresh afterwards.
    fn run(&mut self, script: &Script) -> Option<String> {
        let found = match self.services.pair.run(script) {
            Ok(None) => return None,
            Ok(Some(difference)) => difference.to_string(),
            Err(error) => {
                let logs = self.services.logs();
                self.restart();
                return Some(format!("{error}\n{logs}"));
            }
        };
        // A difference may leave counters behind that no cleaning reaches.
        if !matches!(self.nothing(), Ok(None)) {
            self.restart();
        }
        Some(found)
    }

    /// Runs what is meant to differ, and says how it went. Afterwards the services are not alike.
    fn deliberate(&mut self, tally: &mut Tally) {
        let servers = self.mode.servers();
        for deliberate in TABLE.iter().filter(|row| row.shows(servers)) {
            let (name, reason) = (deliberate.name, deliberate.reason);
            let asked = deliberate.asks_reference(servers);
            match self.services.pair.run_deliberate(deliberate, asked) {
                Ok(reference) => {
                    tally.explained += 1;
                    say(format!("   explained: {name}: {reason} ({reference})"));
                }
                Err(error) => {
                    tally.unlike_the_table.push(name);
                    say(format!("   not as the table has it: {name}: {error}"));
                }
            }
        }
    }

    fn nothing(&mut self) -> std::io::Result<Option<Difference>> {
        self.services.pair.run(&Script::default())
    }

    fn restart(&mut self) {
        match Services::start(self.mode) {
            Ok(services) => self.services = services,
            Err(Skip(reason)) => panic!("what ran a moment ago does not start: {reason}"),
        }
    }
}
