//! kill -9 at random moments under pipelined writes: no acknowledged write is lost, no start fails.
//!
//! Small snapCount and preAllocSize, so that the kills also meet new log files and snapshots.

use std::process::ExitCode;
use std::time::Duration;

use compat_tests::load::{Load, Written};
use compat_tests::server::{Kind, Server, Setup};
use compat_tests::suite::{self, Skip, rounds, say};
use compat_tests::wire::Client;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const WRITERS: usize = 4;

fn main() -> ExitCode {
    suite::main(
        "kill9",
        &[(
            "no_acknowledged_write_is_lost",
            no_acknowledged_write_is_lost,
        )],
    )
}

fn no_acknowledged_write_is_lost() -> Result<(), Skip> {
    let rounds = rounds("OX_KILL9_ROUNDS", 20);
    let seed: u64 = std::env::var("OX_SEED").map_or_else(
        |_| rand::random(),
        |text| text.parse().expect("OX_SEED is a number"),
    );
    say(format!(
        "   {rounds} rounds, OX_SEED={seed} (the moments of the kills)"
    ));
    let mut random = StdRng::seed_from_u64(seed);

    let home = tempfile::tempdir().expect("a temporary folder");
    let setup = Setup::new(Kind::under_test(), home.path())
        .line("snapCount", "3000")
        .line("preAllocSize", "1024");
    let mut all: Vec<Written> = Vec::new();
    let mut server = setup.start()?;
    for round in 0..rounds {
        let load = Load::start(server.address(), round, WRITERS);
        std::thread::sleep(Duration::from_micros(random.random_range(0..400_000)));
        server.kill();
        let written = load.finish();
        server = setup.start()?;
        check(&server, &written);
        all.extend(written);
    }
    check(&server, &all);
    server.kill();
    let acknowledged: usize = all.iter().map(Written::acknowledged).sum();
    say(format!(
        "   {rounds} kills, {acknowledged} acknowledged writes, all there"
    ));
    assert!(acknowledged > rounds, "hardly anything was written");
    Ok(())
}

/// Every acknowledged write is there, and the zxid has not gone back.
#[track_caller]
fn check(server: &Server, written: &[Written]) {
    let seen = written
        .iter()
        .map(|written| written.zxid)
        .max()
        .unwrap_or_default();
    assert!(
        server.last_zxid() >= seen,
        "zxid went back behind {seen:#x}"
    );
    let mut client = Client::connect(server.address());
    for written in written {
        written.check(&mut client);
    }
    client.close();
}
