//! The operations, by their numbers.
//!
//! Source: `org.apache.zookeeper.ZooDefs.OpCode`; client-protocol.md 4.1.

macro_rules! op_codes {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What a request asks for, or what a transaction does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum OpCode {
            $($(#[$meta])* $name,)*
        }

        impl OpCode {
            /// The number on the wire and on disk.
            pub fn code(self) -> i32 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The meaning of a number on the wire or on disk.
            pub fn from_code(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// ZooKeeper's name for it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

op_codes! {
    /// Ends a session, and its ephemerals with it.
    CloseSession = -11, "closeSession";
    /// Begins a session; only servers say it.
    CreateSession = -10, "createSession";
    /// A request that failed, as a transaction.
    Error = -1, "error";
    /// A watch event; only servers say it.
    Notification = 0, "notification";
    /// Makes a znode.
    Create = 1, "create";
    /// Deletes a znode.
    Delete = 2, "delete";
    /// Looks whether a znode is there.
    Exists = 3, "exists";
    /// Reads a znode.
    GetData = 4, "getData";
    /// Replaces a znode's data.
    SetData = 5, "setData";
    /// Reads a znode's acl.
    GetAcl = 6, "getACL";
    /// Replaces a znode's acl.
    SetAcl = 7, "setACL";
    /// Lists the children.
    GetChildren = 8, "getChildren";
    /// Waits until this server has caught up with the leader.
    Sync = 9, "sync";
    /// Keeps the session alive.
    Ping = 11, "ping";
    /// Lists the children and reads the stat.
    GetChildren2 = 12, "getChildren2";
    /// Compares a znode's version; only within a multi.
    Check = 13, "check";
    /// Several writes that succeed or fail together.
    Multi = 14, "multi";
    /// Makes a znode and answers its stat.
    Create2 = 15, "create2";
    /// Changes the members of the ensemble.
    Reconfig = 16, "reconfig";
    /// Looks whether the client has a watch.
    CheckWatches = 17, "checkWatches";
    /// Takes a watch away.
    RemoveWatches = 18, "removeWatches";
    /// Makes a container.
    CreateContainer = 19, "createContainer";
    /// Deletes an empty container or an expired TTL node; only servers say it.
    DeleteContainer = 20, "deleteContainer";
    /// Makes a node with a time to live.
    CreateTtl = 21, "createTTL";
    /// Several reads.
    MultiRead = 22, "multiRead";
    /// Authenticates the connection.
    Auth = 100, "auth";
    /// Leaves watches again after a reconnect.
    SetWatches = 101, "setWatches";
    /// One step of a SASL exchange.
    Sasl = 102, "sasl";
    /// Lists the session's own ephemerals.
    GetEphemerals = 103, "getEphemerals";
    /// Counts the descendants.
    GetAllChildrenNumber = 104, "getAllChildrenNumber";
    /// As setWatches, with persistent ones.
    SetWatches2 = 105, "setWatches2";
    /// Leaves a persistent watch.
    AddWatch = 106, "addWatch";
    /// Lists the connection's identities.
    WhoAmI = 107, "whoAmI";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_agree() {
        for code in -20..120 {
            if let Some(op) = OpCode::from_code(code) {
                assert_eq!(op.code(), code);
            }
        }
        assert_eq!(OpCode::from_code(10), None);
        assert_eq!(OpCode::CreateTtl.name(), "createTTL");
    }
}
