//! What a client is told of a failure.
//!
//! Source: `org.apache.zookeeper.KeeperException.Code`; client-protocol.md chapter 8.

macro_rules! error_codes {
    ($($(#[$meta:meta])* $name:ident = $code:literal;)*) => {
        /// The outcome of a request, as a client sees it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$meta])* $name,)*
        }

        impl ErrorCode {
            /// The number on the wire.
            pub fn code(self) -> i32 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The meaning of a number on the wire.
            pub fn from_code(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

error_codes! {
    /// Done.
    Ok = 0;
    /// A range marker, never sent.
    SystemError = -1;
    /// An operation of a multi after the one that failed.
    RuntimeInconsistency = -2;
    /// The connection was lost; clients say so to themselves.
    ConnectionLoss = -4;
    /// A body that cannot be decoded, or an internal failure.
    MarshallingError = -5;
    /// An operation this server does not have.
    Unimplemented = -6;
    /// A path, flag or time to live that is not allowed.
    BadArguments = -8;
    /// A session nobody knows.
    UnknownSession = -12;
    /// A reconfig without a synced quorum of the new members.
    NewConfigNoQuorum = -13;
    /// Another reconfig is pending.
    ReconfigInProgress = -14;
    /// The znode, or the parent of one to be made, is missing.
    NoNode = -101;
    /// The acl does not grant it.
    NoAuth = -102;
    /// The expected version differs.
    BadVersion = -103;
    /// The parent is ephemeral.
    NoChildrenForEphemerals = -108;
    /// The znode exists already.
    NodeExists = -110;
    /// The znode has children.
    NotEmpty = -111;
    /// The session has expired or is closing.
    SessionExpired = -112;
    /// An acl that is empty, malformed or of an unknown scheme.
    InvalidAcl = -114;
    /// Authentication failed.
    AuthFailed = -115;
    /// The session is served by another member now.
    SessionMoved = -118;
    /// A write on a read-only server.
    NotReadOnly = -119;
    /// An ephemeral in a local session.
    EphemeralOnLocalSession = -120;
    /// No such watch.
    NoWatcher = -121;
    /// Reconfiguration is switched off.
    ReconfigDisabled = -123;
    /// The connection lacks the authentication that this server requires.
    SessionClosedRequireSaslAuth = -124;
    /// A hard quota.
    QuotaExceeded = -125;
    /// The request waited too long.
    ThrottledOp = -127;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_agree() {
        for code in -200..=1 {
            if let Some(error) = ErrorCode::from_code(code) {
                assert_eq!(error.code(), code);
            }
        }
        assert_eq!(ErrorCode::from_code(-101), Some(ErrorCode::NoNode));
        assert_eq!(ErrorCode::from_code(-126), None);
    }
}
