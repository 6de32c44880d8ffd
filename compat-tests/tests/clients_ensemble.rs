//! kazoo and the Java client against three servers whose leader is restarted again and again, by
//! turns with a clean stop and with kill -9.
//!
//! The programs are those of `clients`. A restart begins when a step has just begun, at most once
//! for each step; a step that was interrupted is done again. Quick form: every third step;
//! `OX_STEPS_PER_RESTART=1` asks for every one.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use compat_tests::ensemble::{Ensemble, Plan};
use compat_tests::programs::{Program, compile_java, java, kazoo};
use compat_tests::server::Kind;
use compat_tests::suite::{self, Skip, rounds, say};

/// How long a client program may take, with all that is done again.
const PATIENCE: Duration = Duration::from_secs(900);

/// Steps that are left out, and why.
type LeftOut<'a> = &'a [(&'a str, &'a str)];

fn main() -> ExitCode {
    suite::main(
        "clients_ensemble",
        &[
            ("kazoo_client_api", || {
                let client = kazoo(PATIENCE, "client_api.py")?;
                let why = "it wants a standalone server with id 1";
                while_leaders_restart(client, &[("session", why)])
            }),
            ("kazoo_recipes", || {
                let client = kazoo(PATIENCE, "recipes.py")?;
                while_leaders_restart(client, &[])
            }),
            ("java_client_api", || {
                let home = tempfile::tempdir().expect("a temporary folder");
                let class_path = compile_java(home.path())?;
                let client = java(PATIENCE, &class_path, "ClientApi");
                let why = "it wants the empty config of a standalone server";
                while_leaders_restart(client, &[("stepConfig", why)])
            }),
        ],
    )
}

/// Servers as clients want them: extended types, and a super user (super:secret).
fn ensemble(home: &Path) -> Ensemble {
    Plan::voters(&[Kind::under_test(); 3])
        .property("zookeeper.extendedTypesEnabled", "true")
        .property(
            "zookeeper.DigestAuthenticationProvider.superDigest",
            "super:lK75jTNcA+U9vtVEw5vB51mj/w4=",
        )
        .lay_out(home)
}

/// Runs a client program to its end, restarting the leader all the while.
fn while_leaders_restart(mut client: Command, left_out: LeftOut<'_>) -> Result<(), Skip> {
    let steps_per_restart = rounds("OX_STEPS_PER_RESTART", 3);
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble = ensemble(home.path());
    ensemble.start_all()?;
    client.arg(ensemble.connect_string()).arg("unsettled");
    for (step, why) in left_out {
        say(format!("   without {step}: {why}"));
        client.arg(format!("without={step}"));
    }
    let (mut program, lines) = Program::start(client.stderr(Stdio::null()));
    let (mut said, mut restarts, mut begun) = (Vec::new(), 0, BTreeSet::new());
    while let Ok(line) = lines.recv() {
        let is_new = line.starts_with("begin ") && begun.insert(line.clone());
        said.push(line);
        if is_new && begun.len().is_multiple_of(steps_per_restart) {
            restart_leader(&mut ensemble, restarts)?;
            restarts += 1;
        }
    }
    let status = program.wait();
    assert!(status.success(), "{status}:\n{}", said.join("\n"));
    let again = said
        .iter()
        .filter(|line| line.starts_with("interrupted "))
        .count();
    let count = said.last().map_or("nothing said", String::as_str);
    say(format!(
        "   {count}; {restarts} restarts of leaders, {again} steps done again"
    ));
    assert!(
        0 < restarts,
        "no leader was restarted:\n{}",
        said.join("\n")
    );
    ensemble.check_same_state();
    Ok(())
}

fn restart_leader(ensemble: &mut Ensemble, restarts: usize) -> Result<(), Skip> {
    let leader = ensemble.leader();
    if restarts.is_multiple_of(2) {
        ensemble.kill(leader);
    } else {
        ensemble.stop(leader);
    }
    ensemble.start(leader)?;
    ensemble.wait_until_all_serve();
    Ok(())
}
