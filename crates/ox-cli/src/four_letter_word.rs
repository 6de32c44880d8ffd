//! `oxkeeper four-letter-word`: what `zkServer.sh status` and health checks ask a server with
//! (`FourLetterWordMain`).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

/// How long to wait for the connection, and for each piece of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Name or address of the server.
    host: String,
    /// Its client port.
    port: u16,
    /// srvr, ruok, mntr, ...
    word: String,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let Arguments { host, port, word } = arguments;
    match ask(host, *port, word).and_then(|answer| io::stdout().write_all(&answer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{host}:{port}: {word}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(host: &str, port: u16, word: &str) -> io::Result<Vec<u8>> {
    let mut stream = connect(host, port)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(word.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// The first of the host's addresses that answers.
fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
