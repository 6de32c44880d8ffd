//! The words after `oxkeeper shell`: Java-style options, then a command.

use std::fs;
use std::time::Duration;

use ox_client::Servers;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// Where the servers are, as it was written.
    pub(crate) servers: String,
    pub(crate) timeout: Duration,
    pub(crate) read_only: bool,
    pub(crate) wait_for_connection: bool,
    /// The command to run once; `None` to ask for commands.
    pub(crate) command: Option<Vec<String>>,
}

/// Why there is nothing to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) text: String,
    pub(crate) exit: u8,
}

/// The exit code of ZooKeeper's shell for a bad client configuration.
const BAD_CONFIGURATION: u8 = 2;

impl Invocation {
    pub(crate) fn parse(words: Vec<String>) -> Result<Self, Refusal> {
        let mut invocation = Self {
            servers: "localhost:2181".into(),
            timeout: Duration::from_secs(30),
            read_only: false,
            wait_for_connection: false,
            command: None,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words.next().ok_or_else(|| Refusal {
                    text: format!("Error: no argument found for option {word}"),
                    exit: 1,
                })
            };
            match word.as_str() {
                "-server" => invocation.servers = value()?,
                "-timeout" => invocation.timeout = timeout(&value()?)?,
                "-client-configuration" => check_configuration(&value()?)?,
                "-r" => invocation.read_only = true,
                "-waitforconnection" => invocation.wait_for_connection = true,
                // Java's shell passes over options that it does not know.
                unknown if unknown.starts_with('-') => {}
                _ => {
                    let command = std::iter::once(word).chain(words).collect();
                    return Ok(Self {
                        command: Some(command),
                        ..invocation
                    });
                }
            }
        }
        Ok(invocation)
    }

    pub(crate) fn servers(text: &str) -> Servers {
        let Ok(servers) = text.parse();
        servers
    }
}

fn timeout(text: &str) -> Result<Duration, Refusal> {
    match text.parse() {
        Ok(ms) => Ok(Duration::from_millis(ms)),
        Err(_) => Err(Refusal {
            text: format!("-timeout must be a number of milliseconds, not {text}"),
            exit: 1,
        }),
    }
}

/// A client configuration holds TLS and SASL properties, which this shell does not have. One that
/// asks for TLS must not be answered with a connection in the clear.
fn check_configuration(file: &str) -> Result<(), Refusal> {
    let refuse = |text| {
        Err(Refusal {
            text,
            exit: BAD_CONFIGURATION,
        })
    };
    match fs::read_to_string(file) {
        Err(error) => refuse(format!("Error while processing {file}: {error}")),
        Ok(text) if asks_for_tls(&text) => refuse(format!(
            "{file}: zookeeper.client.secure is not supported by this shell"
        )),
        Ok(_) => Ok(()),
    }
}

fn asks_for_tls(properties: &str) -> bool {
    properties.lines().any(|line| {
        let (key, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
        key.trim() == "zookeeper.client.secure" && value.trim().eq_ignore_ascii_case("true")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation, Refusal> {
        Invocation::parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn without_words_it_is_interactive_on_this_machine() {
        let invocation = parse("").unwrap();
        assert_eq!(invocation.servers, "localhost:2181");
        assert_eq!(invocation.timeout, Duration::from_secs(30));
        assert_eq!(invocation.command, None);
    }

    #[test]
    fn options_come_before_the_command_and_its_own_options_stay_with_it() {
        let invocation = parse("-server a:1,b:2/x -timeout 5000 -r -waitforconnection ls -s -r /");
        assert_eq!(
            invocation,
            Ok(Invocation {
                servers: "a:1,b:2/x".into(),
                timeout: Duration::from_secs(5),
                read_only: true,
                wait_for_connection: true,
                command: Some(["ls", "-s", "-r", "/"].map(str::to_owned).into()),
            })
        );
    }

    #[test]
    fn bad_options_are_refused_with_javas_exit_codes() {
        assert_eq!(parse("-timeout x ls /").unwrap_err().exit, 1);
        assert_eq!(parse("-server").unwrap_err().exit, 1);
        assert_eq!(
            parse("-client-configuration /nonexistent ls /")
                .unwrap_err()
                .exit,
            BAD_CONFIGURATION
        );
    }

    #[test]
    fn a_configuration_that_asks_for_tls_is_told_from_one_that_does_not() {
        assert!(asks_for_tls("a=b\nzookeeper.client.secure = TRUE\n"));
        assert!(!asks_for_tls(
            "zookeeper.client.secure=false\n# zookeeper.client.secure"
        ));
    }
}
