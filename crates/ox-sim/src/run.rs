//! One run of a plan. A panic of the code under test is a failure like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::plan::Plan;
use crate::small;
use crate::world::{Outcome, World};

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    go(plan, false)
}

/// Runs a plan and leaves half of what was committed out of the record: a run that the checks must
/// find wrong, or else they find nothing (the canary of reliability.md 4.6).
pub fn run_canary(plan: &Plan) -> Outcome {
    caught(|| World::new(plan.clone(), false).into_canary().run())
}

/// Runs a plan and prints what happens.
pub fn run_told(plan: &Plan) -> Outcome {
    go(plan, true)
}

/// Runs a seed of the small world, servers that are joined by messages rather than bytes, and prints
/// what happens if it is to be told.
pub fn run_small(seed: u64, is_told: bool) -> Outcome {
    caught(|| small::run(seed, is_told))
}

fn go(plan: &Plan, is_told: bool) -> Outcome {
    caught(|| World::new(plan.clone(), is_told).run())
}

fn caught(run: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome {
            failure: Some(format!("panic: {}", text.unwrap_or_default())),
            ..Outcome::default()
        }
    })
}
