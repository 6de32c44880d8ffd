//! Runs a client's program through all steps, and does to the servers what it asks for.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use compat_tests::comparison::{Outcome, Outcomes};
use compat_tests::ensemble::{Ensemble, Plan};
use compat_tests::ports::Port;
use compat_tests::programs::Program;
use compat_tests::server::{Kind, Setup};
use compat_tests::suite::{Skip, say};

/// What every client does with one server. In `restart` the program asks for just that, and must
/// find its session and its ephemeral znode again.
const ALONE: [&str; 9] = [
    "connect",
    "crud",
    "exists_children",
    "data_watch",
    "child_watch",
    "exists_watch",
    "multi",
    "acl",
    "restart",
];

/// And with three: the same, over a change of their leader.
const TOGETHER: [&str; 1] = ["leader_change"];

/// A program without its arguments, as often as needed.
pub(crate) type MakeCommand = Box<dyn Fn() -> Command>;

/// All steps with servers of one kind.
pub(crate) fn all_steps(program: &MakeCommand, kind: Kind, home: &Path) -> Result<Outcomes, Skip> {
    let mut outcomes = with_one_server(program, kind, &home.join("alone"))?;
    outcomes.extend(with_three_servers(program, kind, &home.join("together"))?);
    Ok(outcomes)
}

fn with_one_server(program: &MakeCommand, kind: Kind, home: &Path) -> Result<Outcomes, Skip> {
    let port = Port::claim();
    let setup = Setup::new(kind, home)
        .line("clientPort", &port.number().to_string())
        .line("clientPortAddress", "127.0.0.1");
    let mut server = Some(setup.start()?);
    let hosts = format!("127.0.0.1:{}", port.number());
    dialogue(program(), &hosts, &ALONE, home, &mut |event| {
        assert_eq!(event, "restart", "what the program asks for");
        server.take().expect("it always runs").terminate();
        server = Some(setup.start()?);
        Ok(())
    })
}

fn with_three_servers(program: &MakeCommand, kind: Kind, home: &Path) -> Result<Outcomes, Skip> {
    let mut ensemble = Plan::voters(&[kind; 3]).lay_out(home);
    ensemble.start_all()?;
    let hosts = ensemble.connect_string();
    dialogue(program(), &hosts, &TOGETHER, home, &mut |event| {
        assert_eq!(event, "leader_change", "what the program asks for");
        change_leader(&mut ensemble)
    })
}

fn change_leader(ensemble: &mut Ensemble) -> Result<(), Skip> {
    let old = ensemble.leader();
    ensemble.stop(old);
    assert_ne!(ensemble.leader(), old);
    ensemble.start(old)?;
    ensemble.wait_until_all_serve();
    Ok(())
}

/// Runs the program with its arguments; each of the steps has an outcome in the end.
fn dialogue(
    mut command: Command,
    hosts: &str,
    steps: &[&str],
    home: &Path,
    please: &mut dyn FnMut(&str) -> Result<(), Skip>,
) -> Result<Outcomes, Skip> {
    let errors = home.join("client.log");
    command.arg(hosts).args(steps);
    command.stderr(File::create(&errors).expect("a file of ours"));
    let (mut program, lines) = Program::start(&mut command);
    let mut outcomes = Outcomes::new();
    for line in lines {
        if let Some(event) = line.strip_prefix("please ") {
            please(event)?;
            program.tell("done");
        } else if let Some((name, outcome)) = Outcome::read(&line) {
            assert!(steps.contains(&name.as_str()), "no such step: {line}");
            outcomes.insert(name, outcome);
        }
    }
    let status = program.wait();
    for step in steps {
        outcomes
            .entry((*step).to_owned())
            .or_insert_with(|| Outcome::Failed(format!("not reached, {status}")));
    }
    if outcomes
        .values()
        .any(|outcome| matches!(outcome, Outcome::Failed(_)))
    {
        let said = fs::read(&errors).expect("a file of ours");
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        let shown = lines[lines.len().saturating_sub(40)..].join("\n");
        say(format!("---- {command:?}\n{shown}\n----"));
    }
    Ok(outcomes)
}
