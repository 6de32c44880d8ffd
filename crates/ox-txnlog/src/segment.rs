//! One log file while it is written.
//!
//! Invariants: the file's space is allocated before a byte is written into it, so a full disk is
//! an error between two batches and never a torn record or a SIGBUS; behind the last batch there
//! are zeros to the end of the file; the name `log.<zxid>` appears only on a file whose header
//! and first records are durable. Source: storage.md 3.1 and 13.1 to 13.3, design-measurements.md
//! 6.5 to 6.8.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ox_mutant::{Mutant, is_on};
use ox_proto::Zxid;

use crate::disk::{Disk, DiskFile, Open, Window};
use crate::error::{Doing, IoFailure};
use crate::format::{HEADER_LENGTH, LOG_DBID, LOG_MAGIC, header, log_name};
use crate::reader::LogReader;
use crate::zero_ahead::{AHEAD, DirectFile, STEP, ZeroAhead};

const PAGE: u64 = ZERO_PAGE.len() as u64;

const ZERO_PAGE: [u8; 4096] = [0; 4096];

/// Batches on up to so many pages are stored through the mapping; larger ones are cheaper to
/// write, because a sync protects every stored page again (design-measurements.md 1.1).
const MAPPED_PAGES: u64 = 1;

/// Begins the names of logs that are not whole yet; Java does not take them for logs.
pub(crate) const TEMPORARY: &str = "tmp.log.";

/// How segments are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentOptions {
    /// The file grows by so many bytes; 0 gives each batch only what it needs.
    pub(crate) chunk: u64,
    /// False leaves it to the operating system when anything reaches the disk.
    pub(crate) sync: bool,
    /// False writes every batch, storing none through a mapping.
    pub(crate) mapped: bool,
}

/// A log file that takes records.
pub(crate) struct Segment {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    options: SegmentOptions,
    /// Records end here.
    written: u64,
    /// Records are durable up to here.
    synced: u64,
    /// The file ends here.
    allocated: u64,
    /// Growing ahead of need failed; the next growth is one that must succeed.
    growth_refused: bool,
    window: Option<Box<dyn Window>>,
    zeros: Option<ZeroAhead>,
}

impl Segment {
    /// Begins the log that starts with the record `first`, with its first batch. On return the
    /// file, its name and the batch are durable (if `options.sync`). A file of that name is
    /// replaced if it holds no record: then it is what a crash has left.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        first: Zxid,
        batch: &[u8],
        options: SegmentOptions,
    ) -> Result<Self, IoFailure> {
        let path = dir.join(log_name(first));
        refuse_if_records(&**disk, &path).doing("begin a log in place of", &path)?;
        let temporary = dir.join(format!("{TEMPORARY}{:x}", first.0));
        let file = disk.open(&temporary, Open::Replace);
        let file = file.doing("create", &temporary)?;
        let mut segment = Self {
            path: temporary,
            file,
            options,
            written: 0,
            synced: 0,
            allocated: 0,
            growth_refused: false,
            window: None,
            zeros: None,
        };
        segment.reserve((HEADER_LENGTH + batch.len()) as u64)?;
        let direct = segment.zero_first_step(&**disk)?;
        segment.write(&header(LOG_MAGIC, LOG_DBID))?;
        segment.write(batch)?;
        segment.sync()?;
        disk.rename(&segment.path, &path)
            .doing("rename", &segment.path)?;
        segment.path = path;
        if options.sync && !is_on(Mutant::I06) {
            disk.sync_dir(dir).doing("sync", dir)?;
        }
        segment.zeros =
            direct.and_then(|direct| ZeroAhead::start(direct, segment.written, segment.allocated));
        Ok(segment)
    }

    /// Zeros the first step at once, before anything is stored there: later steps keep clear of
    /// the blocks that hold records.
    fn zero_first_step(&self, disk: &dyn Disk) -> Result<Option<DirectFile>, IoFailure> {
        if self.options.chunk < 2 * STEP || !self.options.sync {
            return Ok(None);
        }
        let Some(direct) = disk.open_direct(&self.path) else {
            return Ok(None);
        };
        let refused = |error: &io::Error| tracing::debug!(%error, "no zeros are written ahead");
        if direct.zero(0).inspect_err(refused).is_err() {
            return Ok(None);
        }
        direct.settle().doing("sync zeros in", &self.path)?;
        let read = direct.read_in(0).inspect_err(refused);
        Ok(read.is_ok().then_some(direct))
    }

    /// Writes a batch behind what was written before.
    pub(crate) fn write(&mut self, batch: &[u8]) -> Result<(), IoFailure> {
        let end = self.written + batch.len() as u64;
        self.reserve(end)?;
        if let Some(zeros) = &self.zeros {
            zeros.claim(end).doing("sync zeros in", &self.path)?;
        }
        if self.is_small(self.written, end) && self.map_window(end) {
            let window = self.window.as_mut().expect("just mapped");
            window.store(self.written, batch);
        } else {
            self.write_to_page_end(batch).doing("write", &self.path)?;
        }
        self.written = end;
        Ok(())
    }

    /// Writes a batch and zeros up to the end of its last page, which so need not be read first if
    /// it is not in the page cache.
    fn write_to_page_end(&self, batch: &[u8]) -> io::Result<()> {
        let end = self.written + batch.len() as u64;
        let page_end = end.next_multiple_of(PAGE).min(self.allocated);
        let zeros = usize::try_from(page_end - end).expect("less than a page");
        self.file
            .write_at([batch, &ZERO_PAGE[..zeros]], self.written)
    }

    /// True if a range is worth storing and syncing through the mapping.
    fn is_small(&self, from: u64, to: u64) -> bool {
        // The header comes first, into a file that nobody reads yet.
        from > 0 && to.div_ceil(PAGE) - from / PAGE <= MAPPED_PAGES
    }

    /// Makes sure that `written..end` is mapped; false if there is no mapping to be had.
    fn map_window(&mut self, end: u64) -> bool {
        let covered = |window: &dyn Window| window.covers(self.written, end);
        if self.options.mapped && !self.window.as_deref().is_some_and(covered) {
            let start = self.written - self.written % PAGE;
            self.window = self
                .file
                .map(start, self.allocated)
                .inspect_err(|error| tracing::warn!(path = ?self.path, %error, "cannot map"))
                .ok();
            // Refused once, it is not asked for again: writing works as well.
            self.options.mapped = self.window.is_some();
        }
        self.options.mapped
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<(), IoFailure> {
        if self.options.sync && self.synced < self.written {
            match &self.window {
                Some(window)
                    if self.is_small(self.synced, self.written)
                        && window.covers(self.synced, self.written) =>
                {
                    window.sync(self.synced, self.written)
                }
                _ => self.file.sync_data(),
            }
            .doing("sync", &self.path)?;
            if let Some(zeros) = &self.zeros {
                zeros.health().doing("sync zeros in", &self.path)?;
            }
        }
        self.synced = self.written;
        Ok(())
    }

    /// Allocates the file's space up to `end` at least, and keeps some in reserve.
    fn reserve(&mut self, end: u64) -> Result<(), IoFailure> {
        let chunk = self.options.chunk;
        if end > self.allocated {
            self.grow(match chunk {
                0 => end,
                _ => end.next_multiple_of(chunk),
            })
            .doing("allocate space in", &self.path)?;
        } else if self.allocated - end < AHEAD.min(chunk / 4) && !self.growth_refused {
            // Only so that zeros can be written ahead in time: there still is room enough.
            self.growth_refused = self.grow(self.allocated + chunk).is_err();
        }
        Ok(())
    }

    fn grow(&mut self, allocated: u64) -> io::Result<()> {
        let length = allocated - self.allocated;
        if !self.file.allocate(self.allocated, length)? {
            self.fill_with_zeros(allocated)?;
        }
        self.allocated = allocated;
        self.growth_refused = false;
        if let Some(zeros) = &self.zeros {
            zeros.extend(allocated);
        }
        Ok(())
    }

    /// Takes space on file systems that cannot allocate it, a page at a time: larger pieces would
    /// leave large pages in the cache (design-measurements.md 1.1).
    fn fill_with_zeros(&self, end: u64) -> io::Result<()> {
        let mut at = self.allocated;
        while end - at >= PAGE {
            self.file.write_at([&ZERO_PAGE, &[]], at)?;
            at += PAGE;
        }
        let rest = usize::try_from(end - at).expect("less than a page");
        self.file.write_at([&ZERO_PAGE[..rest], &[]], at)
    }

    /// Ends writing: gives the space behind the records back. They may still have to be synced.
    pub(crate) fn retire(&mut self) -> Result<(), IoFailure> {
        if let Some(zeros) = self.zeros.take() {
            zeros.end().doing("sync zeros in", &self.path)?;
        }
        self.window = None;
        self.options.mapped = false;
        self.file
            .set_length(self.written)
            .doing("cut the unused end of", &self.path)
    }

    /// Name of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the records end.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// True if nothing is left to sync.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced == self.written
    }

    /// Size of the file, unused space included.
    pub(crate) fn size(&self) -> u64 {
        self.allocated
    }

    #[cfg(test)]
    pub(crate) fn set_chunk(&mut self, chunk: u64) {
        self.options.chunk = chunk;
    }

    #[cfg(test)]
    pub(crate) fn wait_until_zeroed(&self) {
        if let Some(zeros) = &self.zeros {
            zeros.wait_until_far_ahead();
        }
    }
}

/// An error if a file holds a record.
fn refuse_if_records(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match LogReader::open(disk, path.to_path_buf(), usize::MAX) {
        Ok(Ok(mut reader)) => match reader.next().map_err(|failure| failure.source)? {
            Ok(zxid) => Err(io::Error::other(format!("it holds the record {zxid}"))),
            Err(_) => Ok(()),
        },
        Ok(Err(_)) => Ok(()),
        Err(failure) if failure.source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(failure) => Err(failure.source),
    }
}
