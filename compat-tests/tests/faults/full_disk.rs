//! Disks that run out of space, or of inodes.
//!
//! Expected: the server ends by itself with an exit code, never by SIGBUS; the others of an
//! ensemble go on; with more space it starts, with every acknowledged write.

use std::process::ExitStatus;
use std::time::Duration;

use compat_tests::faults::disk::Tmpfs;
use compat_tests::faults::seeded;
use compat_tests::load::{Load, Written};
use compat_tests::server::{Kind, Setup};
use compat_tests::suite::{Skip, rounds, say};
use compat_tests::wire::Client;
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::load::{Loaded, three_voters};
use crate::power::Ends;

/// More than any round needs.
const ROOM: &str = "size=400m,nr_inodes=10000";

/// One server, in turns without space and without inodes, also such that it cannot even start.
pub(crate) fn standalone() -> Result<(), Skip> {
    let rounds = rounds("OX_FULL_DISKS", 4);
    let mut random = seeded();
    let mut ends = Ends::default();
    let (mut acknowledged, mut starts) = (0, 0);
    for round in 0..rounds {
        let home = tempfile::tempdir().expect("a temporary folder");
        let limits = match round % 2 {
            0 => format!("size={}k,nr_inodes=10000", random.random_range(4..6_000)),
            _ => format!("size=400m,nr_inodes={}", random.random_range(2..40)),
        };
        let disk = Tmpfs::mount(&home.path().join("disk"), &limits)?;
        let preallocate = ["64", "1024", "0"].choose(&mut random).expect("not empty");
        let setup = Setup::new(Kind::Oxkeeper, &home.path().join("server"))
            .line("dataDir", &disk.path().join("data").display().to_string())
            .line("snapCount", &random.random_range(20..3_000).to_string())
            .line("preAllocSize", preallocate);
        let mut written = Vec::new();
        match setup.try_start()? {
            Err(refused) => {
                starts += 1;
                assert!(
                    refused.code.is_some(),
                    "{limits}: ended by a signal:\n{}",
                    refused.log
                );
                assert!(
                    !refused.log.contains("panicked"),
                    "{limits}:\n{}",
                    refused.log
                );
            }
            Ok(server) => {
                // One after the other first: there may be no space for a single write.
                written.push(Written::one_by_one(server.address(), 0, 10));
                if written[0].acknowledged() == 10 {
                    written.extend(Load::start(server.address(), round + 1, 4).finish());
                }
                let (status, log) = server.wait(Duration::from_secs(20));
                check_end(&limits, status, &log);
                ends.note(status.expect("just checked"));
            }
        }
        acknowledged += written.iter().map(Written::acknowledged).sum::<usize>();
        disk.limit(ROOM);
        let server = setup.start()?;
        let mut client = Client::connect(server.address());
        written
            .iter()
            .for_each(|written| written.check(&mut client));
        client.create("/writable-again", b"", 0);
        client.close();
        server.kill();
    }
    say(format!(
        "   {rounds} full disks ({starts} too small to start on), {acknowledged} acknowledged \
         writes, 0 lost, 0 starts refused once there was space; the server ended with {ends:?}"
    ));
    Ok(())
}

#[track_caller]
fn check_end(limits: &str, status: Option<ExitStatus>, log: &str) {
    let code = status.map(|status| status.code());
    assert!(
        matches!(code, Some(Some(1 | 10))),
        "{limits}: {status:?}\n{log}"
    );
    assert!(
        log.contains("No space left on device"),
        "{limits}: no clear word:\n{log}"
    );
    assert!(!log.contains("panicked"), "{limits}:\n{log}");
}

/// The disk of a follower or of the leader gets full; the others go on.
pub(crate) fn ensemble() -> Result<(), Skip> {
    let rounds = rounds("OX_FULL_MEMBERS", 2);
    let mut random = seeded();
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut disks = Vec::new();
    for sid in 1..=3 {
        disks.push(Tmpfs::mount(
            &home.path().join(format!("server-{sid}/data")),
            ROOM,
        )?);
    }
    let plan = three_voters().line("snapCount", "100");
    let mut loaded = Loaded::start(&plan, home.path())?;
    let mut ends = Ends::default();
    for round in 0..rounds {
        loaded.go_on(20);
        let leader = loaded.ensemble.leader();
        let sid = match round % 2 {
            0 => leader,
            _ => *loaded
                .ensemble
                .learners()
                .choose(&mut random)
                .expect("followers"),
        };
        disks[sid - 1].leave(random.random_range(0..400_000));
        let (status, log) = loaded.ensemble.wait_for_end(sid);
        check_end("a member's disk", Some(status), &log);
        ends.note(status);
        loaded.go_on(50);
        disks[sid - 1].limit(ROOM);
        loaded.ensemble.start(sid)?;
        loaded.recover();
    }
    say(format!("   the members ended with {ends:?}"));
    loaded.finish(rounds, "a member's disk full")?;
    Ok(())
}
