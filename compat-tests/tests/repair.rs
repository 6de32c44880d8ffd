//! A member whose copy of the data is damaged: it says what and where and stays out, and, where
//! the operator allows it, has its copy made anew by the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use compat_tests::ensemble::{Ensemble, Plan, Sid, wait_for};
use compat_tests::server::Kind;
use compat_tests::suite::{self, Skip, say};
use compat_tests::wire::Client;

/// Writes before the damage, while the member is away, and behind its return.
const WRITES: usize = 300;

fn main() -> ExitCode {
    suite::main(
        "repair",
        &[
            ("a_damaged_record", || {
                repaired("log.", |file| flip(file, 100))
            }),
            ("zeros_in_the_midst_of_a_log", || repaired("log.", zero)),
            ("damaged_snapshots", || {
                repaired("snapshot.", |file| flip(file, 30))
            }),
            ("a_damaged_current_epoch", || {
                repaired("currentEpoch", empty)
            }),
            ("a_damaged_accepted_epoch", || {
                repaired("acceptedEpoch", empty)
            }),
            (
                "two_of_three_that_have_lost_their_data_elect_nobody",
                lost_directories,
            ),
        ],
    )
}

/// The members' files whose names begin so are damaged on one of them, which is then repaired.
fn repaired(prefix: &str, damage: fn(&Path)) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan::voters(&[Kind::under_test(); 3]).line("snapCount", "200");
    let mut ensemble = plan.lay_out(home.path());
    ensemble.start_all()?;
    let mut written = Vec::new();
    write(&ensemble, ensemble.leader(), "before", &mut written);
    let damaged = ensemble.leader();
    ensemble.stop(damaged);
    for other in ensemble.awake() {
        ensemble.wait_until_serving(other);
    }
    write(&ensemble, ensemble.leader(), "meanwhile", &mut written);

    let folder = ensemble.data(damaged);
    let files = files(&folder, prefix);
    assert!(!files.is_empty(), "no {prefix} in {}", folder.display());
    files.iter().for_each(|file| damage(file));
    let refused = ensemble.refusal(damaged)?;
    assert_ne!(refused.code, Some(0));
    for told in [prefix, "--repair-from-peers"] {
        assert!(refused.log.contains(told), "no {told} in:\n{}", refused.log);
    }
    assert_eq!(files, self::files(&folder, prefix), "nothing is touched");

    ensemble.start_with(damaged, &["--repair-from-peers"])?;
    ensemble.wait_until_serving(damaged);
    check(&ensemble, damaged, &written);
    assert!(!folder.join("oxkeeper.repairing").exists());
    let aside = self::files(&folder, "oxkeeper.damaged.");
    assert!(!aside.is_empty());
    // What it holds now is a history like any other.
    ensemble.stop(damaged);
    ensemble.start(damaged)?;
    ensemble.wait_until_serving(damaged);
    for sid in ensemble.sids() {
        if sid != damaged {
            ensemble.stop(sid);
            ensemble.wait_until_serving(damaged);
            ensemble.start(sid)?;
            ensemble.wait_until_serving(sid);
        }
    }
    write(&ensemble, damaged, "behind", &mut written);
    check(&ensemble, damaged, &written);
    say(format!(
        "   {prefix}: {} files set aside, {} acknowledged writes, all there",
        aside.len(),
        written.len()
    ));
    Ok(())
}

/// With `db.autocreate=false` two empty directories are no majority.
fn lost_directories() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan::voters(&[Kind::under_test(); 3]).property("zookeeper.db.autocreate", "false");
    let mut ensemble = plan.lay_out(home.path());
    for sid in ensemble.sids() {
        let folder = ensemble.data(sid);
        fs::write(folder.with_file_name("initialize"), "").expect("a file of ours");
    }
    let begun = Instant::now();
    ensemble.start_all()?;
    let took = begun.elapsed();
    let mut written = Vec::new();
    write(&ensemble, ensemble.leader(), "before", &mut written);
    ensemble.wait_until_agreed();
    for sid in ensemble.sids() {
        ensemble.stop(sid);
    }
    for sid in [1, 2] {
        fs::remove_dir_all(ensemble.data(sid)).expect("a folder of ours");
        ensemble.start(sid)?;
    }
    for sid in [1, 2] {
        wait_for("it to know that it has no vote", || {
            let log = ensemble.log(sid);
            log.contains("has no vote").then_some(())
        });
    }
    ensemble.start(3)?;
    // The one that has everything is no majority. Elections have been tried often by then.
    let begun = Instant::now();
    while begun.elapsed() < 10 * took {
        for sid in ensemble.sids() {
            assert_eq!(ensemble.mode(sid), None, "server {sid} serves");
        }
    }
    for sid in ensemble.sids() {
        ensemble.stop(sid);
    }
    // One copy more, and it is one.
    let (from, to) = (ensemble.data(3), ensemble.data(2));
    fs::remove_dir_all(&to).expect("a folder of ours");
    copy(&from, &to);
    ensemble.start_all()?;
    check(&ensemble, 1, &written);
    say(format!(
        "   {} acknowledged writes, all there",
        written.len()
    ));
    Ok(())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for file in files(from, "") {
        let name = file.file_name().expect("a file has a name");
        fs::copy(&file, to.join(name)).expect("a file of ours");
    }
}

/// Writes, and notes what was acknowledged.
fn write(ensemble: &Ensemble, sid: Sid, name: &str, written: &mut Vec<String>) {
    let mut client = Client::connect(ensemble.address(sid));
    for number in 0..WRITES {
        written.push(client.create(&format!("/{name}-{number}"), b"data", 0));
    }
    client.close();
}

/// All writes are to be read at a member, and all members have the same.
#[track_caller]
fn check(ensemble: &Ensemble, sid: Sid, written: &[String]) {
    ensemble.check_same_state();
    let mut client = Client::connect(ensemble.address(sid));
    for path in written {
        assert!(client.get(path).is_some(), "{path} is lost");
    }
    client.close();
}

/// The files of a folder whose names begin so, in order.
fn files(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of ours");
    let paths = entries.map(|entry| entry.expect("a name").path());
    let mut files: Vec<_> = paths
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(prefix)
        })
        .collect();
    files.sort();
    files
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("a file of ours");
    bytes[at] ^= 0x10;
    fs::write(file, bytes).expect("a file of ours");
}

/// A lost page, where more follows.
fn zero(file: &Path) {
    let mut bytes = fs::read(file).expect("a file of ours");
    let end = bytes.len().min(4096);
    bytes[end / 2..end].fill(0);
    fs::write(file, bytes).expect("a file of ours");
}

fn empty(file: &Path) {
    fs::write(file, "").expect("a file of ours");
}
