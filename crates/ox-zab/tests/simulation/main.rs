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

use world::World;

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
