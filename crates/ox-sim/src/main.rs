//! Runs seeds, one seed, or a plan.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use ox_sim::{
    MutantArgs, Outcome, Plan, draw, run, run_canary, run_mutants, run_small, run_told, shrink,
};

#[derive(Parser)]
#[command(about = "Whole ensembles in virtual time")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs many seeds, each in the world of whole servers and in the small one.
    Run {
        /// How many.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
        /// The first.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// At once.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// So long a failing one is made smaller, in seconds.
        #[arg(long, default_value_t = 20)]
        shrink: u64,
    },
    /// Runs one seed.
    Seed {
        /// Which.
        seed: u64,
        /// Print what happens.
        #[arg(long)]
        trace: bool,
        /// Print the plan.
        #[arg(long)]
        plan: bool,
        /// In the small world, which has no plan.
        #[arg(long, conflicts_with = "plan")]
        small: bool,
    },
    /// Switches planted bugs on, one after the other, and looks whether seeds fail.
    Mutants(MutantArgs),
    /// Runs a plan from a file.
    Plan {
        /// Where it is.
        file: PathBuf,
        /// Print what happens.
        #[arg(long)]
        trace: bool,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run {
            seeds,
            first,
            threads,
            shrink,
        } => many(first, seeds, threads, Duration::from_secs(shrink)),
        Command::Seed {
            seed,
            trace,
            small: true,
            ..
        } => report(seed, run_small(seed, trace)),
        Command::Seed {
            seed, trace, plan, ..
        } => {
            let drawn = draw(seed);
            if plan {
                println!("{}", text(&drawn));
            }
            one(&drawn, trace)
        }
        Command::Mutants(args) => run_mutants(&args),
        Command::Plan { file, trace } => {
            let read = std::fs::read_to_string(&file).map_err(|error| error.to_string());
            let plan = read.and_then(|text| {
                serde_json::from_str::<Plan>(&text).map_err(|error| error.to_string())
            });
            match plan {
                Ok(plan) => one(&plan, trace),
                Err(error) => {
                    println!("{}: {error}", file.display());
                    ExitCode::FAILURE
                }
            }
        }
    }
}

fn text(plan: &Plan) -> String {
    serde_json::to_string(plan).expect("a plan is plain data")
}

fn one(plan: &Plan, trace: bool) -> ExitCode {
    let outcome = match trace {
        true => run_told(plan),
        false => run(plan),
    };
    report(plan.seed, outcome)
}

fn report(seed: u64, outcome: Outcome) -> ExitCode {
    println!(
        "seed {}: {} events, hash {:016x}, healed in {} ms, {} acknowledged, {} committed, {} epochs",
        seed,
        outcome.events,
        outcome.hash,
        outcome.healed_in / 1000,
        outcome.acknowledged,
        outcome.committed,
        outcome.epochs,
    );
    match outcome.failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!("FAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Totals {
    passed: u64,
    failed: Vec<(u64, String)>,
    twice: u64,
    events: u64,
    acknowledged: u64,
    writes: u64,
    committed: usize,
    epochs: usize,
    healed: Vec<i64>,
    struck: BTreeMap<String, (u64, u64)>,
    /// Of the small world.
    small: Small,
}

#[derive(Default)]
struct Small {
    passed: u64,
    failed: u64,
    events: u64,
    committed: usize,
    epochs: usize,
}

impl Small {
    fn add(&mut self, seed: u64, outcome: &Outcome) {
        match &outcome.failure {
            None => self.passed += 1,
            Some(failure) => {
                let first: Vec<&str> = failure.lines().take(4).collect();
                println!(
                    "seed {seed} FAILED in the small world: {}",
                    first.join(" | ")
                );
                println!("  to replay it: make sim-seed SEED={seed} SMALL=yes");
                self.failed += 1;
            }
        }
        self.events += outcome.events;
        self.committed += outcome.committed;
        self.epochs += outcome.epochs;
    }
}

impl Totals {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        match outcome.failure {
            None => self.passed += 1,
            Some(failure) => {
                let first: Vec<&str> = failure.lines().take(4).collect();
                println!("seed {seed} FAILED: {}", first.join(" | "));
                println!("  to replay it: make sim-seed SEED={seed}");
                self.failed.push((seed, failure));
            }
        }
        self.events += outcome.events;
        self.acknowledged += outcome.acknowledged;
        self.writes += outcome.writes;
        self.committed += outcome.committed;
        self.epochs += outcome.epochs;
        self.healed.push(outcome.healed_in);
        for (what, count) in outcome.struck {
            let total = self.struck.entry(what).or_default();
            total.0 += count;
            total.1 += u64::from(count > 0);
        }
    }
}

fn many(first: u64, seeds: u64, threads: usize, patience: Duration) -> ExitCode {
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if first + seeds <= seed {
                        break;
                    }
                    let plan = draw(seed);
                    let mut outcome = run(&plan);
                    let is_twice = seed.is_multiple_of(100);
                    if is_twice && run(&plan).hash != outcome.hash {
                        outcome.failure = Some("two runs of one seed differ".to_owned());
                    }
                    let mut small = run_small(seed, false);
                    if is_twice && run_small(seed, false).hash != small.hash {
                        small.failure = Some("two runs of one seed differ".to_owned());
                    }
                    let mut totals = totals.lock().expect("no panic holds it");
                    totals.twice += u64::from(is_twice);
                    totals.add(seed, outcome);
                    totals.small.add(seed, &small);
                }
            });
        }
    });
    let mut totals = totals.into_inner().expect("no panic holds it");
    if let Some((seed, _)) = totals.failed.first().filter(|_| !patience.is_zero()) {
        let small = shrink(&draw(*seed), patience);
        println!(
            "seed {seed} made smaller: {} faults, {} operations\n{}",
            small.faults.len(),
            small.ops.len(),
            text(&small)
        );
    }
    let is_canary_dead = run_canary(&draw(first)).failure.is_some();
    println!(
        "the canary, a record with half of its transactions left out: {}",
        if is_canary_dead {
            "red, as it must be"
        } else {
            "NOT FOUND"
        }
    );
    let took = begun.elapsed().as_secs_f64();
    totals.healed.sort_unstable();
    let healed = |percent: usize| {
        let at = (totals.healed.len() * percent / 100).min(totals.healed.len().saturating_sub(1));
        totals.healed.get(at).copied().unwrap_or(0) / 1000
    };
    for (what, (count, in_seeds)) in &totals.struck {
        println!("{what}: {count} in {in_seeds} seeds");
    }
    #[expect(clippy::cast_precision_loss, reason = "for a person to read")]
    let per_second = |count: u64| count as f64 / took;
    println!(
        "{} operations acknowledged ({} writes), {} transactions committed, {} epochs, {} seeds \
         run twice",
        totals.acknowledged, totals.writes, totals.committed, totals.epochs, totals.twice
    );
    println!(
        "healed in {} ms (half), {} ms (99 of 100), {} ms (the worst)",
        healed(50),
        healed(99),
        healed(100)
    );
    let small = &totals.small;
    println!(
        "{seeds} seeds in the small world: {} transactions committed, {} epochs, {} failed",
        small.committed, small.epochs, small.failed
    );
    println!(
        "{took:.1} s, {:.1} seeds/s, {:.0} events/s",
        per_second(seeds),
        per_second(totals.events + small.events)
    );
    let failed = u64::try_from(totals.failed.len()).unwrap_or(u64::MAX) + small.failed;
    println!(
        "{} passed, {failed} failed, 0 skipped",
        totals.passed + small.passed
    );
    match failed == 0 && is_canary_dead {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
