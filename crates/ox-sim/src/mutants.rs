//! Switches planted bugs on, one after the other, and runs seeds until one fails.
//!
//! A simulation that finds nothing may be blind. So each rule that it guards is broken once, and it
//! must notice; first of all the canary, a run whose record is damaged, or the red of the others
//! means nothing. Each seed runs the disk half of one server, a small ensemble that is joined by
//! messages, and a whole one. Invariant: a seed that fails without the bug, too, finds nothing.
//! Source: reliability.md 4.6.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::Args;
use ox_mutant::{Mutant, choose};

use crate::{draw, one_disk, run, run_small};

/// Which mutants, and for how long.
#[derive(Args, Debug)]
pub struct MutantArgs {
    /// Only these, by their short names.
    #[arg(long)]
    only: Vec<String>,
    /// Seeds that each is given to be found by.
    #[arg(long, default_value_t = 2000)]
    limit: u64,
    /// How many run at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only one of the worlds: disk, small or whole.
    #[arg(long)]
    world: Option<String>,
    /// Plants nothing, and tells which seeds fail all the same.
    #[arg(long)]
    none: bool,
}

/// Runs one seed of a world.
type Trial = fn(u64) -> Result<(), String>;

const WORLDS: [(&str, Trial); 3] = [("disk", one_disk), ("small", small), ("whole", whole)];

fn one_disk(seed: u64) -> Result<(), String> {
    guarded(|| one_disk::run(seed))
}

fn small(seed: u64) -> Result<(), String> {
    run_small(seed, false).failure.map_or(Ok(()), Err)
}

fn whole(seed: u64) -> Result<(), String> {
    run(&draw(seed)).failure.map_or(Ok(()), Err)
}

/// A panic is a failure like any other.
fn guarded(trial: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(trial)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// What became of a mutant.
struct Verdict {
    mutant: Mutant,
    /// The seed, the world and what it said; `None` if it was not found.
    found: Option<(u64, &'static str, String)>,
    seconds: f64,
}

/// Tries all of them, and prints a table.
#[expect(clippy::print_stdout, reason = "this is what it is for")]
pub fn run_mutants(args: &MutantArgs) -> ExitCode {
    if !choose(None) {
        println!("this build has no mutants: make mutants");
        return ExitCode::FAILURE;
    }
    std::panic::set_hook(Box::new(|_| {}));
    if args.none {
        return without(args);
    }
    let is_wanted =
        |mutant: &&Mutant| args.only.is_empty() || args.only.iter().any(|id| id == mutant.id());
    let mutants: Vec<Mutant> = Mutant::ALL.iter().filter(is_wanted).copied().collect();
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(|| {
                while let Some(&mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = hunt(mutant, args);
                    println!("{}", line(&verdict));
                    verdicts.lock().expect("nobody panics").push(verdict);
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().expect("nobody panics");
    verdicts.sort_by_key(|verdict| verdict.mutant);
    println!();
    for verdict in &verdicts {
        println!("{}", line(verdict));
    }
    let passed = verdicts
        .iter()
        .filter(|verdict| verdict.found.is_some())
        .count();
    let failed = verdicts.len() - passed;
    println!("{passed} passed, {failed} failed, 0 skipped");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Runs the seeds as they are: what fails then is a bug of the product, or of a world.
#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn without(args: &MutantArgs) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for seed in 0..args.limit {
        for (name, trial) in WORLDS {
            if args.world.as_deref().is_some_and(|world| world != name) {
                continue;
            }
            match trial(seed) {
                Ok(()) => passed += 1,
                Err(text) => {
                    failed += 1;
                    println!("seed {seed} {name}: {text}");
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed, 0 skipped");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn hunt(mutant: Mutant, args: &MutantArgs) -> Verdict {
    let started = Instant::now();
    let mut found = None;
    'hunt: for seed in 0..args.limit {
        for (name, trial) in WORLDS {
            if args.world.as_deref().is_some_and(|world| world != name) {
                continue;
            }
            choose(Some(mutant));
            let outcome = trial(seed);
            choose(None);
            if let Err(text) = outcome
                && trial(seed).is_ok()
            {
                found = Some((seed, name, text));
                break 'hunt;
            }
        }
    }
    Verdict {
        mutant,
        found,
        seconds: started.elapsed().as_secs_f64(),
    }
}

fn line(verdict: &Verdict) -> String {
    let (mutant, seconds) = (verdict.mutant, verdict.seconds);
    let found = match &verdict.found {
        None => "SURVIVES".to_owned(),
        Some((seed, world, text)) => {
            let first = text.lines().next().unwrap_or_default();
            let first: String = first.chars().take(70).collect();
            format!("seed {seed} {world}: {first}")
        }
    };
    format!(
        "{} {:<74} {:<8} {seconds:6.1} s  {found}",
        mutant.id(),
        mutant.what(),
        mutant.by()
    )
}
