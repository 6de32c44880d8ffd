//! `oxkeeper`: one binary, thin subcommands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod container_entrypoint;
mod four_letter_word;
mod purge;
mod serve;
mod shell;
mod version;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A server that takes the place of Apache ZooKeeper.
#[derive(Parser)]
#[command(name = "oxkeeper", version = version::LINE)]
struct Oxkeeper {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server until SIGTERM or SIGINT.
    Serve(serve::Arguments),
    /// Prints the version.
    Version,
    /// Writes the configuration that the variables of a container ask for, and runs the server.
    ContainerEntrypoint(container_entrypoint::Arguments),
    /// Deletes old snapshots, and the logs that no kept one needs.
    Purge(purge::Arguments),
    /// Sends a four-letter word to a server and prints the answer.
    FourLetterWord(four_letter_word::Arguments),
    /// ZooKeeper's shell: -server host:port,.. -timeout ms -r -waitforconnection, then a command.
    Shell(shell::Arguments),
}

fn main() -> ExitCode {
    match Oxkeeper::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Version => version::run(),
        Command::ContainerEntrypoint(arguments) => container_entrypoint::run(&arguments),
        Command::Purge(arguments) => purge::run(&arguments),
        Command::FourLetterWord(arguments) => four_letter_word::run(&arguments),
        Command::Shell(arguments) => shell::run(arguments),
    }
}
