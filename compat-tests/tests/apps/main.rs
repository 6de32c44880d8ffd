//! Applications that keep their state in ZooKeeper, on three servers of ours and on three of Apache
//! ZooKeeper 3.9.5: the same steps, with the same faults.
//!
//! Each prints the steps it has done and the longest stall after each fault. It runs for minutes, and
//! is skipped unless `OX_APPS` asks for it, as `make compat-apps` does.

mod hadoop;
mod kafka;
mod steps;

use std::process::ExitCode;

use compat_tests::ensemble::{Ensemble, Plan};
use compat_tests::server::Kind;
use compat_tests::suite::{self, Case, Skip};
use tempfile::TempDir;

/// An application's steps on an ensemble.
type App = fn(&mut Ensemble, &TempDir) -> Result<(), Skip>;

const APPS: &[(&str, App)] = &[("kafka", kafka::run), ("hadoop", hadoop::run)];

fn main() -> ExitCode {
    let servers = [Kind::Oxkeeper, Kind::REFERENCE];
    let cases = APPS.iter().flat_map(|&(name, app)| {
        servers.map(|kind| Case {
            name: format!("{name}_on_{kind}"),
            run: Box::new(move || run(kind, app)),
        })
    });
    suite::run("apps", cases.collect())
}

fn run(kind: Kind, app: App) -> Result<(), Skip> {
    if std::env::var_os("OX_APPS").is_none() {
        return Err(Skip("it takes minutes: make compat-apps".to_owned()));
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble = Plan::voters(&[kind; 3]).lay_out(&home.path().join("servers"));
    ensemble.start_all()?;
    app(&mut ensemble, &home)
}
