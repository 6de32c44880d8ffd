//! Fuzzes for as long as it is told to, and prints a table.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ox_fuzz::{Budget, Failure, Outcome, TARGETS, Target};

/// Damages what every reader of bytes reads.
#[derive(Parser)]
struct Arguments {
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Determines the damage.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the targets whose names hold this.
    #[arg(long, default_value = "")]
    target: String,
    /// Runs one file instead of anything else.
    #[arg(long)]
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    match work(&arguments, &mut out) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(out, "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers how many targets have failed.
fn work(arguments: &Arguments, out: &mut impl Write) -> std::io::Result<usize> {
    let is_meant = |target: &&Target| target.name.contains(&arguments.target);
    let meant: Vec<&Target> = TARGETS.iter().filter(is_meant).collect();
    if let Some(path) = &arguments.input {
        let input = std::fs::read(path)?;
        // Without catching anything: the panic says where it comes from.
        meant.iter().for_each(|target| (target.run)(&input));
        return Ok(0);
    }
    ox_fuzz::catch_panics();
    let budget = Budget::Time(Duration::from_secs(arguments.seconds));
    let running = std::env::temp_dir().join(format!("ox-fuzz-{}", std::process::id()));
    writeln!(out, "the input that runs is in {}", running.display())?;
    writeln!(
        out,
        "{:16} {:>10} {:>7} {:>7}  result",
        "target", "inputs", "kept", "blocks"
    )?;
    let mut failed = 0;
    for target in &meant {
        let Outcome {
            inputs,
            kept,
            blocks,
            failure,
        } = ox_fuzz::run(target, arguments.seed, budget, Some(&running))?;
        write!(out, "{:16} {inputs:10} {kept:7} {blocks:7}  ", target.name)?;
        match failure {
            None => writeln!(out, "ok")?,
            Some(failure) => {
                failed += 1;
                let path = keep(target, &failure)?;
                writeln!(out, "FAILED: {}\n  {}", failure.fault, path.display())?;
            }
        }
        out.flush()?;
    }
    std::fs::remove_file(&running)?;
    let (passed, skipped) = (meant.len() - failed, TARGETS.len() - meant.len());
    writeln!(out, "{passed} passed, {failed} failed, {skipped} skipped")?;
    Ok(failed)
}

/// Keeps an input that fails among the regressions.
fn keep(target: &Target, failure: &Failure) -> std::io::Result<PathBuf> {
    let folder = ox_fuzz::folder("regressions", target);
    std::fs::create_dir_all(&folder)?;
    let sum = failure.input.iter().fold(0_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
    });
    let path = folder.join(format!("{sum:08x}"));
    std::fs::write(&path, &failure.input)?;
    Ok(path)
}
