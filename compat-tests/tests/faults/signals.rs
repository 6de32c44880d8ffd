//! Members of an ensemble that die at once, or stop for a while without knowing it.

use std::time::{Duration, Instant};

use compat_tests::ensemble::Sid;
use compat_tests::faults::seeded;
use compat_tests::suite::{Skip, rounds, say};
use compat_tests::wire::{Client, create, op};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::load::{Loaded, three_voters};

/// Longer than `syncLimit` (2 s) and than the load's sessions last (6 s).
const LONG: Duration = Duration::from_millis(6_500);
/// Longer than `syncLimit` only.
const MEDIUM: Duration = Duration::from_millis(2_500);
/// Shorter than both: nobody needs to notice.
const SHORT: Duration = Duration::from_millis(500);

/// kill -9 of one, two or all three members at random moments.
pub(crate) fn kills() -> Result<(), Skip> {
    let rounds = rounds("OX_ENSEMBLE_KILLS", 3);
    let mut random = seeded();
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut loaded = Loaded::start(&three_voters(), home.path())?;
    let mut killed = [0; 4];
    for _ in 0..rounds {
        loaded.go_on(20);
        std::thread::sleep(Duration::from_micros(random.random_range(0..50_000)));
        let victims = some(&mut random);
        victims.iter().for_each(|sid| loaded.ensemble.kill(*sid));
        killed[victims.len()] += 1;
        if victims.len() == 1 {
            loaded.go_on(1);
        }
        for sid in victims {
            loaded.ensemble.start(sid)?;
        }
        loaded.recover();
    }
    let what = format!("kill -9 (1, 2, 3 members: {:?})", &killed[1..]);
    loaded.finish(rounds, &what)?;
    Ok(())
}

/// One, two or all of three members.
fn some(random: &mut StdRng) -> Vec<Sid> {
    let count = random.random_range(1..=3);
    [1, 2, 3].sample(random, count).copied().collect()
}

/// SIGSTOP of the leader or a follower. What a sleeping leader was asked it may only say yes to if
/// it stays.
pub(crate) fn pauses() -> Result<(), Skip> {
    let rounds = rounds("OX_PAUSES", 2);
    let mut random = seeded();
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut loaded = Loaded::start(&three_voters(), home.path())?;
    let mut accepted = Vec::new();
    let mut told = (0, 0);
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
        let length = match round % 6 {
            0 | 1 => LONG,
            2 | 3 => MEDIUM,
            _ => SHORT,
        };
        let mut client = Client::connect(loaded.ensemble.address(sid));
        loaded.ensemble.pause(sid);
        let begun = Instant::now();
        let path = format!("/asked-in-its-sleep-{round}");
        client.send(op::CREATE, &create(&path, b"", 0));
        if sid != leader || SHORT < length {
            // The others go on meanwhile, without the leader after an election.
            loaded.go_on(1);
        }
        std::thread::sleep(length.saturating_sub(begun.elapsed()));
        loaded.ensemble.resume(sid);
        match client.reply_within(Duration::from_secs(5)) {
            Ok(reply) => {
                assert_eq!(reply.error, 0, "create {path}");
                accepted.push(path);
                told.0 += 1;
            }
            Err(_) => told.1 += 1,
        }
        loaded.recover();
    }
    let mut client = Client::connect(loaded.ensemble.address(loaded.ensemble.leader()));
    for path in accepted {
        assert!(client.get(&path).is_some(), "{path} was acknowledged");
    }
    say(format!(
        "   of the writes sent to sleepers {} were acknowledged and are there, {} lost their \
         connection",
        told.0, told.1
    ));
    loaded.finish(rounds, "SIGSTOP for 0.5, 2.5 and 6.5 s")?;
    Ok(())
}
