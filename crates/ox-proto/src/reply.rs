//! What a server answers. Source: `zookeeper.jute`; client-protocol.md 3 and 4.2.

use bytes::Bytes;
use ox_jute::records;

use crate::{Acl, ClientInfo, Stat, Xid, Zxid};

records! {
    /// Begins every packet to a client but the first; `err` is an [`ErrorCode`](crate::ErrorCode).
    ReplyHeader { xid: Xid, zxid: Zxid, err: i32 }

    /// The path that was made, with its sequence number.
    CreateResponse { path: String }

    /// The path that was made, and its stat.
    Create2Response { path: String, stat: Stat }

    /// Answers exists, setData and setACL.
    StatResponse { stat: Stat }

    /// Answers getData; null data stays null.
    GetDataResponse { data: Option<Bytes>, stat: Stat }

    /// Answers getACL.
    GetAclResponse { acl: Vec<Acl>, stat: Stat }

    /// Answers getChildren: names, not paths, in no order.
    GetChildrenResponse { children: Vec<String> }

    /// Answers getChildren2.
    GetChildren2Response { children: Vec<String>, stat: Stat }

    /// Answers sync with the path it was asked for.
    SyncResponse { path: Option<String> }

    /// Answers a step of a SASL exchange.
    SaslResponse { token: Option<Bytes> }

    /// Answers getEphemerals with paths.
    GetEphemeralsResponse { ephemerals: Vec<String> }

    /// Answers getAllChildrenNumber.
    GetAllChildrenNumberResponse { total_number: i32 }

    /// Answers whoAmI.
    WhoAmIResponse { client_info: Vec<ClientInfo> }

    /// A number in place of a result: an error within a multi, or the zero that answers addWatch.
    ErrorResponse { err: i32 }

    /// Begins every part of a multi and of its answer.
    MultiHeader { r#type: i32, done: bool, err: i32 }
}

impl MultiHeader {
    /// Ends a multi, and the answer to one.
    pub const END: Self = Self {
        r#type: -1,
        done: true,
        err: -1,
    };
}
