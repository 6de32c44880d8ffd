//! From a plan that fails to a small one: ddmin over faults, operations and clients.

use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::run::run;

/// Leaves out whatever can be left out while the run still fails, for so long at most.
pub fn shrink(plan: &Plan, patience: Duration) -> Plan {
    let deadline = Instant::now() + patience;
    let mut plan = plan.clone();
    loop {
        let before = (plan.faults.len(), plan.ops.len());
        let faults = plan.faults.clone();
        plan.faults = reduce(faults, deadline, |faults| Plan {
            faults: faults.to_vec(),
            ..plan.clone()
        });
        let ops = plan.ops.clone();
        plan.ops = reduce(ops, deadline, |ops| Plan {
            ops: ops.to_vec(),
            ..plan.clone()
        });
        if before == (plan.faults.len(), plan.ops.len()) || deadline < Instant::now() {
            return plan;
        }
    }
}

/// A smaller part of `all` with which the run still fails.
fn reduce<T: Clone>(mut all: Vec<T>, deadline: Instant, with: impl Fn(&[T]) -> Plan) -> Vec<T> {
    let fails = |part: &[T]| run(&with(part)).failure.is_some();
    let mut size = all.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < all.len() {
            if deadline < Instant::now() {
                return all;
            }
            let end = (start + size).min(all.len());
            let rest = [&all[..start], &all[end..]].concat();
            match fails(&rest) {
                true => all = rest,
                false => start = end,
            }
        }
        size = match size {
            1 => 0,
            more => more / 2,
        };
    }
    all
}
