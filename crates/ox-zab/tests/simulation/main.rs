//! Whole ensembles under every fault there is, checked after every step. One seed decides all of a
//! run: how many servers, what goes wrong and when, and how long everything takes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod checks;
mod disk;
mod network;
mod random;
mod votes;
mod world;

use world::{Bound, World};

fn run(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        World::new(seed, false).run();
    }
}

#[test]
fn ensembles_keep_their_promises_and_recover() {
    run(0..500);
}

/// Prints all that happens in the run of `OX_SEED`.
#[test]
#[ignore = "prints one run, for a person to read"]
fn one_seed() {
    let seed = std::env::var("OX_SEED").unwrap_or_default();
    World::new(seed.parse().unwrap_or(0), true).run();
}

/// Runs seeds from `OX_SEED` on, `OX_SEEDS` of them.
#[test]
#[ignore = "takes as long as one likes"]
fn many_seeds() {
    let number = |name| -> u64 {
        let text = std::env::var(name).unwrap_or_default();
        text.parse().unwrap_or(0)
    };
    let first = number("OX_SEED");
    let (mut events, mut times) = (0, Vec::new());
    for seed in first..first + number("OX_SEEDS") {
        let mut world = World::new(seed, false);
        world.run();
        events += world.events();
        times.push((world.healed_in(), seed));
    }
    times.sort_unstable();
    let at = |percent| times.get(times.len() * percent / 100);
    println!(
        "{events} events; milliseconds to heal, and a seed that needs them: {:?} (half), \
         {:?} (99 of 100), {:?} (the worst)",
        at(50),
        at(99),
        &times[times.len().saturating_sub(5)..],
    );
}

/// Everything that can happen to three servers, within a bound.
fn explore(bound: Bound) {
    let found = World::for_model().explore(bound);
    println!("{bound:?}: {found:?}");
    assert!(0 < found.ended);
}

#[test]
fn in_every_order_of_events_a_small_ensemble_keeps_its_promises() {
    explore(Bound {
        proposals: 1,
        crashes: 0,
        resets: 0,
        timers: 20,
        delays: None,
    });
    explore(Bound {
        proposals: 2,
        crashes: 1,
        resets: 0,
        timers: 20,
        delays: Some(0),
    });
}

/// As much of it as there is time for, or as `OX_BOUND` says: proposals, crashes, resets, timers,
/// and delays if these are bounded.
#[test]
#[ignore = "takes some ten minutes, optimized"]
fn small_ensembles_within_larger_bounds() {
    let bounds = match std::env::var("OX_BOUND") {
        Ok(text) => vec![text],
        Err(_) => LARGER_BOUNDS.map(str::to_owned).to_vec(),
    };
    for text in &bounds {
        let numbers: Vec<usize> = text
            .split(',')
            .filter_map(|part| part.parse().ok())
            .collect();
        let [proposals, crashes, resets, timers, ref delays @ ..] = numbers[..] else {
            panic!("OX_BOUND is {text:?}");
        };
        explore(Bound {
            proposals,
            crashes,
            resets,
            timers,
            delays: delays.first().copied(),
        });
    }
    let count = bounds.len();
    println!("{count} passed, 0 failed, 0 skipped");
}

const LARGER_BOUNDS: [&str; 6] = [
    "2,0,1,20",
    "1,1,0,20",
    "2,1,0,50,3",
    "2,1,1,50,1",
    "2,2,0,100,0",
    "1,2,1,100,0",
];
