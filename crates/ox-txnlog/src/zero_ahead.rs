//! Writes zeros ahead of the records, so that a sync finds its space really written.
//!
//! Space that is only allocated costs every sync an extra journal write. The zeros go past the
//! page cache, because zeroing through it in large pieces leaves it with pages so large that one
//! small record dirties a megabyte; afterwards the pages are read in if they are going to be stored
//! to. Source: design-measurements.md 1.1, 1.2 and 6.7.
//!
//! Invariant: a step of zeros never touches a block that the log has claimed. The log claims
//! space before it writes there and waits for a step under way that overlaps. A sync that failed
//! here is one of the log's file: the log hears of it and takes nothing more.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use memmap2::{Advice, MmapOptions};
use rustix::fs::OFlags;

/// One step, and the alignment of its ends: no page of the cache is so large that it could hold
/// both records and the zeros of a step.
pub(crate) const STEP: u64 = ZEROS.0.len() as u64;

/// How far ahead of the records zeros are kept.
pub(crate) const AHEAD: u64 = 4 << 20;

/// A log that has overtaken the zeros is let run on before zeroing begins again in front of it.
const HEAD_START: u64 = 4 * STEP;

/// Between two steps, so that syncs of the log are not kept waiting.
const PAUSE: Duration = Duration::from_millis(5);

/// Bytes per batch up to which pages are read in: larger ones are written, and that needs no page
/// that is there already.
const SMALL: u64 = 4 << 10;

/// Direct IO wants its memory aligned, too.
#[repr(align(4096))]
struct Zeros([u8; 256 << 10]);

static ZEROS: Zeros = Zeros([0; 256 << 10]);

/// A file opened beside the page cache.
#[derive(Debug)]
pub struct DirectFile {
    file: File,
    path: PathBuf,
}

impl DirectFile {
    /// `None` where the file system has no direct IO, as in memory.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).expect("an open flag");
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path)
            .inspect_err(|error| tracing::debug!(?path, %error, "no zeros are written ahead"))
            .ok()?;
        let path = path.to_path_buf();
        Some(Self { file, path })
    }

    /// Writes one step of zeros.
    pub(crate) fn zero(&self, start: u64) -> io::Result<()> {
        self.file.write_all_at(&ZEROS.0, start)
    }

    /// Makes zeroed space durable as such.
    pub(crate) fn settle(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Reads one step into the page cache.
    pub(crate) fn read_in(&self, start: u64) -> io::Result<()> {
        let map = MmapOptions::new()
            .offset(start)
            .len(ZEROS.0.len())
            .map_raw_read_only(&self.file)?;
        // Kernels before 5.14 do not know it; then the pages are read when they are stored to.
        let _ = map.advise(Advice::PopulateRead);
        Ok(())
    }
}

/// The thread that keeps zeros ahead of a log, and what it shares with the log.
pub(crate) struct ZeroAhead {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// The thread waits here for work or the end.
    wake: Condvar,
    /// The log waits here for a step that overlaps its claim.
    stepped: Condvar,
}

struct State {
    /// The log has written, or is writing, up to here.
    claimed: u64,
    /// Bytes of a batch, on average of late.
    batch: u64,
    /// The file's space ends here.
    allocated: u64,
    /// Zeros are on the disk up to here, as far as the log has not gone past it.
    zeroed: u64,
    /// The step under way begins here.
    step: Option<u64>,
    /// A sync has failed; the thread has ended.
    failed: Option<io::Error>,
    /// The thread waits for a step to become due. While it rests between two it is not to be woken.
    idle: bool,
    stop: bool,
}

impl State {
    /// The log writes a batch that ends at `end`.
    fn claim(&mut self, end: u64) {
        /// Batches that the average goes back.
        const OF_LATE: u64 = 16;
        let batch = end - self.claimed;
        self.batch = (self.batch * (OF_LATE - 1) + batch) / OF_LATE;
        self.claimed = end;
    }

    fn health(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn has_small_batches(&self) -> bool {
        self.batch <= SMALL
    }

    /// Where the next step begins, if one is due.
    fn due(&self) -> Option<u64> {
        let start = match self.claimed > self.zeroed {
            true => (self.claimed + HEAD_START).next_multiple_of(STEP),
            false => self.zeroed,
        };
        let fits = start + STEP <= self.allocated && start < self.claimed + AHEAD;
        fits.then_some(start)
    }
}

impl ZeroAhead {
    /// Keeps zeros ahead in a log whose first step is done and which has written up to `claimed`.
    /// `None` if no thread can be had: a log works without, only slower.
    pub(crate) fn start(direct: DirectFile, claimed: u64, allocated: u64) -> Option<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                claimed,
                batch: 0,
                allocated,
                zeroed: STEP,
                step: None,
                failed: None,
                idle: false,
                stop: false,
            }),
            wake: Condvar::new(),
            stepped: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("log zeros".to_owned())
            .spawn(move || theirs.run(&direct))
            .inspect_err(|error| tracing::warn!(%error, "no zeros are written ahead"))
            .ok()?;
        Some(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Claims everything before `end` for records, waiting for a step that is in the way.
    pub(crate) fn claim(&self, end: u64) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.claim(end);
        while state.step.is_some_and(|start| start < end) {
            state = (self.shared.stepped.wait(state)).expect("the thread of zeros never panics");
        }
        if state.idle && state.due().is_some() {
            self.shared.wake.notify_one();
        }
        state.health()
    }

    /// An error if a sync of the file has failed here.
    pub(crate) fn health(&self) -> io::Result<()> {
        self.shared.lock().health()
    }

    /// Ends the thread; an error if a sync of the file has failed here.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.join();
        self.health()
    }

    fn join(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes zeros ahead panicked");
        }
    }

    /// Tells that the file's space now ends at `allocated`.
    pub(crate) fn extend(&self, allocated: u64) {
        self.shared.lock().allocated = allocated;
        self.shared.wake.notify_one();
    }

    /// Waits until no step is due any more.
    #[cfg(test)]
    pub(crate) fn wait_until_far_ahead(&self) {
        let mut state = self.shared.lock();
        while state.failed.is_none() && (state.step.is_some() || state.due().is_some()) {
            state = self.shared.stepped.wait(state).unwrap();
        }
    }
}

impl Drop for ZeroAhead {
    fn drop(&mut self) {
        self.join();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nobody panics while holding this lock")
    }

    fn run(&self, direct: &DirectFile) {
        while let Some(start) = self.next_step() {
            let zeroed = direct.zero(start);
            let has_small_batches = {
                let mut state = self.lock();
                state.step = None;
                state.zeroed = start + STEP;
                self.stepped.notify_one();
                state.has_small_batches()
            };
            let settled = zeroed.is_ok().then(|| direct.settle());
            if let Some(Err(error)) = settled {
                // It was a sync of the records in the file as well.
                self.lock().failed = Some(error);
                self.stepped.notify_one();
                return;
            }
            let ready = zeroed.and_then(|()| match has_small_batches {
                true => direct.read_in(start),
                false => Ok(()),
            });
            if let Err(error) = ready {
                // The log goes on in space that is merely allocated.
                tracing::warn!(path = ?direct.path, start, %error, "cannot write zeros ahead");
                return;
            }
            let state = self.lock();
            let paused = self
                .wake
                .wait_timeout_while(state, PAUSE, |state| !state.stop);
            drop(paused.expect("nobody panics while holding this lock"));
        }
    }

    /// Waits until a step is due, and begins it; `None` at the end.
    fn next_step(&self) -> Option<u64> {
        let mut state = self.lock();
        loop {
            if state.stop {
                return None;
            }
            if let Some(start) = state.due() {
                state.step = Some(start);
                return Some(start);
            }
            state.idle = true;
            state = (self.wake.wait(state)).expect("nobody panics while holding this lock");
            state.idle = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn state(claimed: u64, zeroed: u64, allocated: u64) -> State {
        State {
            claimed,
            batch: 0,
            allocated,
            zeroed,
            step: None,
            failed: None,
            idle: false,
            stop: false,
        }
    }

    #[test]
    fn a_claim_waits_for_a_step_in_its_way_and_for_no_other() {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                step: Some(STEP),
                ..state(100, STEP, 1 << 30)
            }),
            wake: Condvar::new(),
            stepped: Condvar::new(),
        });
        let zeros = ZeroAhead {
            shared: Arc::clone(&shared),
            thread: None,
        };
        zeros.claim(STEP).unwrap();
        let (claimed, wait) = mpsc::channel();
        let log = thread::spawn(move || {
            zeros.claim(STEP + 1).unwrap();
            claimed.send(()).unwrap();
        });
        assert!(wait.recv_timeout(Duration::from_millis(50)).is_err());
        shared.lock().step = None;
        shared.stepped.notify_one();
        wait.recv().unwrap();
        log.join().unwrap();
    }

    #[test]
    fn a_failed_sync_is_reported_to_the_log() {
        // A device that takes every write and cannot be synced.
        let path = PathBuf::from("/dev/null");
        let file = File::options().write(true).open(&path).unwrap();
        let zeros = ZeroAhead::start(DirectFile { file, path }, 100, 1 << 30).unwrap();
        zeros.wait_until_far_ahead();
        assert!(zeros.claim(200).is_err());
    }

    #[test]
    fn batches_are_small_until_many_large_ones_have_come_and_again_after_some_small_ones() {
        let mut state = state(0, AHEAD, 1 << 30);
        let mut claim = |batch, times| {
            for _ in 0..times {
                state.claim(state.claimed + batch);
            }
            state.has_small_batches()
        };
        assert!(claim(SMALL / 2, 30));
        assert!(claim(4 * SMALL, 1), "one large batch is no load");
        assert!(!claim(2 * SMALL, 30));
        assert!(claim(200, 30));
    }

    #[test]
    fn steps_follow_each_other_until_far_enough_ahead() {
        assert_eq!(state(100, STEP, 1 << 30).due(), Some(STEP));
        assert_eq!(state(100, AHEAD, 1 << 30).due(), Some(AHEAD));
        assert_eq!(state(100, AHEAD + STEP, 1 << 30).due(), None);
    }

    #[test]
    fn a_step_never_goes_beyond_the_allocated_space() {
        assert_eq!(state(100, STEP, 2 * STEP).due(), Some(STEP));
        assert_eq!(state(100, STEP, 2 * STEP - 1).due(), None);
    }

    #[test]
    fn zeros_that_were_overtaken_begin_again_well_in_front_of_the_log() {
        let state = state(3 * STEP + 1, STEP, 1 << 30);
        assert_eq!(state.due(), Some(8 * STEP));
    }
}
