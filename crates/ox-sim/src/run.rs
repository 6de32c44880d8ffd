//! One run of a plan. A panic of the code under test is a failure like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::plan::Plan;
use crate::world::{Outcome, World};

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    go(plan, false)
}

/// Runs a plan and prints what happens.
pub fn run_told(plan: &Plan) -> Outcome {
    go(plan, true)
}

fn go(plan: &Plan, is_told: bool) -> Outcome {
    let plan = plan.clone();
    let run = AssertUnwindSafe(move || World::new(plan, is_told).run());
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome {
            failure: Some(format!("panic: {}", text.unwrap_or_default())),
            ..Outcome::default()
        }
    })
}
