//! `oxkeeper serve`: reads the configuration, says what is wrong with it, runs the server.
//!
//! Invariant: every end has the exit code and the words of Java's server (operations.md 1.2).

use std::io::Write;
use std::process::ExitCode;

use ox_server::config::{Config, ConfigErrors, Flag, Origin, Sources, Warning};
use ox_server::{ServeError, logging};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A Java system property, for example -Djute.maxbuffer=4194304.
    #[arg(short = 'D', value_name = "NAME=VALUE")]
    properties: Vec<String>,
    /// Checks the configuration and ends: 0 if the server would start with it, 2 if not.
    #[arg(long)]
    check_config: bool,
    /// Sets damaged data aside instead of refusing to start, and has it made anew by the other
    /// servers of the ensemble; until then this one has no vote.
    #[arg(long)]
    repair_from_peers: bool,
    /// `zoo.cfg`, or `port datadir [ticktime] [maxcnxns]`; without any, port 2181 and ./data.
    #[arg(value_name = "CONFIG")]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let flags = arguments
        .properties
        .iter()
        .map(|text| Flag::parse(text, Origin::Arguments))
        .collect();
    let sources = Sources::from_process(flags, arguments.arguments.clone());
    if arguments.check_config {
        check(&sources)
    } else {
        serve(&sources, arguments.repair_from_peers)
    }
}

fn check(sources: &Sources) -> ExitCode {
    let (warnings, problems, code) = match Config::load(sources) {
        Ok(config) => (config.warnings, Vec::new(), 0),
        Err(errors) => {
            let code = errors.exit_code();
            (errors.warnings, errors.problems, code)
        }
    };
    let mut out = std::io::stdout();
    let printed = warnings
        .iter()
        .try_for_each(|warning| writeln!(out, "warning: {warning}"))
        .and_then(|()| {
            problems
                .iter()
                .try_for_each(|problem| writeln!(out, "error: {problem}"))
        })
        .and_then(|()| {
            let summary = if problems.is_empty() {
                "the server would start"
            } else {
                "refused"
            };
            writeln!(
                out,
                "{summary}: {} errors, {} warnings",
                problems.len(),
                warnings.len()
            )
        });
    if printed.is_ok() {
        ExitCode::from(code)
    } else {
        ExitCode::FAILURE
    }
}

/// Runs the server that `sources` describe until it is told to stop.
pub(crate) fn serve(sources: &Sources, repair_from_peers: bool) -> ExitCode {
    logging::init(sources);
    let code = match Config::load(sources) {
        Ok(config) if repair_from_peers && config.ensemble.is_none() => {
            let text = "--repair-from-peers: this server is alone, nobody has another copy";
            tracing::error!("{text}");
            eprintln!("{text}");
            2
        }
        Ok(mut config) => {
            log_warnings(&config.warnings);
            config.repair_from_peers = repair_from_peers;
            match ox_server::serve(config) {
                Ok(()) => 0,
                Err(error) => fail(&error),
            }
        }
        Err(errors) => refuse(&errors, sources.arguments.len()),
    };
    exit(code)
}

fn log_warnings(warnings: &[Warning]) {
    for warning in warnings {
        if warning.severe {
            tracing::error!("{warning}");
        } else {
            tracing::warn!("{warning}");
        }
    }
}

fn refuse(errors: &ConfigErrors, arguments: usize) -> u8 {
    log_warnings(&errors.warnings);
    for problem in &errors.problems {
        tracing::error!("{problem}");
        eprintln!("{problem}");
    }
    let code = errors.exit_code();
    let what = match code {
        2 if arguments > 1 => "Invalid arguments",
        2 => "Invalid config",
        _ => "Unexpected exception",
    };
    tracing::error!("{what}, exiting abnormally");
    eprintln!("{what}, exiting abnormally");
    if arguments > 1 {
        eprintln!("Usage: oxkeeper serve configfile | port datadir [ticktime] [maxcnxns]");
    }
    code
}

/// What a server that could not start, or could not go on, leaves behind.
fn fail(error: &ServeError) -> u8 {
    let text = match error {
        ServeError::Dirs(_) | ServeError::Backup { .. } => error.chain(),
        ServeError::Load(_)
        | ServeError::Snapshot(_)
        | ServeError::Ports(_)
        | ServeError::Bind { .. }
        | ServeError::Tls(_)
        | ServeError::Start(_) => {
            format!(
                "Unexpected exception, exiting abnormally: {}",
                error.chain()
            )
        }
    };
    tracing::error!("{text}");
    eprintln!("{text}");
    error.exit_code()
}

/// The last lines of a log.
fn exit(code: u8) -> ExitCode {
    if code == 0 {
        tracing::info!("Exiting normally");
        tracing::info!("Exiting JVM with code 0");
    } else {
        tracing::error!("Exiting JVM with code {code}");
    }
    ExitCode::from(code)
}
