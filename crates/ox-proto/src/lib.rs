//! The records, ids, opcodes and error codes of ZooKeeper.
//!
//! What is decoded here is well formed, not yet allowed: checks of acls, versions and paths belong
//! to the server. Source: `zookeeper.jute`; client-protocol.md chapters 2 to 8, storage.md
//! chapters 1 to 4.

mod connect;
mod data;
mod ensemble;
mod error;
mod ids;
mod initial;
mod op;
pub mod path;
pub mod properties;
mod quorum;
mod reply;
mod request;
mod storage;
mod txn;
mod watch;

pub use connect::{ConnectRequest, ConnectResponse};
pub use data::{Acl, ClientInfo, Id, RawAcl, Stat, StatPersisted};
pub use ensemble::{
    ClientAddress, ConfigTextError, EnsembleConfig, Member, MemberError, MemberRole, PeerAddress,
    ReconfigError, ReconfigRules,
};
pub use error::ErrorCode;
pub use ids::{ServerId, SessionId, Xid, Zxid};
pub use initial::{Endpoint, InitialMessage, InitialMessageError, InitialProgress};
pub use op::OpCode;
pub use quorum::{LearnerInfo, Notification, PacketType, PeerState, QuorumPacket};
pub use reply::{
    Create2Response, CreateResponse, ErrorResponse, GetAclResponse, GetAllChildrenNumberResponse,
    GetChildren2Response, GetChildrenResponse, GetDataResponse, GetEphemeralsResponse, MultiHeader,
    ReplyHeader, SaslResponse, StatResponse, SyncResponse, WhoAmIResponse,
};
pub use request::{
    AddWatchRequest, AuthPacket, CheckVersionRequest, Create, CreateMode, CreateRequest,
    CreateTtlRequest, DeleteRequest, GetEphemeralsRequest, MultiOp, PathRequest, ReadRequest,
    ReconfigRequest, Request, RequestHeader, SaslRequest, SetAclRequest, SetDataRequest,
    SetWatches, SetWatches2, SyncRequest, WatchesRequest,
};
pub use storage::FileHeader;
pub use txn::{
    CheckVersionTxn, CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTtlTxn,
    CreateTxn, DeleteTxn, ErrorTxn, MultiTxn, SetAclTxn, SetDataTxn, Txn, TxnDigest, TxnHeader,
    TxnRecord,
};
pub use watch::{AddWatchMode, EventType, KeeperState, WatcherEvent, WatcherType};
