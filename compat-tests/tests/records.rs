//! The codec against bytes that Apache ZooKeeper wrote: what is read is written the same again.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of any test function"
)]

use std::fs;
use std::path::{Path, PathBuf};

use compat_tests::fixtures;
use ox_jute::{Decoder, Frames, Jute};
use ox_proto::{
    ConnectRequest, ConnectResponse, Create2Response, CreateResponse, ErrorResponse, FileHeader,
    GetAclResponse, GetAllChildrenNumberResponse, GetChildren2Response, GetChildrenResponse,
    GetDataResponse, GetEphemeralsResponse, OpCode, ReplyHeader, Request, RequestHeader,
    SaslResponse, StatResponse, SyncResponse, TxnRecord, WatcherEvent, WhoAmIResponse, Xid,
};
use serde_json::Value;

/// The longest string or buffer in the fixtures.
const LIMIT: usize = 8 << 20;

#[test]
fn every_transaction_in_a_real_log_is_written_as_it_was_read() {
    let mut records = 0;
    for name in packed(&fixtures::path("datadirs")) {
        let home = tempfile::tempdir().unwrap();
        for log in logs(&fixtures::unpack(&name, home.path())) {
            let bytes = fs::read(&log).unwrap();
            for payload in payloads(&bytes) {
                let record = TxnRecord::decode(payload, LIMIT)
                    .unwrap_or_else(|error| panic!("{name}: {error}: {}", hex::encode(payload)));
                let mut written = Vec::new();
                record.encode(&mut written);
                assert_eq!(
                    hex::encode(&written),
                    hex::encode(payload),
                    "{name}: {record:?}"
                );
                records += 1;
            }
        }
    }
    assert!(records > 5_000, "only {records} records");
}

/// The names of the packed directories, as paths below `datadirs`.
fn packed(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("datadir.tar.gz") {
                let name = folder.strip_prefix(root).unwrap();
                found.push(name.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            found.extend(logs(&path));
        } else if name.starts_with("log.") {
            found.push(path);
        }
    }
    found
}

/// The payloads of the whole records at the front of a log. Where a file was damaged on purpose
/// they end before the damage: it is in what frames them, or breaks the checksum.
fn payloads(log: &[u8]) -> Vec<&[u8]> {
    let mut input = Decoder::new(log).with_limit(LIMIT);
    let mut found = Vec::new();
    if FileHeader::decode(&mut input).is_err() {
        return found;
    }
    while let (Ok(checksum), Ok(Some(payload)), Ok(0x42)) =
        (input.long(), input.slice(), input.byte())
    {
        if payload.is_empty() || checksum != i64::from(adler32(payload)) {
            break;
        }
        found.push(payload);
    }
    found
}

/// The textbook's sum, so that nothing under test checks itself.
fn adler32(bytes: &[u8]) -> u32 {
    let step = |(a, b): (u32, u32), byte: &u8| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    };
    let (a, b) = bytes.iter().fold((1, 0), step);
    b << 16 | a
}

/// Exchanges whose request is damaged on purpose, or which Java answers in a form of its own.
const ODD: &[&str] = &[
    "connect_truncated",
    "connect_zero_length_frame",
    "connect_negative_length",
    "connect_length_over_max",
    "err_exists_truncated_body",
    "err_frame_without_opcode",
    "err_frame_too_long",
    "err_auth_truncated",
    "create_session_client",
    // Surrogates one by one, which are read as damage.
    "sync_supplementary_char",
    "err_ro_connect_no_local_sessions",
];

#[test]
fn every_packet_of_a_real_exchange_is_written_as_it_was_read() {
    let exchanges: Value = fixtures::json("client-exchanges.json");
    let (mut packets, mut connected) = (0, std::collections::BTreeSet::new());
    for exchange in exchanges.as_array().unwrap() {
        let text = |key: &str| exchange[key].as_str().unwrap();
        for step in exchange["before"].as_array().unwrap() {
            connected.insert((
                text("server_version"),
                text("server"),
                step["conn"].as_str(),
            ));
        }
        let is_first = connected.insert((
            text("server_version"),
            text("server"),
            exchange["conn"].as_str(),
        ));
        let name = text("name")
            .trim_end_matches("_395")
            .trim_end_matches("_380");
        if ODD.contains(&name) {
            continue;
        }
        let sent = frames(text("sent_hex"));
        let received = frames(text("received_hex"));
        let mut op = None;
        for packet in &sent {
            op = if is_first && op.is_none() {
                same::<ConnectRequest>(name, packet);
                None
            } else {
                request(name, packet)
            };
        }
        for packet in &received {
            if is_first && sent.len() == 1 {
                same::<ConnectResponse>(name, packet);
            } else {
                reply(name, op, packet);
            }
            packets += 1;
        }
    }
    assert!(packets > 300, "only {packets} packets");
}

fn frames(text: &str) -> Vec<Vec<u8>> {
    let bytes = hex::decode(text).unwrap();
    let mut frames = Frames::new(&bytes, LIMIT);
    std::iter::from_fn(|| frames.next_frame().unwrap().map(<[u8]>::to_vec)).collect()
}

/// Decodes a request; answers its operation if the answer has a known form.
fn request(name: &str, packet: &[u8]) -> Option<OpCode> {
    let mut input = Decoder::new(packet);
    let header = RequestHeader::decode(&mut input).unwrap();
    let op = OpCode::from_code(header.r#type)?;
    // Refused bodies are what some exchanges are about; their names say so.
    if let Some(Err(error)) = Request::decode(op, &mut input) {
        let refused = name.starts_with("err_") || name == "multi_ttl_as_type1";
        assert!(refused, "{name}: {error}");
    }
    Some(op)
}

fn reply(name: &str, op: Option<OpCode>, packet: &[u8]) {
    let mut input = Decoder::new(packet);
    let header = ReplyHeader::decode(&mut input).unwrap();
    let body = input.remaining();
    let mut written = Vec::new();
    header.encode(&mut written);
    assert_eq!(written, packet[..packet.len() - body.len()], "{name}");
    if header.xid == Xid::NOTIFICATION {
        return same::<WatcherEvent>(name, body);
    }
    if header.err != 0 || body.is_empty() {
        return;
    }
    match op.unwrap_or_else(|| panic!("{name}: a body without a request")) {
        OpCode::Create => same::<CreateResponse>(name, body),
        OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            same::<Create2Response>(name, body);
        }
        OpCode::Exists | OpCode::SetData | OpCode::SetAcl => same::<StatResponse>(name, body),
        OpCode::GetData => same::<GetDataResponse>(name, body),
        OpCode::GetAcl => same::<GetAclResponse>(name, body),
        OpCode::GetChildren => same::<GetChildrenResponse>(name, body),
        OpCode::GetChildren2 => same::<GetChildren2Response>(name, body),
        OpCode::GetEphemerals => same::<GetEphemeralsResponse>(name, body),
        OpCode::GetAllChildrenNumber => same::<GetAllChildrenNumberResponse>(name, body),
        OpCode::Sync => same::<SyncResponse>(name, body),
        OpCode::Sasl => same::<SaslResponse>(name, body),
        OpCode::WhoAmI => same::<WhoAmIResponse>(name, body),
        OpCode::AddWatch => same::<ErrorResponse>(name, body),
        // Their parts are these records again.
        OpCode::Multi | OpCode::MultiRead => {}
        op => panic!("{name}: a body that answers {}", op.name()),
    }
}

fn same<T: Jute>(name: &str, bytes: &[u8]) {
    let mut input = Decoder::new(bytes);
    let record = T::decode(&mut input).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(
        input.remaining().is_empty(),
        "{name}: bytes behind a {}",
        T::NAME
    );
    let mut written = Vec::new();
    record.encode(&mut written);
    assert_eq!(
        hex::encode(written),
        hex::encode(bytes),
        "{name}: {}",
        T::NAME
    );
}
