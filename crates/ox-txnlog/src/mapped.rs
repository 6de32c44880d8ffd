//! A window of a log file mapped into memory, into which small batches are stored.
//!
//! Invariant: whoever looks at the file at any moment, also after this process was killed, finds
//! it ending before a batch or behind it, never within one. Source: storage.md 13.2.

#![expect(
    unsafe_code,
    reason = "stores through a shared mapping; nothing else in the workspace needs it"
)]

use std::fs::File;
use std::io;
use std::ptr;
use std::sync::atomic::{Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use crate::disk::Window;
use crate::format::{LENGTH_AT, PREFIX_LENGTH};

/// A part of a file, mapped shared and writable.
pub(crate) struct Mapped {
    map: MmapRaw,
    /// Offset in the file of the first mapped byte.
    start: u64,
}

impl Mapped {
    /// Maps `start..end` of a file, all of it allocated; `start` is a multiple of the page size.
    pub(crate) fn open(file: &File, start: u64, end: u64) -> io::Result<Self> {
        let length = usize::try_from(end - start).map_err(io::Error::other)?;
        let map = MmapOptions::new().offset(start).len(length).map_raw(file)?;
        Ok(Self { map, start })
    }

    /// The place of `from..to` within the mapping; `None` if not all of it is mapped.
    fn place(&self, from: u64, to: u64) -> Option<usize> {
        let place = usize::try_from(from.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(to.checked_sub(self.start)?).ok()?;
        (end <= self.map.len()).then_some(place)
    }
}

impl Window for Mapped {
    fn covers(&self, from: u64, to: u64) -> bool {
        self.place(from, to).is_some()
    }

    fn store(&mut self, at: u64, batch: &[u8]) {
        let place = self
            .place(at, at + batch.len() as u64)
            .expect("the caller asked whether the window covers the batch");
        let (checksum, rest) = batch.split_at(LENGTH_AT);
        let (length, rest) = rest
            .split_first_chunk::<{ PREFIX_LENGTH - LENGTH_AT }>()
            .expect("a batch begins with an entry");
        // SAFETY: `place..place + batch.len()` is within the mapping, as just checked, and
        // `batch` is memory of its own. The mapping is writable, nobody holds a reference into
        // it (`MmapRaw` gives none out), and `&mut self` makes this the only store. The pages
        // stay backed: their space was allocated before they were mapped, the file is cut only
        // after the window is dropped, and no other server touches it while `DirLock` is held.
        // `[u8; 4]` needs no alignment.
        unsafe {
            let to = self.map.as_mut_ptr().add(place);
            ptr::copy_nonoverlapping(checksum.as_ptr(), to, checksum.len());
            ptr::copy_nonoverlapping(rest.as_ptr(), to.add(PREFIX_LENGTH), rest.len());
            fence(Ordering::Release);
            to.add(LENGTH_AT).cast::<[u8; 4]>().write_volatile(*length);
        }
    }

    fn sync(&self, from: u64, to: u64) -> io::Result<()> {
        let place = self
            .place(from, to)
            .expect("the caller asked whether the window covers the range");
        let length = usize::try_from(to - from).map_err(io::Error::other)?;
        self.map.flush_range(place, length)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::format::push_entry;

    #[test]
    fn a_stored_batch_is_in_the_file_byte_for_byte() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 * 4096).unwrap();
        let mut window = Mapped::open(&file, 4096, 3 * 4096).unwrap();
        let mut batch = Vec::new();
        push_entry(b"the first payload", &mut batch);
        push_entry(&[7; 5000], &mut batch);
        window.store(4099, &batch);
        window.sync(4099, 4099 + batch.len() as u64).unwrap();
        let mut read = vec![0; batch.len()];
        file.read_exact_at(&mut read, 4099).unwrap();
        assert_eq!(read, batch);
    }

    #[test]
    fn a_window_covers_only_what_is_mapped() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 * 4096).unwrap();
        let window = Mapped::open(&file, 4096, 2 * 4096).unwrap();
        assert!(window.covers(4096, 8192));
        assert!(!window.covers(4095, 8192));
        assert!(!window.covers(4096, 8193));
    }
}
