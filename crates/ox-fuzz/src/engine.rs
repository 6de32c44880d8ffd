//! Runs a target on its corpus, and on what becomes of it by damage.
//!
//! Invariant: a seed and a number of inputs determine what is run, as long as nothing is counted
//! as coverage. Each input is judged alone: no panic in any thread, no more memory than its length
//! allows, no more time than any may take.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::memory::measured;
use crate::mutate::mutate;
use crate::random::Random;

/// What is fed with bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Reads the bytes. To panic is to fail.
    pub run: fn(&[u8]),
    /// The most memory it may have in use for an input: so many bytes, and for each byte of the
    /// input so many more.
    pub memory: (usize, usize),
    /// The longest input, in bytes.
    pub longest: usize,
    /// What its inputs are likely to hold.
    pub words: &'static [&'static [u8]],
    /// Inputs of a short run.
    pub short: usize,
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// After so many damaged inputs.
    Inputs(usize),
    /// After so long.
    Time(Duration),
}

/// What a run has found.
#[derive(Debug)]
pub struct Outcome {
    /// How many inputs were run.
    pub inputs: usize,
    /// How many were worth keeping.
    pub kept: usize,
    /// How much code was reached, in blocks; 0 if it was not counted.
    pub blocks: usize,
    /// The first failure.
    pub failure: Option<Failure>,
}

/// An input that a target cannot take.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The input, made small.
    pub input: Vec<u8>,
    /// What happened.
    pub fault: Fault,
}

/// What a target did that it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It panicked.
    Panic(String),
    /// It had so many bytes in use.
    Memory(usize),
    /// It took so long.
    Slow(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(message) => write!(out, "panic: {message}"),
            Self::Memory(bytes) => write!(out, "{bytes} bytes of memory"),
            Self::Slow(time) => write!(out, "took {time:?}"),
        }
    }
}

/// No input may take longer, on a machine that is busy.
const LONGEST_TIME: Duration = Duration::from_secs(5);

/// Steps to make a failing input smaller.
const SHRINKING: usize = 2_000;

/// Where panics of any thread leave their message.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// The folder of a target's inputs of this kind, `corpus` or `regressions`.
pub fn folder(kind: &str, target: &Target) -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.join(kind).join(target.name)
}

/// Reads the inputs of a folder, in the order of their names. A folder that is not there has none.
///
/// # Errors
/// A file cannot be read.
pub fn inputs(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths: Vec<PathBuf> = match folder.read_dir() {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    paths.sort();
    paths.iter().map(std::fs::read).collect()
}

/// Keeps panics quiet and their messages for the judge. Once, before anything is run.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut panic) = PANIC.lock() {
            panic.get_or_insert(info.to_string());
        }
    }));
}

/// Runs one input.
///
/// # Errors
/// What it must not do.
pub fn judge(target: &Target, input: &[u8]) -> Result<(), Fault> {
    let begun = Instant::now();
    let (result, peak) = measured(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    let taken = begun.elapsed();
    let message = PANIC.lock().ok().and_then(|mut panic| panic.take());
    if message.is_some() || result.is_err() {
        return Err(Fault::Panic(message.unwrap_or_default()));
    }
    let (base, per_byte) = target.memory;
    if base + per_byte * input.len() < peak {
        return Err(Fault::Memory(peak));
    }
    match taken {
        taken if LONGEST_TIME < taken => Err(Fault::Slow(taken)),
        _ => Ok(()),
    }
}

/// Runs a target's corpus, its regressions, and damaged inputs within the budget. Each input stands
/// in the file `running` while it is run, for one that ends the process takes all else with it.
///
/// # Errors
/// The corpus cannot be read, or the file cannot be written.
pub fn run(
    target: &Target,
    seed: u64,
    budget: Budget,
    running: Option<&Path>,
) -> io::Result<Outcome> {
    let running = running.map(File::create).transpose()?;
    let mut corpus = inputs(&folder("corpus", target))?;
    corpus.extend(inputs(&folder("regressions", target))?);
    corpus.push(Vec::new());
    let mut coverage = Coverage::new();
    let mut outcome = Outcome {
        inputs: 0,
        kept: 0,
        blocks: 0,
        failure: None,
    };
    let begun = Instant::now();
    let mut random = Random::new(seed);
    let mut next = 0;
    let given = corpus.len();
    loop {
        let input = match corpus.get(next).filter(|_| next < given) {
            Some(input) => input.clone(),
            None if is_over(budget, next - given, begun) => break,
            None => damaged(target, &corpus, &mut random),
        };
        if let Some(file) = &running {
            file.write_all_at(&input, 0)?;
            file.set_len(u64::try_from(input.len()).unwrap_or(0))?;
        }
        coverage.reset();
        let verdict = judge(target, &input);
        outcome.inputs += 1;
        if let Err(fault) = verdict {
            let input = shrink(target, input, &fault);
            outcome.failure = Some(Failure { input, fault });
            break;
        }
        if coverage.is_news() && given <= next {
            corpus.push(input);
        }
        next += 1;
    }
    outcome.kept = corpus.len();
    outcome.blocks = if coverage.is_counted() {
        coverage.blocks()
    } else {
        0
    };
    Ok(outcome)
}

fn is_over(budget: Budget, run: usize, begun: Instant) -> bool {
    match budget {
        Budget::Inputs(inputs) => inputs <= run,
        Budget::Time(time) => time <= begun.elapsed(),
    }
}

fn damaged(target: &Target, corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut pick = || random.pick(corpus).cloned().unwrap_or_default();
    let (mut input, other) = (pick(), pick());
    mutate(&mut input, &other, target.words, target.longest, random);
    input
}

/// Cuts pieces out of a failing input as long as it fails in the same way.
fn shrink(target: &Target, mut input: Vec<u8>, fault: &Fault) -> Vec<u8> {
    let same = |other: &Fault| std::mem::discriminant(fault) == std::mem::discriminant(other);
    if matches!(fault, Fault::Slow(_)) {
        return input;
    }
    let mut piece = input.len();
    let mut steps = 0;
    while 0 < piece {
        let mut at = 0;
        while at < input.len() && steps < SHRINKING {
            steps += 1;
            let mut shorter = input.clone();
            shorter.drain(at..(at + piece).min(input.len()));
            match judge(target, &shorter) {
                Err(found) if same(&found) => input = shorter,
                Ok(()) | Err(_) => at += piece,
            }
        }
        piece /= 2;
    }
    input
}
