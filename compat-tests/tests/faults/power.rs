//! Power cuts: servers on ext4 disks of their own, whose power goes at random moments.
//!
//! In every other round some pages of the newest log are on their way to the disk when it
//! happens, in no order, as a kernel does it that is short of memory.

use std::fs::File;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use compat_tests::faults::disk::{Ext4, Tmpfs, cut};
use compat_tests::faults::seeded;
use compat_tests::load::{Load, Written};
use compat_tests::server::{Kind, Setup};
use compat_tests::suite::{Skip, rounds, say};
use compat_tests::wire::Client;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rustix::fs::{Advice, fadvise};

use crate::load::{Loaded, three_voters};

const WRITERS: usize = 4;
/// After so many rounds on the same data it begins with a new folder: the disk is small.
const GENERATION: usize = 8;
const PAGE: u64 = 4096;

/// One server; its disk goes under pipelined writes, or while it starts.
pub(crate) fn standalone() -> Result<(), Skip> {
    let rounds = rounds("OX_POWER_CUTS", 4);
    let mut random = seeded();
    let home = tempfile::tempdir().expect("a temporary folder");
    let memory = Tmpfs::mount(&home.path().join("memory"), "size=600m")?;
    let mut disk = Ext4::create(&memory.path().join("image"), &home.path().join("disk"), 512)?;
    let data = disk.path().join("data");
    let setup = Setup::new(Kind::Oxkeeper, &home.path().join("server"))
        .line("dataDir", &data.display().to_string())
        .line("snapCount", "2000")
        .line("preAllocSize", "1024");
    let mut all: Vec<Written> = Vec::new();
    let mut acknowledged = 0;
    let mut ends = Ends::default();
    for round in 0..rounds {
        let server = setup.start()?;
        let load = Load::start(server.address(), round, WRITERS);
        let writeback = (round % 2 == 1).then(|| Writeback::start(&data, random.random()));
        thread::sleep(Duration::from_micros(random.random_range(0..300_000)));
        cut(&[&disk]);
        drop(writeback);
        // It sees that by itself, and ends.
        let (status, log) = server.wait(Duration::from_secs(20));
        ends.note(status.unwrap_or_else(|| panic!("it goes on without a disk:\n{log}")));
        let written = load.finish();
        disk.unmount();
        disk.mount();
        if round % 4 == 3 {
            // Once more while it starts.
            let server = setup.spawn()?;
            thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
            cut(&[&disk]);
            server.kill();
            disk.unmount();
            disk.mount();
        }
        let server = setup.start()?;
        check(server.address(), &written);
        all.extend(written);
        if round % GENERATION == GENERATION - 1 || round + 1 == rounds {
            check(server.address(), &all);
            acknowledged += all
                .drain(..)
                .map(|written| written.acknowledged())
                .sum::<usize>();
            server.kill();
            std::fs::remove_dir_all(&data).expect("a folder of ours");
        } else {
            server.kill();
        }
    }
    disk.unmount();
    say(format!(
        "   {rounds} power cuts, {acknowledged} acknowledged writes, 0 lost, 0 starts refused; the \
         server ended with {ends:?}"
    ));
    Ok(())
}

/// An ensemble; the disks of one, two or all three members go at one moment.
pub(crate) fn ensemble() -> Result<(), Skip> {
    let rounds = rounds("OX_ENSEMBLE_POWER_CUTS", 2);
    let mut random = seeded();
    let home = tempfile::tempdir().expect("a temporary folder");
    let memory = Tmpfs::mount(&home.path().join("memory"), "size=1g")?;
    let mut disks = Vec::new();
    for sid in 1..=3 {
        let image = memory.path().join(format!("image-{sid}"));
        let data = home.path().join(format!("server-{sid}/data"));
        disks.push(Ext4::create(&image, &data, 256)?);
    }
    let mut loaded = Loaded::start(&three_voters(), home.path())?;
    // The ids of the servers were written by us and are not what is on trial.
    disks.iter().for_each(Ext4::sync);
    let mut counts = [0; 4];
    for round in 0..rounds {
        loaded.go_on(20);
        let writeback =
            (round % 2 == 1).then(|| Writeback::start(&loaded.ensemble.data(1), random.random()));
        thread::sleep(Duration::from_micros(random.random_range(0..200_000)));
        let count = if round % 3 == 2 {
            random.random_range(1..=2)
        } else {
            3
        };
        let victims: Vec<usize> = [1, 2, 3].sample(&mut random, count).copied().collect();
        power_cut(&mut loaded, &mut disks, &victims);
        drop(writeback);
        counts[count] += 1;
        if count == 1 {
            loaded.go_on(1);
        }
        for sid in &victims {
            loaded.ensemble.start(*sid)?;
        }
        if round % 4 == 3 {
            // Once more while they elect and synchronize.
            thread::sleep(Duration::from_micros(random.random_range(0..400_000)));
            power_cut(&mut loaded, &mut disks, &victims);
            counts[count] += 1;
            for sid in &victims {
                loaded.ensemble.start(*sid)?;
            }
        }
        loaded.recover();
    }
    let what = format!("power cuts (of 1, 2, 3 members: {:?})", &counts[1..]);
    loaded.finish(rounds, &what)?;
    Ok(())
}

/// Cuts the power of these members, and gives it back.
#[track_caller]
fn power_cut(loaded: &mut Loaded, disks: &mut [Ext4], sids: &[usize]) {
    let gone: Vec<&Ext4> = sids.iter().map(|sid| &disks[sid - 1]).collect();
    cut(&gone);
    for sid in sids {
        loaded.ensemble.kill(*sid);
        disks[sid - 1].unmount();
        disks[sid - 1].mount();
    }
}

#[track_caller]
fn check(address: std::net::SocketAddr, written: &[Written]) {
    let mut client = Client::connect(address);
    written
        .iter()
        .for_each(|written| written.check(&mut client));
    client.close();
}

/// How servers have ended: by an exit code, or by a signal.
#[derive(Default)]
pub(crate) struct Ends(std::collections::BTreeMap<String, usize>);

impl Ends {
    pub(crate) fn note(&mut self, status: std::process::ExitStatus) {
        *self.0.entry(status.to_string()).or_default() += 1;
    }
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(end, times)| format!("{end} ({times} times)"))
            .collect();
        formatter.write_str(&parts.join(", "))
    }
}

/// Has random pages of the newest log written to the disk, again and again.
struct Writeback {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writeback {
    fn start(data: &Path, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, data) = (Arc::clone(&stop), data.to_path_buf());
        let thread = thread::spawn(move || {
            let mut random = StdRng::seed_from_u64(seed);
            while !stopped.load(Ordering::Relaxed) {
                scatter(&data, &mut random);
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does nothing that fails");
        }
    }
}

/// The kernel starts to write the dirty pages of a range of which it hears that nobody needs it.
fn scatter(data: &Path, random: &mut StdRng) {
    let Some(log) = newest_log(data) else { return };
    let Ok(file) = File::open(log) else { return };
    let pages = file.metadata().map_or(0, |metadata| metadata.len() / PAGE);
    for _ in 0..8 {
        let page = random.random_range(0..pages.max(1));
        // Advice only; on a disk without power it does nothing.
        let _ = fadvise(&file, page * PAGE, NonZeroU64::new(PAGE), Advice::DontNeed);
    }
}

fn newest_log(data: &Path) -> Option<PathBuf> {
    let logs = std::fs::read_dir(data)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    let logs = logs.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("log."))
    });
    logs.max_by_key(|path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    })
}
