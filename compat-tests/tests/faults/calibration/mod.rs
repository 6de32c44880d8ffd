//! The same scripts of disk operations on the real kernel as on a simulated disk: what a power cut
//! leaves of them is one of the states that the simulator's rules allow.
//!
//! A script is cut between two steps. Nothing else is random on the real side but what the kernel
//! makes of it; some steps only ask it to write a page back early.

mod model;
mod script;

use std::path::{Path, PathBuf};

use compat_tests::faults::disk::{Ext4, Tmpfs, cut};
use compat_tests::faults::seeded;
use compat_tests::suite::{Skip, rounds, say};
use ox_sim::LoneDisk;
use ox_txnlog::RealDisk;
use rand::RngExt;
use rand::rngs::StdRng;

use model::Model;
use script::{Files, Script, State, Step};

/// A real ext4, cut at a random point of each script.
pub(crate) fn on_ext4() -> Result<(), Skip> {
    let rounds = rounds("OX_CALIBRATIONS", 10);
    let home = tempfile::tempdir().expect("a temporary folder");
    let memory = Tmpfs::mount(&home.path().join("memory"), "size=200m")?;
    let image = memory.path().join("image");
    let mut disk = Ext4::create(&image, &home.path().join("disk"), 64)?;
    let mut random = seeded();
    let mut seen = Seen::default();
    for round in 0..rounds {
        let folder = disk.path().join(format!("round-{round}"));
        std::fs::create_dir(&folder).expect("a folder of ours");
        disk.sync();
        let script = Script::random(&mut random);
        let mut model = Model::default();
        let steps = random.random_range(0..=script.steps.len());
        let mut files = Files::new(&RealDisk, &folder);
        for step in &script.steps[..steps] {
            files.run(step);
            model.run(step);
        }
        cut(&[&disk]);
        drop(files);
        disk.unmount();
        disk.mount();
        let state = State::read(&RealDisk, &folder);
        if let Err(error) = model.allows(&state) {
            let done: Vec<String> = script.steps[..steps]
                .iter()
                .map(|step| format!("{step:?}"))
                .collect();
            panic!(
                "round {round}: {error}\nleft: {state:?}\nof:\n{}",
                done.join("\n")
            );
        }
        seen.note(&model, &state);
        std::fs::remove_dir_all(&folder).expect("a folder of ours");
    }
    disk.unmount();
    say(format!(
        "   {rounds} scripts cut, all states allowed; {} as if all had been synced, {} as at the \
         last syncs, {} in between",
        seen.all, seen.synced, seen.between
    ));
    Ok(())
}

/// The simulated disk, held against the same rules.
pub(crate) fn simulated() -> Result<(), Skip> {
    let rounds = 10 * rounds("OX_CALIBRATIONS", 100);
    let folder = Path::new("/scripts");
    let mut random: StdRng = seeded();
    let mut seen = Seen::default();
    for round in 0..rounds {
        let script = Script::random(&mut random);
        let mut model = Model::default();
        let steps = random.random_range(0..=script.steps.len());
        let mut disk = LoneDisk::new(random.random(), folder);
        let files = disk.disk();
        let mut files = Files::new(&files, folder);
        for step in &script.steps[..steps] {
            files.run(step);
            model.run(step);
            if matches!(step, Step::WriteBack { .. }) {
                disk.write_back();
            }
        }
        disk.cut_power();
        let state = State::read(&disk.disk(), folder);
        if let Err(error) = model.allows(&state) {
            panic!(
                "round {round}: {error}\nleft: {state:?}\nof:\n{:#?}",
                &script.steps[..steps]
            );
        }
        seen.note(&model, &state);
    }
    say(format!(
        "   {rounds} scripts cut, all states allowed; {} as if all had been synced, {} as at the \
         last syncs, {} in between",
        seen.all, seen.synced, seen.between
    ));
    Ok(())
}

/// What power cuts have left.
#[derive(Default)]
struct Seen {
    all: usize,
    synced: usize,
    between: usize,
}

impl Seen {
    fn note(&mut self, model: &Model, state: &State) {
        match state {
            state if *state == model.cached() => self.all += 1,
            state if *state == model.synced() => self.synced += 1,
            _ => self.between += 1,
        }
    }
}

/// What the rules do not allow is seen as that.
pub(crate) fn rules() -> Result<(), Skip> {
    let mut random: StdRng = seeded();
    let mut refused = 0;
    let rounds = 200;
    for _ in 0..rounds {
        let script = Script::random(&mut random);
        let mut model = Model::default();
        script.steps.iter().for_each(|step| model.run(step));
        for state in [model.cached(), model.synced()] {
            model.allows(&state).expect("the cache, or the last sync");
            if let Some(lost) = model.lose_something_synced(&state) {
                assert!(
                    model.allows(&lost).is_err(),
                    "{lost:?} of {:#?}",
                    script.steps
                );
                refused += 1;
            }
        }
    }
    assert!(rounds / 4 < refused, "hardly anything was ever durable");
    Ok(())
}

/// The name of a file of a script.
fn name(file: u8) -> PathBuf {
    PathBuf::from(char::from(b'a' + file).to_string())
}
