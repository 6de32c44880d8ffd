//! Why a command failed, in the words of ZooKeeper's shell.
//!
//! Source: `org.apache.zookeeper.cli.CliWrapperException`, `KeeperException.Code`.

use std::fmt;

use ox_client::Error;
use ox_proto::ErrorCode;

use super::options::OptionError;

/// What ends a command early. Its text goes to stderr, and the exit code is 1.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Too few arguments, or an impossible choice: the command's usage is the text.
    Usage,
    /// Options that cannot be understood.
    Options(OptionError),
    /// Found out before any server was asked.
    Text(String),
    /// There is nothing to say, and the exit code stays what it is.
    Silent,
    /// There is no session to use. Not an error to scripts: the exit code stays 0.
    NotConnected,
    /// The request failed; about which path, if about one.
    Request { error: Error, path: Option<String> },
}

impl Failure {
    /// For a request about `path`.
    pub(crate) fn about(path: &str) -> impl Fn(Error) -> Self {
        move |error| Self::Request {
            error,
            path: Some(path.to_owned()),
        }
    }
}

impl From<OptionError> for Failure {
    fn from(error: OptionError) -> Self {
        Self::Options(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The caller knows the command.
            Self::Usage | Self::Silent => Ok(()),
            Self::Options(error) => error.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::NotConnected => f.write_str("Not connected"),
            Self::Request { error, path } => {
                let subject = path.as_deref().unwrap_or("null");
                match error.code().map(about_path) {
                    Some(Some(text)) => write!(f, "{text}{subject}"),
                    _ => f.write_str(&code_message(error, path.as_deref())),
                }
            }
        }
    }
}

/// The failures that the shell has words of its own for; the path follows.
fn about_path(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::NoNode => "Node does not exist: ",
        ErrorCode::NoChildrenForEphemerals => "Ephemerals cannot have children: ",
        ErrorCode::NodeExists => "Node already exists: ",
        ErrorCode::NotEmpty => "Node not empty: ",
        ErrorCode::NotReadOnly => "Not a read-only call: ",
        ErrorCode::InvalidAcl => "Acl is not valid : ",
        ErrorCode::NoAuth => "Insufficient permission : ",
        ErrorCode::BadArguments => "Arguments are not valid : ",
        ErrorCode::BadVersion => "version No is not valid : ",
        ErrorCode::QuotaExceeded => "Quota has exceeded : ",
        _ => return None,
    })
}

/// The text of Java's `KeeperException`.
pub(crate) fn code_message(error: &Error, path: Option<&str>) -> String {
    let name = match (error, error.code()) {
        (_, Some(code)) => code_name(code).to_owned(),
        (Error::UnknownCode(code), None) => format!("Unknown error {code}"),
        (error, None) => error.to_string(),
    };
    match path {
        Some(path) => format!("KeeperErrorCode = {name} for {path}"),
        None => format!("KeeperErrorCode = {name}"),
    }
}

fn code_name(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Ok => "ok",
        ErrorCode::SystemError => "SystemError",
        ErrorCode::RuntimeInconsistency => "RuntimeInconsistency",
        ErrorCode::ConnectionLoss => "ConnectionLoss",
        ErrorCode::MarshallingError => "MarshallingError",
        ErrorCode::Unimplemented => "Unimplemented",
        ErrorCode::BadArguments => "BadArguments",
        ErrorCode::UnknownSession => "Unknown session",
        ErrorCode::NewConfigNoQuorum => "NewConfigNoQuorum",
        ErrorCode::ReconfigInProgress => "ReconfigInProgress",
        ErrorCode::NoNode => "NoNode",
        ErrorCode::NoAuth => "NoAuth",
        ErrorCode::BadVersion => "BadVersion",
        ErrorCode::NoChildrenForEphemerals => "NoChildrenForEphemerals",
        ErrorCode::NodeExists => "NodeExists",
        ErrorCode::NotEmpty => "Directory not empty",
        ErrorCode::SessionExpired => "Session expired",
        ErrorCode::InvalidAcl => "InvalidACL",
        ErrorCode::AuthFailed => "AuthFailed",
        ErrorCode::SessionMoved => "Session moved",
        ErrorCode::NotReadOnly => "Not a read-only call",
        ErrorCode::EphemeralOnLocalSession => "Ephemeral node on local session",
        ErrorCode::NoWatcher => "No such watcher",
        ErrorCode::ReconfigDisabled => "Reconfig is disabled",
        ErrorCode::SessionClosedRequireSaslAuth => {
            "Session closed because client failed to authenticate"
        }
        ErrorCode::QuotaExceeded => "Quota has exceeded",
        ErrorCode::ThrottledOp => "Op throttled due to high load",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: ErrorCode, text: &str) {
        let failure = Failure::about("/x")(Error::Server(code));
        assert_eq!(failure.to_string(), text);
    }

    #[test]
    fn failures_about_a_path_have_words_of_their_own_or_the_codes_name() {
        check(ErrorCode::NoNode, "Node does not exist: /x");
        check(ErrorCode::BadVersion, "version No is not valid : /x");
        check(
            ErrorCode::NoWatcher,
            "KeeperErrorCode = No such watcher for /x",
        );
    }

    #[test]
    fn failures_without_a_path_say_so_in_javas_way() {
        for (code, text) in [
            (ErrorCode::InvalidAcl, "Acl is not valid : null"),
            (
                ErrorCode::ReconfigDisabled,
                "KeeperErrorCode = Reconfig is disabled",
            ),
        ] {
            let failure = Failure::Request {
                error: Error::Server(code),
                path: None,
            };
            assert_eq!(failure.to_string(), text);
        }
    }
}
