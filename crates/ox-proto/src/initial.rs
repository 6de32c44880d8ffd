//! The first bytes on an election connection: the dialer says who it is and where it can be
//! dialed.
//!
//! Invariant: no more is asked of the peer than belongs to the message, because votes follow it
//! without a gap. Source: `QuorumCnxManager.InitialMessage`; quorum.md 2.2.

use std::fmt;
use std::net::IpAddr;

use ox_jute::{DecodeError, Decoder, Jute};

use crate::ServerId;

/// A host and a port that can be dialed or listened on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint of a host and a port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// Reads `host:port`, or `[address]:port` for IPv6. `None` if it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once("]:")?,
            None => text.split_once(':')?,
        };
        Some(Self::new(host, port.parse().ok()?))
    }

    /// Whether it stands for all addresses of a machine; nobody else can dial that.
    pub fn is_wildcard(&self) -> bool {
        let address = self.host.parse();
        address.is_ok_and(|address: IpAddr| address.is_unspecified())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

/// Why bytes are no initial message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitialMessageError {
    /// A negative number that is no known layout.
    #[error("Got unrecognized protocol version {0}")]
    Version(i64),
    /// Its addresses are empty or too long.
    #[error("Unreasonable buffer length: {0}")]
    Length(i32),
    /// No `host:port`, or a port that is none.
    #[error("Badly formed address: {0}")]
    Address(String),
}

/// How far an initial message has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitialProgress {
    /// So many bytes more certainly belong to it.
    Needs(usize),
    /// It is whole.
    Whole(InitialMessage),
}

/// Who dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMessage {
    /// The dialer.
    pub server: ServerId,
    /// Where to dial it back. Empty: where the configuration says.
    pub addresses: Vec<Endpoint>,
}

impl InitialMessage {
    /// One address.
    const V1: i64 = -65536;
    /// Several addresses, with `multiAddress.enabled`. Both are read alike.
    const V2: i64 = -65535;
    /// The layout, the server, and the length of the addresses.
    const HEADER: usize = 20;
    /// The longest text of addresses.
    const MAX_ADDRESSES: usize = 2048;
    /// No initial message is longer, in bytes.
    pub const MAX_LENGTH: usize = Self::HEADER + Self::MAX_ADDRESSES;

    /// Looks at what has arrived. A dialer from before 3.5 sends nothing but its id.
    ///
    /// # Errors
    /// It is no initial message. No answer exists; the connection is closed.
    pub fn parse(bytes: &[u8]) -> Result<InitialProgress, InitialMessageError> {
        let needs = |length: usize| Ok(InitialProgress::Needs(length - bytes.len()));
        let mut input = Decoder::new(bytes);
        let Ok(version) = input.long() else {
            return needs(8);
        };
        if version >= 0 {
            return Ok(InitialProgress::Whole(Self {
                server: ServerId(version),
                addresses: Vec::new(),
            }));
        }
        if version != Self::V1 && version != Self::V2 {
            return Err(InitialMessageError::Version(version));
        }
        let header = |input: &mut Decoder<'_>| -> Result<_, DecodeError> {
            Ok((ServerId(input.long()?), input.int()?))
        };
        let Ok((server, length)) = header(&mut input) else {
            return needs(Self::HEADER);
        };
        let text = match usize::try_from(length) {
            Ok(length @ 1..=Self::MAX_ADDRESSES) => match input.take(length) {
                Ok(text) => String::from_utf8_lossy(text),
                Err(_) => return needs(Self::HEADER + length),
            },
            Ok(_) | Err(_) => return Err(InitialMessageError::Length(length)),
        };
        let mut addresses = Vec::new();
        for text in text.split('|') {
            let address = Endpoint::parse(text)
                .ok_or_else(|| InitialMessageError::Address(text.to_owned()))?;
            if !address.is_wildcard() {
                addresses.push(address);
            }
        }
        Ok(InitialProgress::Whole(Self { server, addresses }))
    }

    /// The message in the layout for one address, which is that of the first one, or the layout
    /// for several.
    pub fn to_bytes(&self, several: bool) -> Vec<u8> {
        let (version, addresses) = match several {
            true => (Self::V2, &self.addresses[..]),
            false => (Self::V1, self.addresses.get(..1).unwrap_or_default()),
        };
        let addresses: Vec<_> = addresses.iter().map(Endpoint::to_string).collect();
        let mut out = Vec::new();
        version.encode(&mut out);
        self.server.0.encode(&mut out);
        addresses.join("|").encode(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> InitialMessage {
        match InitialMessage::parse(bytes).unwrap() {
            InitialProgress::Whole(message) => message,
            InitialProgress::Needs(bytes) => panic!("{bytes} bytes are missing"),
        }
    }

    #[track_caller]
    fn check(hex: &str, several: bool, server: i64, addresses: &[&str]) {
        let bytes = hex::decode(hex.replace(' ', "")).unwrap();
        let addresses = addresses.iter().map(|text| Endpoint::parse(text).unwrap());
        let message = InitialMessage {
            server: ServerId(server),
            addresses: addresses.collect(),
        };
        assert_eq!(whole(&bytes), message);
        assert_eq!(message.to_bytes(several), bytes);
        for cut in 0..bytes.len() {
            match InitialMessage::parse(&bytes[..cut]).unwrap() {
                InitialProgress::Needs(more) => assert!(0 < more && more <= bytes.len() - cut),
                InitialProgress::Whole(_) => panic!("whole after {cut} bytes"),
            }
        }
    }

    /// From basic/026 and an ensemble with several addresses (auth-misc/023).
    #[test]
    fn initial_messages_are_what_java_writes() {
        check(
            "ffffffffffff0000 0000000000000002 0000000f 3132372e302e302e313a3231323232",
            false,
            2,
            &["127.0.0.1:21222"],
        );
        check(
            "ffffffffffff0001 0000000000000001 0000001f \
             3132372e302e302e313a32313232317c3132372e302e302e323a3231323231",
            true,
            1,
            &["127.0.0.1:21221", "127.0.0.2:21221"],
        );
    }

    fn message(version: i64, length: i32, addresses: &str) -> Vec<u8> {
        let mut out = Vec::new();
        version.encode(&mut out);
        9_i64.encode(&mut out);
        length.encode(&mut out);
        out.extend_from_slice(addresses.as_bytes());
        out
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], expected: &str) {
        let error = InitialMessage::parse(bytes).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_is_wrong_is_refused_before_more_is_awaited() {
        check_refused(
            &(-65537_i64).to_be_bytes(),
            "Got unrecognized protocol version -65537",
        );
        for length in [0, -1, 2049, i32::MIN, i32::MAX] {
            check_refused(
                &message(InitialMessage::V1, length, ""),
                &format!("Unreasonable buffer length: {length}"),
            );
        }
        for address in ["host", "host:x", "host:70000", "a:1|", "[::1]", "a:1:2"] {
            let length = i32::try_from(address.len()).unwrap();
            let error = InitialMessage::parse(&message(InitialMessage::V2, length, address));
            assert!(
                matches!(error, Err(InitialMessageError::Address(_))),
                "{address}"
            );
        }
    }

    #[test]
    fn a_bare_id_is_a_whole_message() {
        let message = whole(&7_i64.to_be_bytes());
        assert_eq!((message.server, message.addresses), (ServerId(7), vec![]));
    }

    #[test]
    fn wildcards_are_nowhere_to_dial() {
        let text = "0.0.0.0:1|[::]:2|[::1]:3|name:4";
        let length = i32::try_from(text.len()).unwrap();
        let addresses = whole(&message(InitialMessage::V2, length, text)).addresses;
        assert_eq!(
            addresses,
            [Endpoint::new("::1", 3), Endpoint::new("name", 4)]
        );
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(
            known in any::<bool>(),
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let version: &[u8] = if known { &[255, 255, 255, 255, 255, 255, 0, 0] } else { &[] };
            let _ = InitialMessage::parse(&[version, &bytes].concat());
        }
    }
}
