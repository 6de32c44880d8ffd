//! A disk that takes data and then cannot keep it: an ext4 larger than the memory its image lies
//! in. The file system has space, and the kernel finds out when it writes the pages back that the
//! disk has none.
//!
//! Expected: the first sync that fails ends the server, and after the disk has been repaired every
//! acknowledged write is there. A server that tried again would get "OK" for pages that are gone.

use std::time::Duration;

use compat_tests::faults::disk::{Ext4, Tmpfs};
use compat_tests::faults::seeded;
use compat_tests::load::{Load, Written};
use compat_tests::server::{Kind, Setup};
use compat_tests::suite::{Skip, rounds, say};
use compat_tests::wire::Client;
use rand::RngExt;

use crate::power::Ends;

/// More than what any round leaves the server.
const REPAIRED: &str = "size=600m";

pub(crate) fn write_back_errors() -> Result<(), Skip> {
    let rounds = rounds("OX_WRITE_BACK_ERRORS", 2);
    let mut random = seeded();
    let mut ends = Ends::default();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let home = tempfile::tempdir().expect("a temporary folder");
        let memory = Tmpfs::mount(&home.path().join("memory"), REPAIRED)?;
        let image = memory.path().join("image");
        let mut disk = Ext4::create(&image, &home.path().join("disk"), 256)?;
        disk.sync();
        let data = disk.path().join("data");
        let preallocate = ["256", "1024", "65536"][round % 3];
        let setup = Setup::new(Kind::Oxkeeper, &home.path().join("server"))
            .line("dataDir", &data.display().to_string())
            .line("snapCount", if round % 2 == 0 { "1000000" } else { "5000" })
            .line("preAllocSize", preallocate);
        let server = setup.start()?;
        let load = Load::start(server.address(), round, if round % 4 == 3 { 1 } else { 4 });
        memory.leave(random.random_range(0..8 << 20));
        let (status, log) = server.wait(Duration::from_secs(120));
        let status = status.unwrap_or_else(|| panic!("it goes on with a broken disk:\n{log}"));
        assert!(!log.contains("panicked"), "{log}");
        ends.note(status);
        let written = load.finish();
        acknowledged += written.iter().map(Written::acknowledged).sum::<usize>();

        memory.limit(REPAIRED);
        disk.unmount();
        disk.mount();
        let server = setup.start()?;
        let mut client = Client::connect(server.address());
        written
            .iter()
            .for_each(|written| written.check(&mut client));
        client.create("/writable-again", b"", 0);
        client.close();
        server.kill();
        disk.unmount();
    }
    say(format!(
        "   {rounds} disks that broke, {acknowledged} acknowledged writes, 0 lost, 0 starts refused; \
         the server ended with {ends:?}"
    ));
    Ok(())
}
