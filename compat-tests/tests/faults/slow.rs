//! Disks that are slow, and clocks that jump: nobody loses a session by it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use compat_tests::faults::seeded;
use compat_tests::faults::tracer::{Attached, Fault, Injection, needs_strace};
use compat_tests::server::{Kind, Setup};
use compat_tests::suite::{Skip, rounds, say};
use compat_tests::wire::{Client, Fields, create, op};
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::load::{Loaded, three_voters};

/// The log's syncs take so much longer.
fn delayed(milliseconds: u64) -> Injection {
    Injection {
        call: "fsync,fdatasync,msync".to_owned(),
        fault: Fault::Delay(milliseconds * 1000),
        when: None,
        file: None,
    }
}

/// Every sync takes longer than a session lasts.
pub(crate) fn standalone() -> Result<(), Skip> {
    needs_strace()?;
    let rounds = rounds("OX_SLOW_SYNCS", 2);
    let home = tempfile::tempdir().expect("a temporary folder");
    let setup = Setup::new(Kind::Oxkeeper, home.path()).line("tickTime", "500");
    let server = setup.start()?;
    let connect = || {
        let client = Client::handshake(server.address(), 0, &[0; 16], 1_000);
        client.expect("a handshake")
    };
    let (mut writer, mut idle) = (connect(), connect());
    assert_eq!((writer.timeout_ms, idle.timeout_ms), (1_000, 1_000));
    writer.create("/ephemeral", b"", 1);
    let out = home.path().join("trace");
    let _slow = Attached::to(
        &server,
        "SyncThread:0",
        &delayed(1_500),
        &setup.snapshots(),
        &out,
    );
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let begun = Instant::now();
        writer.send(op::CREATE, &create(&format!("/n{round}"), b"", 0));
        // Meanwhile both do what the libraries do, and no more.
        loop {
            idle.call(op::PING, &Fields::new());
            match writer.reply_within(Duration::from_millis(300)) {
                Ok(reply) if reply.xid == -2 => {}
                Ok(reply) => {
                    assert_eq!(reply.error, 0, "create in round {round}");
                    break;
                }
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                    writer.send_ping();
                }
                Err(error) => panic!("round {round}, after {:?}: {error}", begun.elapsed()),
            }
        }
        longest = longest.max(begun.elapsed());
    }
    assert!(
        Duration::from_millis(1_500) < longest,
        "the disk is not slow"
    );
    let (_, stat) = idle.get("/ephemeral").expect("its session has not expired");
    assert_eq!(stat.ephemeral_owner, writer.session);
    say(format!(
        "   {rounds} writes of up to {:.1} s in sessions of 1 s, none expired",
        longest.as_secs_f64()
    ));
    Ok(())
}

/// The disk of the leader, or of a follower, is slow for some seconds.
pub(crate) fn ensemble() -> Result<(), Skip> {
    needs_strace()?;
    let rounds = rounds("OX_SLOW_MEMBERS", 2);
    let mut random = seeded();
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut loaded = Loaded::start(&three_voters(), home.path())?;
    let mut rates: [Vec<u64>; 2] = [Vec::new(), Vec::new()];
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
        let delay = random.random_range(20..500);
        let out = home.path().join("trace");
        let data = loaded.ensemble.data(sid);
        let before = loaded.acknowledged();
        let slow = Attached::to(
            loaded.ensemble.server(sid),
            "SyncThread:0",
            &delayed(delay),
            &data,
            &out,
        );
        std::thread::sleep(Duration::from_secs(2));
        rates[round % 2].push((loaded.acknowledged() - before) / 2);
        drop(slow);
        loaded.recover();
    }
    say(format!(
        "   writes a second with a slow leader {:?}, with a slow follower {:?}",
        rates[0], rates[1]
    ));
    let history = loaded.finish(rounds, "slow disks (20 to 500 ms a sync)")?;
    assert_eq!(
        history.expired(),
        0,
        "sessions expired of which somebody was heard"
    );
    Ok(())
}

/// The wall clock jumps by up to a month, forth and back; the monotonic one does not.
pub(crate) fn clock_jumps() -> Result<(), Skip> {
    let library = faketime()?;
    let rounds = rounds("OX_CLOCK_JUMPS", 4);
    let mut random = seeded();
    let home = tempfile::tempdir().expect("a temporary folder");
    let clock = home.path().join("clock");
    fs::write(&clock, "+0").expect("a file of ours");
    let setup = Setup::new(Kind::Oxkeeper, &home.path().join("server"))
        .line("tickTime", "500")
        .environment("LD_PRELOAD", &library.display().to_string())
        .environment("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string())
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .environment("DONT_FAKE_MONOTONIC", "1");
    let server = setup.start()?;
    let mut client = Client::handshake(server.address(), 0, &[0; 16], 4_000).expect("a handshake");
    client.create("/ephemeral", b"", 1);
    client.create("/n", b"", 0);
    let (mut zxid, mut jumped, mut largest) = (0, 0, 0);
    for _ in 0..rounds {
        let days: i64 = random.random_range(-30..=30);
        fs::write(&clock, format!("{days:+}d")).expect("a file of ours");
        // Longer than a tick, in which sessions are looked through, with pings.
        let until = Instant::now() + Duration::from_millis(1_200);
        while Instant::now() < until {
            client.call(op::PING, &Fields::new());
            std::thread::sleep(Duration::from_millis(100));
        }
        let set = Fields::new().string("/n").buffer(Some(b"x")).int(-1);
        let reply = client.ok(op::SET_DATA, &set);
        assert!(zxid < reply.zxid, "zxids go on");
        zxid = reply.zxid;
        let (_, stat) = client.get("/n").expect("it is there");
        let behind = (stat.mtime - stat.ctime) / 86_400_000;
        assert!((behind - days).abs() <= 1, "{days} days, {behind} seen");
        jumped += usize::from(days != 0);
        largest = largest.max(days.abs());
        assert!(
            client.get("/ephemeral").is_some(),
            "expired by a jump of {days} days"
        );
    }
    server.kill();
    let server = setup.start()?;
    let mut client = Client::connect(server.address());
    let (_, stat) = client.get("/n").expect("it is there");
    assert_eq!(stat.mzxid, zxid);
    say(format!(
        "   {jumped} jumps of the wall clock by up to {largest} days, no session expired"
    ));
    Ok(())
}

/// The library that fakes the time of a program with several threads.
fn faketime() -> Result<PathBuf, Skip> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
    folders.extend(["/usr/lib", "/usr/local/lib"].map(PathBuf::from));
    let library = |folder: &PathBuf| folder.join("faketime/libfaketimeMT.so.1");
    let found = folders.iter().map(library).find(|path| path.exists());
    found.ok_or_else(|| Skip("no libfaketime".into()))
}
