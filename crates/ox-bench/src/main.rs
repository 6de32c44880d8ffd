//! `ox-bench`: Oxkeeper and Apache ZooKeeper 3.9.5 side by side, alone and as ensembles of three,
//! then what a million znodes cost.
//!
//! All servers run with fsync on, each on ports of its own and on the same file system, one kind at
//! a time, in turns. Load generator and servers share the machine, so what counts is operations per
//! CPU second of the servers. The last line is `N passed, N failed, N skipped`.

mod cluster;
mod compare;
mod load;
mod machine;
mod million;
mod report;
mod server;
mod workload;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use compare::Setup;
use report::{Report, say};
use workload::Workload;

/// Compares Oxkeeper with Apache ZooKeeper and measures a million znodes.
#[derive(Debug, Parser)]
struct Arguments {
    /// The oxkeeper binary.
    #[arg(long, default_value = "target/release/oxkeeper")]
    server: PathBuf,
    /// The folder with the jars of Apache ZooKeeper 3.9.5.
    #[arg(long, default_value = ".cache/jars")]
    jars: PathBuf,
    /// Where the servers keep their data; not on a tmpfs.
    #[arg(long, default_value = "target/bench")]
    data: PathBuf,
    /// How often each server is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each workload in each round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Seconds of load before a round that are left out.
    #[arg(long, default_value_t = 10)]
    warm_up: u64,
    /// One short round: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Only this part.
    #[arg(long)]
    only: Option<Part>,
    /// Only this workload, in the comparisons.
    #[arg(long)]
    workload: Option<Workload>,
}

/// What can be run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One server of each kind.
    Standalone,
    /// Three servers of each kind.
    Ensemble,
    /// A million znodes.
    Million,
}

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) rounds: usize,
    pub(crate) measure: Duration,
    pub(crate) warm_up: Duration,
}

/// Why the benchmark cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("a request failed")]
    Client(#[from] ox_client::Error),
    #[error("{0}")]
    Other(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => report.finish(),
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                say(format!("ox-bench: {error}"));
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, Error> {
    let seconds = |seconds: u64| Duration::from_secs(seconds);
    let workloads = arguments
        .workload
        .map_or(Workload::ALL.to_vec(), |only| vec![only]);
    let plan = match arguments.quick {
        true => Plan {
            workloads,
            rounds: 1,
            measure: seconds(2),
            warm_up: seconds(2),
        },
        false => Plan {
            workloads,
            rounds: arguments.rounds.max(1),
            measure: seconds(arguments.seconds),
            warm_up: seconds(arguments.warm_up),
        },
    };
    let data = folder(&arguments.data)?;
    machine::describe(&data)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting a runtime"))?;
    let mut report = Report::default();
    let oxkeeper = server::Kind::oxkeeper(&arguments.server)?;
    let apache = server::Kind::apache(&arguments.jars);
    runtime.block_on(async {
        let benchmarks = async {
            for part in Part::value_variants() {
                if arguments.only.is_some_and(|only| only != *part) {
                    continue;
                }
                let setup = match part {
                    Part::Standalone => Setup::Alone,
                    Part::Ensemble => Setup::Ensemble,
                    Part::Million => {
                        million::run(&plan, &oxkeeper, &data, &mut report).await?;
                        continue;
                    }
                };
                let apache = apache.as_ref();
                compare::run(setup, &plan, &oxkeeper, apache, &data, &mut report).await?;
            }
            Ok(())
        };
        tokio::select! {
            ended = benchmarks => ended,
            error = interruption() => Err(error),
        }
    })?;
    Ok(report)
}

/// Waits for SIGINT or SIGTERM. Both end the benchmark by way of an error, so that no server and
/// no data stay behind.
async fn interruption() -> Error {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => return Error::io("listening for SIGTERM")(error),
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Error::Other("interrupted".into())
}

/// The folder for data, made if need be.
fn folder(path: &Path) -> Result<PathBuf, Error> {
    let what = || format!("the folder {}", path.display());
    std::fs::create_dir_all(path).map_err(Error::io(what()))?;
    path.canonicalize().map_err(Error::io(what()))
}
