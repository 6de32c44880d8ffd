//! The streams of real servers, from `tests/golden`, and ways to cut a stream into pieces.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const FILES: [(&str, &str); 4] = [
    ("basic", include_str!("../tests/golden/basic.txt")),
    ("reconfig", include_str!("../tests/golden/reconfig.txt")),
    ("auth-misc", include_str!("../tests/golden/auth-misc.txt")),
    (
        "observer-master",
        include_str!("../tests/golden/observer-master.txt"),
    ),
];

/// A SASL packet begins with it.
const SASL_MAGIC: [u8; 8] = 0x5f24_3501_3501_edcc_u64.to_be_bytes();

/// One direction of one connection.
pub(crate) struct Stream {
    /// `<file>/<number>-<port>-<dialer>-to-<acceptor>`
    pub(crate) name: String,
    /// From the dialer to the acceptor.
    pub(crate) from_dialer: bool,
    pub(crate) bytes: Vec<u8>,
}

/// All streams of a port, `election` or `learner`.
pub(crate) fn streams(port: &str) -> Vec<Stream> {
    let mut streams: Vec<Stream> = Vec::new();
    for (file, text) in FILES {
        for line in text.lines() {
            if let Some((name, direction)) = line.split_once('.') {
                streams.push(Stream {
                    name: format!("{file}/{name}"),
                    from_dialer: direction == "c2s",
                    bytes: Vec::new(),
                });
            } else {
                let stream = streams.last_mut().unwrap();
                stream.bytes.extend(hex::decode(line).unwrap());
            }
        }
    }
    streams.retain(|stream| stream.name.contains(port));
    streams
}

/// The stream of a name like `basic/057-learner-3-to-2`.
pub(crate) fn stream(name: &str, from_dialer: bool) -> Vec<u8> {
    streams("")
        .into_iter()
        .find(|stream| stream.name == name && stream.from_dialer == from_dialer)
        .unwrap_or_else(|| panic!("no {name}"))
        .bytes
}

/// What follows the SASL packets at the front.
pub(crate) fn behind_sasl(mut bytes: &[u8]) -> &[u8] {
    while bytes.starts_with(&SASL_MAGIC) {
        let token = i32::from_be_bytes(bytes[12..16].try_into().unwrap());
        bytes = &bytes[16 + usize::try_from(token).unwrap()..];
    }
    bytes
}

/// Whole, byte by byte, and at random places.
pub(crate) fn cuts(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut cuts = vec![vec![bytes], bytes.chunks(1).collect()];
    for seed in 0..5 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(random.random_range(1..=rest.len().min(200)));
            pieces.push(piece);
            rest = behind;
        }
        cuts.push(pieces);
    }
    cuts
}
