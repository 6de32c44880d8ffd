//! `oxkeeper purge`: what `zkCleanup.sh` runs (`PurgeTxnLog`).

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use ox_txnlog::{DataDirs, MIN_RETAIN};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// dataLogDir, or dataDir if there is no other.
    log_dir: PathBuf,
    /// dataDir.
    snap_dir: Option<PathBuf>,
    /// How many snapshots to keep, 3 at least.
    #[arg(short = 'n', value_name = "COUNT", value_parser = count)]
    count: usize,
}

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&count| count >= MIN_RETAIN)
        .ok_or_else(|| format!("count should be greater than or equal to {MIN_RETAIN}"))
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let Arguments {
        log_dir,
        snap_dir,
        count,
    } = arguments;
    match delete(log_dir, snap_dir.as_ref().unwrap_or(log_dir), *count) {
        Ok(deleted) => {
            let mut out = std::io::stdout();
            for path in deleted {
                if writeln!(out, "Removing file: {}", path.display()).is_err() {
                    return ExitCode::FAILURE;
                }
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn delete(
    log_dir: &std::path::Path,
    snap_dir: &std::path::Path,
    count: usize,
) -> Result<Vec<PathBuf>, Box<dyn std::error::Error>> {
    let dirs = DataDirs::open(snap_dir, log_dir, false)?;
    Ok(ox_txnlog::purge(&dirs, count)?)
}
