//! Which code an input reaches, if the program was built to count that.
//!
//! Built with `-C passes=sancov-module` and inline 8-bit counters, every block of code has a
//! counter, and each unit of code tells of its counters before `main`. Without these flags there
//! are none, and inputs are damaged blindly.

#![expect(unsafe_code, reason = "the counters are memory that the compiler owns")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// Counters, eight at a time, since most of them are zero.
type Unit = &'static [AtomicU64];

/// The counters of all units.
static UNITS: Mutex<Vec<Unit>> = Mutex::new(Vec::new());

/// Told by instrumented code of its counters.
///
/// # Safety
///
/// `start..stop` are the counters of a unit, which live as long as the program.
#[unsafe(no_mangle)]
unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *const AtomicU8, stop: *const u8) {
    let length = stop.addr().saturating_sub(start.addr());
    if length == 0 {
        return;
    }
    // SAFETY: the caller's promise. The code increments them without atomic operations, which
    // loses a count at worst where two threads meet.
    let counters = unsafe { std::slice::from_raw_parts(start, length) };
    // SAFETY: any eight bytes are a number. The few that are not aligned go uncounted.
    let (_, counters, _) = unsafe { counters.align_to::<AtomicU64>() };
    if let Ok(mut units) = UNITS.lock()
        && units.iter().all(|unit| unit.as_ptr() != counters.as_ptr())
    {
        units.push(counters);
    }
}

/// What inputs have reached so far.
#[derive(Debug)]
pub(crate) struct Coverage {
    units: Vec<Unit>,
    /// For each counter the ranges that its counts have been in, one bit each.
    seen: Vec<Vec<[u8; 8]>>,
    blocks: usize,
}

impl Coverage {
    pub(crate) fn new() -> Self {
        let units = UNITS.lock().map(|units| units.clone()).unwrap_or_default();
        let seen = units.iter().map(|unit| vec![[0; 8]; unit.len()]).collect();
        Self {
            units,
            seen,
            blocks: 0,
        }
    }

    /// Whether anything is counted.
    pub(crate) fn is_counted(&self) -> bool {
        !self.units.is_empty()
    }

    /// How many blocks of code have been reached.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Begins to count anew.
    pub(crate) fn reset(&self) {
        for counters in self.units.iter().copied().flatten() {
            if counters.load(Relaxed) != 0 {
                counters.store(0, Relaxed);
            }
        }
    }

    /// Whether something was reached since then that had not been before, or not as often.
    pub(crate) fn is_news(&mut self) -> bool {
        let mut news = false;
        for (unit, seen) in self.units.iter().zip(&mut self.seen) {
            for (counters, seen) in unit.iter().zip(seen) {
                let counts = counters.load(Relaxed);
                if counts == 0 {
                    continue;
                }
                for (count, seen) in counts.to_ne_bytes().into_iter().zip(seen) {
                    let range = range(count);
                    if range & !*seen != 0 {
                        self.blocks += usize::from(*seen == 0);
                        *seen |= range;
                        news = true;
                    }
                }
            }
        }
        news
    }
}

/// Counts are told apart by their size only.
fn range(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        128.. => 128,
    }
}
