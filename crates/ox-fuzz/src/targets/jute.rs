//! Every record: what was decoded is encoded as bytes that mean the same.
//!
//! The first byte says which record.

use std::fmt::Debug;

use ox_jute::{Decoder, Jute};
use ox_proto::*;

use super::{MAX_RECORD, split_mode};
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "jute",
    run,
    memory: (64 << 10, 64),
    longest: 4096,
    words: &[
        b"\0\0\0\x01/",
        b"world",
        b"anyone",
        b"digest",
        b"\xff\xff\xff\xff",
        b"\xed\xa0\xbd",
    ],
    short: 6000,
};

/// Begins three bytes that stand for half a character.
const SURROGATE: u8 = 0xed;

macro_rules! records {
    ($($record:ty),* $(,)?) => {
        const READERS: &[fn(&[u8])] = &[$(read::<$record>),*];
    };
}

records!(
    Stat,
    StatPersisted,
    Id,
    Acl,
    RawAcl,
    ClientInfo,
    ConnectRequest,
    ConnectResponse,
    QuorumPacket,
    CreateTxn,
    CreateContainerTxn,
    CreateTtlTxn,
    DeleteTxn,
    SetDataTxn,
    SetAclTxn,
    CheckVersionTxn,
    CreateSessionTxn,
    ErrorTxn,
    MultiTxn,
    TxnHeader,
    TxnDigest,
    FileHeader,
    ReplyHeader,
    CreateResponse,
    Create2Response,
    StatResponse,
    GetDataResponse,
    GetAclResponse,
    GetChildrenResponse,
    GetChildren2Response,
    SyncResponse,
    SaslResponse,
    GetEphemeralsResponse,
    GetAllChildrenNumberResponse,
    WhoAmIResponse,
    ErrorResponse,
    MultiHeader,
    WatcherEvent,
    RequestHeader,
    CreateRequest,
    CreateTtlRequest,
    DeleteRequest,
    ReadRequest,
    PathRequest,
    SetDataRequest,
    SetAclRequest,
    SyncRequest,
    CheckVersionRequest,
    ReconfigRequest,
    WatchesRequest,
    AddWatchRequest,
    SetWatches,
    SetWatches2,
    AuthPacket,
    SaslRequest,
    GetEphemeralsRequest,
);

fn run(bytes: &[u8]) {
    let (which, rest) = split_mode(bytes);
    READERS[usize::from(which) % READERS.len()](rest);
}

fn read<T: Jute + PartialEq + Debug>(bytes: &[u8]) {
    let mut input = Decoder::new(bytes).with_limit(MAX_RECORD);
    let Ok(record) = T::decode(&mut input) else {
        return;
    };
    let mut encoded = Vec::new();
    record.encode(&mut encoded);
    let mut input = Decoder::new(&encoded);
    let again = T::decode(&mut input).expect("what was encoded can be decoded");
    // Written as Java writes them, characters beyond U+FFFF come back as others.
    if !encoded.contains(&SURROGATE) {
        assert_eq!(again, record, "{}", T::NAME);
    }
    assert!(input.remaining().is_empty(), "{} leaves bytes", T::NAME);
}
