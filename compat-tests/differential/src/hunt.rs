//! Runs seeds one after the other, and makes what it finds short.

use std::time::{Duration, Instant};

use compat_tests::server::Kind;
use compat_tests::suite::{Skip, say};

use crate::deliberate::TABLE;
use crate::draw;
use crate::pair::Difference;
use crate::script::Script;
use crate::services::{Mode, Reaper, Services};
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

/// Runs seeds in a mode, and for every twentieth one a script about what is collected.
pub fn hunt(
    mode: Mode,
    seeds: impl IntoIterator<Item = u64>,
    verbose: bool,
) -> Result<Tally, Skip> {
    let begun = Instant::now();
    let servers = mode.servers();
    let seeds = Vec::from_iter(seeds);
    let mut tally = Tally::default();
    let mut hunt = Hunt::start(mode, Reaper::Never)?;
    for seed in &seeds {
        hunt.seed(*seed, &draw::script(*seed, servers), verbose, &mut tally);
    }
    hunt.services.check_members();
    // What is meant to differ is ours; the reference may be compared with itself.
    if Kind::under_test() == Kind::Oxkeeper {
        hunt.deliberate(&mut tally);
    }
    drop(hunt);
    let mut hunt = Hunt::start(mode, Reaper::Soon)?;
    for seed in seeds.iter().step_by(20) {
        let script = draw::collecting(*seed, servers);
        hunt.seed(*seed, &script, verbose, &mut tally);
    }
    tally.took = begun.elapsed();
    Ok(tally)
}

struct Hunt {
    mode: Mode,
    reaper: Reaper,
    services: Services,
}

impl Hunt {
    fn start(mode: Mode, reaper: Reaper) -> Result<Self, Skip> {
        Ok(Self {
            mode,
            reaper,
            services: Services::start(mode, reaper)?,
        })
    }

    /// Runs the script of a seed, and makes it short if it shows a difference.
    fn seed(&mut self, seed: u64, script: &Script, verbose: bool, tally: &mut Tally) {
        let mode = self.mode;
        if verbose {
            say(script);
        }
        let Some(found) = self.run(script) else {
            tally.passed += 1;
            return;
        };
        tally.failed.push(seed);
        say(format!("{mode}, seed {seed} differs:\n{found}"));
        if let Some(found) = self.run(&Script::default()) {
            say(format!("and so it does without a script:\n{found}"));
        } else if tally.failed.len() <= SHRUNK {
            let short = shrink(script, |script| self.run(script).is_some());
            match self.run(&short) {
                Some(found) => say(format!("seed {seed} made short:\n{short}{found}")),
                None => say(format!("seed {seed} does not differ always:\n{short}")),
            }
        }
    }

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
        match Services::start(self.mode, self.reaper) {
            Ok(services) => self.services = services,
            Err(Skip(reason)) => panic!("what ran a moment ago does not start: {reason}"),
        }
    }
}
