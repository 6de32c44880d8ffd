//! A full disk stops the server with a clear word, and takes nothing that was acknowledged.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use compat_tests::load::Load;
use compat_tests::server::{Kind, Setup};
use compat_tests::suite::{self, Skip, say};
use compat_tests::wire::Client;

fn main() -> ExitCode {
    suite::main(
        "disk_full",
        &[
            ("of_log_records", || fills_up("100000", "256")),
            ("of_snapshots_and_new_logs", || fills_up("2000", "64")),
        ],
    )
}

/// Writers fill a small disk until the server gives up; with more space it starts again.
fn fills_up(snap_count: &str, preallocate_kb: &str) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let disk = SmallDisk::mount(&home.path().join("disk"), "6m")?;
    let setup = Setup::new(Kind::under_test(), &home.path().join("server"))
        .line("dataDir", &disk.0.join("data").display().to_string())
        .line("snapCount", snap_count)
        .line("preAllocSize", preallocate_kb);
    let server = setup.start()?;
    let load = Load::start(server.address(), 0, 4);
    let (status, log) = server.wait(Duration::from_secs(120));
    let status = status.unwrap_or_else(|| panic!("still there on a full disk:\n{log}"));
    let written = load.finish();
    if Kind::under_test() == Kind::Oxkeeper {
        // A snapshot that finds no space is only missed; the log decides.
        assert_eq!(status.code(), Some(1), "exit code:\n{log}");
        assert!(
            log.contains("No space left on device"),
            "no clear word:\n{log}"
        );
        assert!(
            log.contains("version-2"),
            "the word does not name the file:\n{log}"
        );
        assert!(!log.contains("panicked"), "{log}");
    }
    let acknowledged: usize = written.iter().map(|written| written.acknowledged()).sum();
    say(format!("   full after {acknowledged} acknowledged writes"));

    disk.grow("64m");
    let server = setup.start()?;
    let mut client = Client::connect(server.address());
    written
        .iter()
        .for_each(|written| written.check(&mut client));
    client.create("/writable-again", b"", 0);
    client.close();
    server.kill();
    Ok(())
}

/// A tmpfs of a few megabytes.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Result<Self, Skip> {
        std::fs::create_dir_all(at).expect("a folder of ours");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if mounted {
            Ok(Self(at.to_path_buf()))
        } else {
            Err(Skip("a tmpfs cannot be mounted here (needs root)".into()))
        }
    }

    fn grow(&self, size: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(&self.0)
            .status()
            .expect("mount was there before");
        assert!(status.success(), "the disk cannot be made larger");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy one: the server may not have let go of its files yet.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
