//! `oxkeeper shell`: the commands, texts, streams and exit codes of ZooKeeper's own shell.
//!
//! Results go to stdout; `Created ..`, errors, usage and notes go to stderr, because scripts rely
//! on it. Source: `org.apache.zookeeper.ZooKeeperMain`; operations.md chapter 10. What differs on
//! purpose: where Java's shell ends with a stack trace (a version that is no number, say), this one
//! says what is wrong in a line, with the same exit code, and an interactive one goes on.

mod commands;
mod console;
mod failure;
mod format;
mod interactive;
mod invocation;
mod line;
mod link;
mod options;
mod paths;
mod session;
mod watches;

use std::process::ExitCode;

use tokio::runtime;

use console::Console;
use failure::Failure;
use invocation::Invocation;
use session::Shell;

/// The words that follow `oxkeeper shell`. Their options begin with one dash, as Java's do, so clap
/// leaves them alone.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs the shell.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let invocation = match Invocation::parse(arguments.words) {
        Ok(invocation) => invocation,
        Err(refusal) => {
            Console::new().err(&refusal.text);
            return ExitCode::from(refusal.exit);
        }
    };
    match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => ExitCode::from(runtime.block_on(converse(invocation))),
        Err(error) => {
            Console::new().err(&format!("Cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn converse(invocation: Invocation) -> u8 {
    let mut shell = Shell::new(&invocation);
    if invocation.wait_for_connection
        && let Err(failure) = shell.wait_for_connection(invocation.timeout).await
    {
        shell.console.err(&failure.to_string());
        return 1;
    }
    match invocation.command {
        Some(words) => {
            shell.run(&words).await;
            shell.exit
        }
        None => interactive::run(shell).await,
    }
}
