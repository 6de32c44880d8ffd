//! Every target takes its corpus, what was found earlier, and a few thousand damaged inputs.
//!
//! One test alone, for memory is counted over all threads of the process.

use std::fmt::Write;
use std::time::Instant;

use ox_fuzz::{Budget, Fault, TARGETS, Target, judge};

const SEED: u64 = 1;

#[test]
fn every_target_takes_damaged_inputs() {
    ox_fuzz::catch_panics();
    let mut wrong = String::new();
    for target in TARGETS {
        let begun = Instant::now();
        let outcome = ox_fuzz::run(target, SEED, Budget::Inputs(target.short), None).unwrap();
        println!(
            "{}: {} inputs in {:?}",
            target.name,
            outcome.inputs,
            begun.elapsed()
        );
        if let Some(failure) = outcome.failure {
            let (fault, input) = (failure.fault, failure.input);
            writeln!(wrong, "{}: {fault}, on {input:?}", target.name).unwrap();
        }
    }
    // The judge sees what a target must not do.
    let bad = |run: fn(&[u8])| {
        let target = Target { run, ..TARGETS[0] };
        judge(&target, b"any")
    };
    let panics = bad(|_| panic!("on purpose"));
    let elsewhere = bad(|_| drop(std::thread::spawn(|| panic!("on purpose")).join()));
    let hungry = bad(|_| drop(Vec::<u8>::with_capacity(1 << 30)));
    // From here on a panic is this test's own.
    drop(std::panic::take_hook());
    assert!(
        matches!(hungry, Err(Fault::Memory(bytes)) if 1 << 30 <= bytes),
        "{hungry:?}"
    );
    for verdict in [panics, elsewhere] {
        let seen = matches!(&verdict, Err(Fault::Panic(text)) if text.contains("on purpose"));
        assert!(seen, "{verdict:?}");
    }
    assert!(wrong.is_empty(), "{wrong}");
}
