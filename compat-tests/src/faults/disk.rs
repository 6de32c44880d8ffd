//! Disks made of files: a small tmpfs that fills up, and an ext4 of its own on a loop device,
//! whose power can be cut.
//!
//! A cut is the ioctl EXT4_IOC_SHUTDOWN without flushing the journal: what was synced is there
//! afterwards, what was not is there only if the kernel happened to have written it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{needs_root_and, run};
use crate::suite::{Skip, say};

/// How long the last user of a file system may take to go.
const BUSY: Duration = Duration::from_secs(20);

/// Opens each folder named and shuts its file system down, one right after the other: ioctl
/// EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH. In Perl, which every system has that can
/// mount anything, as an ioctl needs unsafe code in Rust.
const CUT: &str = r#"
    my @disks = map { open(my $disk, "<", $_) or die "$_: $!"; $disk } @ARGV;
    for my $disk (@disks) {
        my $flag = pack("L", 2);
        ioctl($disk, 0x8004587d, $flag) or die "ioctl: $!";
    }
"#;

/// A tmpfs with a limit.
#[derive(Debug)]
pub struct Tmpfs {
    at: PathBuf,
}

impl Tmpfs {
    /// Mounts one; `limits` as `mount` has them: `size=6m`, `nr_inodes=20`.
    pub fn mount(at: &Path, limits: &str) -> Result<Self, Skip> {
        needs_root_and(&["mount", "umount"])?;
        fs::create_dir_all(at).expect("a folder of ours");
        let path = text(at);
        match run(&["mount", "-t", "tmpfs", "-o", limits, "tmpfs", path]) {
            Ok(_) => Ok(Self {
                at: at.to_path_buf(),
            }),
            Err(error) => Err(Skip(format!("a tmpfs cannot be mounted here: {error}"))),
        }
    }

    /// Sets other limits.
    #[track_caller]
    pub fn limit(&self, limits: &str) {
        let options = format!("remount,{limits}");
        run(&["mount", "-o", &options, text(&self.at)]).expect("it was mounted by us");
    }

    /// Leaves so many bytes beside those that are used.
    #[track_caller]
    pub fn leave(&self, bytes: u64) {
        let space = rustix::fs::statvfs(&self.at).expect("a file system of ours");
        let used = (space.f_blocks - space.f_bfree) * space.f_frsize;
        self.limit(&format!("size={}", used + bytes));
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        unmount(&self.at);
    }
}

/// An ext4 in a file.
#[derive(Debug)]
pub struct Ext4 {
    image: PathBuf,
    at: PathBuf,
    mounted: bool,
}

impl Ext4 {
    /// Makes a file system in a sparse file `image` and mounts it at a folder.
    pub fn create(image: &Path, at: &Path, mebibytes: u64) -> Result<Self, Skip> {
        needs_root_and(&["mount", "umount", "mkfs.ext4", "perl"])?;
        fs::create_dir_all(at).expect("a folder of ours");
        let file = File::create(image).expect("a file of ours");
        file.set_len(mebibytes << 20).expect("a sparse file");
        run(&["mkfs.ext4", "-q", "-F", text(image)]).expect("a file system in a file");
        let mut disk = Self {
            image: image.to_path_buf(),
            at: at.to_path_buf(),
            mounted: false,
        };
        match disk.try_mount() {
            Ok(()) => Ok(disk),
            Err(error) => Err(Skip(format!("no loop device can be mounted here: {error}"))),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Mounts it again; the kernel reads its journal.
    #[track_caller]
    pub fn mount(&mut self) {
        self.try_mount().expect("it was mounted before");
    }

    /// Takes it away, once nobody uses it any more.
    #[track_caller]
    pub fn unmount(&mut self) {
        let deadline = Instant::now() + BUSY;
        while let Err(error) = run(&["umount", text(&self.at)]) {
            assert!(Instant::now() < deadline, "{error}");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.mounted = false;
    }

    /// Writes all of it to the disk.
    #[track_caller]
    pub fn sync(&self) {
        let folder = File::open(&self.at).expect("a folder of ours");
        rustix::fs::syncfs(&folder).expect("a disk that works");
    }

    fn try_mount(&mut self) -> Result<(), String> {
        run(&["mount", "-o", "loop", text(&self.image), text(&self.at)])?;
        self.mounted = true;
        Ok(())
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        if self.mounted {
            unmount(&self.at);
        }
    }
}

/// Cuts the power of disks at one moment. Whoever uses them gets errors from now on.
#[track_caller]
pub fn cut(disks: &[&Ext4]) {
    let mut words = vec!["perl", "-e", CUT];
    words.extend(disks.iter().map(|disk| text(&disk.at)));
    run(&words).expect("ext4 can be shut down");
}

/// For the end of a test, whatever became of it: a lazy one, as a server may not have let go of
/// its files yet.
fn unmount(at: &Path) {
    if let Err(error) = run(&["umount", "-l", text(at)]) {
        say(format!("   left behind: {error}"));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}
