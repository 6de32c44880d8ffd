//! Watches and the events they send.
//!
//! Source: `org.apache.zookeeper.Watcher`; client-protocol.md 7.1.

use ox_jute::records;

records! {
    /// Something happened to a znode that the client watches.
    WatcherEvent { r#type: i32, state: i32, path: String }
}

/// A small enum with a number on the wire.
macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$item])* $variant,)*
        }

        impl $name {
            /// The number on the wire.
            pub fn code(self) -> i32 {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// The meaning of a number on the wire.
            pub fn from_code(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

numbered! {
    /// What happened.
    EventType {
        /// Nothing to a znode; the session's state changed. Clients say it to themselves.
        None = -1,
        /// The znode was created.
        NodeCreated = 1,
        /// The znode was deleted.
        NodeDeleted = 2,
        /// Its data was set.
        NodeDataChanged = 3,
        /// A child came or went.
        NodeChildrenChanged = 4,
    }
}

numbered! {
    /// The state of a session, as events carry it. A server sends `SyncConnected` only.
    KeeperState {
        /// Not connected.
        Disconnected = 0,
        /// Connected.
        SyncConnected = 3,
        /// Authentication failed.
        AuthFailed = 4,
        /// Connected to a read-only server.
        ConnectedReadOnly = 5,
        /// Authenticated by SASL.
        SaslAuthenticated = 6,
        /// Closed by the client.
        Closed = 7,
        /// The session is over.
        Expired = -112,
    }
}

numbered! {
    /// Which watches checkWatches and removeWatches mean.
    WatcherType {
        /// One-shot watches on children.
        Children = 1,
        /// One-shot watches on data.
        Data = 2,
        /// All.
        Any = 3,
        /// Persistent ones.
        Persistent = 4,
        /// Persistent recursive ones.
        PersistentRecursive = 5,
    }
}

numbered! {
    /// The modes of addWatch.
    AddWatchMode {
        /// Stays after it has fired.
        Persistent = 0,
        /// Stays, and watches all descendants too.
        PersistentRecursive = 1,
    }
}
