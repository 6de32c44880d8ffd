//! Clients of all languages and ages do the same steps with our server and with Apache's.
//!
//! Each has a program that does the steps of `STEPS` and prints of each how it went; see
//! `driving.rs`. A step that fails with Apache ZooKeeper 3.9.5, too, is named and not counted as
//! a failure. Quick form: the newest clients of three languages, without Apache beside it;
//! `OX_MATRIX=full` asks for all of it.

mod clients;
mod driving;

use std::process::ExitCode;

use clients::Client;
use compat_tests::comparison::judge;
use compat_tests::server::Kind;
use compat_tests::suite::{self, Case, Skip};
use driving::all_steps;

fn main() -> ExitCode {
    let full = std::env::var("OX_MATRIX").is_ok_and(|form| form == "full");
    let chosen = clients::all()
        .into_iter()
        .filter(|client| full || client.quick);
    let cases = chosen.map(|client| Case {
        name: client.case(),
        run: Box::new(move || case(&client, full)),
    });
    suite::run("matrix", cases.collect())
}

fn case(client: &Client, full: bool) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let program = (client.program)(home.path())?;
    let here = all_steps(&program, Kind::under_test(), &home.path().join("here"))?;
    let reference = home.path().join("reference");
    let reference = full
        .then(|| all_steps(&program, Kind::REFERENCE, &reference))
        .transpose()?;
    judge(client.subject, &here, reference.as_ref());
    Ok(())
}
