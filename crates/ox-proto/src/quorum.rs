//! What servers say to each other: the packets of the learner port and the notifications of an
//! election.
//!
//! Invariant: no length that a peer claims sizes an allocation. Source: `zookeeper.jute`
//! (`QuorumPacket`, `LearnerInfo`), `Leader.java`, `FastLeaderElection.java`,
//! `QuorumCnxManager.java`; quorum.md 2.2, 3.1 and chapter 4.

use std::sync::Arc;

use bytes::Bytes;
use ox_jute::{DecodeError, Decoder, Jute};

use crate::{Id, ServerId, Zxid};

macro_rules! packet_types {
    ($($(#[$meta:meta])* $name:ident = $code:literal,)*) => {
        /// What a [`QuorumPacket`] is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PacketType {
            $($(#[$meta])* $name,)*
            /// A number that means nothing; whoever receives it goes on.
            Unknown(i32),
        }

        impl PacketType {
            /// The packet type of a number.
            pub fn from_code(code: i32) -> Self {
                match code {
                    $($code => Self::$name,)*
                    other => Self::Unknown(other),
                }
            }

            /// The number on the wire.
            pub fn code(self) -> i32 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Unknown(code) => code,
                }
            }
        }
    };
}

packet_types! {
    /// A client's request on its way from a learner to the leader.
    Request = 1,
    /// A transaction to be logged and acknowledged.
    Proposal = 2,
    /// A proposal, or NEWLEADER, is on the sender's stable storage.
    Ack = 3,
    /// A quorum holds the proposal: apply it.
    Commit = 4,
    /// Both ways, every half tick; a learner's answer carries the sessions it has heard from.
    Ping = 5,
    /// Whether a session may be taken up again, and the answer.
    Revalidate = 6,
    /// A learner's oldest sync has come through.
    Sync = 7,
    /// A committed transaction, for observers.
    Inform = 8,
    /// A commit that changes the members.
    CommitAndActivate = 9,
    /// The end of the synchronized history, and the leader's newest configuration.
    NewLeader = 10,
    /// A learner that votes introduces itself.
    FollowerInfo = 11,
    /// The learner may serve clients.
    UpToDate = 12,
    /// The history follows as proposals and commits.
    Diff = 13,
    /// The learner must forget what it has behind this zxid.
    Trunc = 14,
    /// The whole state follows, outside of any packet.
    Snap = 15,
    /// A learner that does not vote introduces itself.
    ObserverInfo = 16,
    /// The new epoch.
    LeaderInfo = 17,
    /// The learner has accepted the new epoch.
    AckEpoch = 18,
    /// An inform that changes the members.
    InformAndActivate = 19,
}

/// One packet of the learner port. The stream has no other frames.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuorumPacket {
    /// What it is.
    pub r#type: PacketType,
    /// Its meaning depends on the type; the epoch of a packet is always in its upper half.
    pub zxid: Zxid,
    /// Null and empty are different on the wire.
    pub data: Option<Bytes>,
    /// The identities of the client whose request this is; null in every other packet.
    pub authinfo: Option<Arc<[Id]>>,
}

impl QuorumPacket {
    /// The zxid of packets that have none.
    pub const NO_ZXID: Zxid = Zxid(-1);

    /// More identities than any client has; a packet with more is not taken.
    pub const MAX_IDENTITIES: i32 = 1024;

    /// A packet without data and identities.
    pub fn bare(r#type: PacketType, zxid: Zxid) -> Self {
        Self {
            r#type,
            zxid,
            data: None,
            authinfo: None,
        }
    }

    /// A packet with data and without identities.
    pub fn with_data(r#type: PacketType, zxid: Zxid, data: impl Into<Bytes>) -> Self {
        Self {
            data: Some(data.into()),
            ..Self::bare(r#type, zxid)
        }
    }

    /// Appends a packet without identities, straight from the bytes of its data.
    pub fn write(r#type: PacketType, zxid: Zxid, data: Option<&[u8]>, out: &mut Vec<u8>) {
        r#type.code().encode(out);
        zxid.encode(out);
        match data {
            None => (-1_i32).encode(out),
            Some(data) => {
                i32::try_from(data.len())
                    .expect("a packet's data fits a jute buffer")
                    .encode(out);
                out.extend_from_slice(data);
            }
        }
        (-1_i32).encode(out);
    }

    /// Takes the packet at the front of what has arrived: it, and how many bytes it took. `None`
    /// if it is not whole yet. `limit` is the most bytes that its data may have, and its
    /// identities together; so less than three times as many need to be kept.
    ///
    /// # Errors
    /// A length over `limit` or below -1, or more than [`Self::MAX_IDENTITIES`].
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((_, length)) = Self::measure(bytes, limit)? else {
            return Ok(None);
        };
        let mut input = Decoder::new(&bytes[..length]).with_limit(limit);
        Ok(Some((Self::decode(&mut input)?, length)))
    }

    /// What the packet at the front is and how long, found without taking any of it up: nothing is
    /// allocated for a packet that is still on its way. `limit` as in [`Self::parse`].
    ///
    /// # Errors
    /// As of [`Self::parse`].
    pub fn measure(bytes: &[u8], limit: usize) -> Result<Option<(PacketType, usize)>, DecodeError> {
        match Self::measure_whole(bytes, limit) {
            Ok(measured) => Ok(Some(measured)),
            Err(DecodeError::End) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn measure_whole(bytes: &[u8], limit: usize) -> Result<(PacketType, usize), DecodeError> {
        let mut input = Decoder::new(bytes).with_limit(limit);
        let r#type = PacketType::from_code(input.int()?);
        input.long()?;
        input.slice()?;
        let behind_data = input.remaining().len();
        let identities = input.int()?;
        if Self::MAX_IDENTITIES < identities {
            return Err(DecodeError::Length(identities));
        }
        for _ in 0..identities {
            input.slice()?;
            input.slice()?;
            if limit < behind_data - input.remaining().len() {
                return Err(DecodeError::Length(identities));
            }
        }
        Ok((r#type, bytes.len() - input.remaining().len()))
    }
}

impl Jute for QuorumPacket {
    const NAME: &'static str = "QuorumPacket";

    fn encode(&self, out: &mut Vec<u8>) {
        self.r#type.code().encode(out);
        self.zxid.encode(out);
        self.data.encode(out);
        match self.authinfo.as_deref() {
            None => (-1_i32).encode(out),
            Some(ids) => {
                i32::try_from(ids.len())
                    .expect("a client has fewer identities")
                    .encode(out);
                ids.iter().for_each(|id| id.encode(out));
            }
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            r#type: PacketType::from_code(input.int()?),
            zxid: Jute::decode(input)?,
            data: input.buffer()?,
            authinfo: input.vector()?.map(Arc::from),
        })
    }
}

/// How a learner introduces itself: the data of FOLLOWERINFO and OBSERVERINFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LearnerInfo {
    /// Who it is.
    pub server: ServerId,
    /// [`LearnerInfo::PROTOCOL`] since 3.4; 1 before.
    pub protocol_version: i32,
    /// The version of its committed configuration.
    pub config_version: i64,
}

impl LearnerInfo {
    /// The protocol with LEADERINFO and ACKEPOCH, spoken by everything since 3.4.
    pub const PROTOCOL: i32 = 0x10000;

    /// Reads the data of an introduction. Older learners leave the later fields out.
    ///
    /// # Errors
    /// Less than a server id.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(data);
        Ok(Self {
            server: ServerId(input.long()?),
            protocol_version: input.int().unwrap_or(1),
            config_version: input.long().unwrap_or(0),
        })
    }

    /// The data of an introduction.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        self.server.0.encode(&mut out);
        self.protocol_version.encode(&mut out);
        self.config_version.encode(&mut out);
        out
    }
}

/// What the sender of a [`Notification`] is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerState {
    /// It elects.
    Looking,
    /// It follows the server it names.
    Following,
    /// It leads.
    Leading,
    /// It observes.
    Observing,
}

impl PeerState {
    /// The state of a number, if it means one.
    pub fn from_code(code: i32) -> Option<Self> {
        [
            Self::Looking,
            Self::Following,
            Self::Leading,
            Self::Observing,
        ]
        .into_iter()
        .find(|state| state.code() == code)
    }

    /// The number on the wire.
    pub fn code(self) -> i32 {
        match self {
            Self::Looking => 0,
            Self::Following => 1,
            Self::Leading => 2,
            Self::Observing => 3,
        }
    }
}

/// A vote, as servers tell it to each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// What the sender is doing; `None` if the number means nothing.
    pub state: Option<PeerState>,
    /// Whom it votes for; `i64::MIN` is nobody.
    pub leader: ServerId,
    /// The last zxid of the server voted for.
    pub zxid: Zxid,
    /// The round of the election, by the sender's logical clock; -1 after a reconfiguration that
    /// named a leader.
    pub election_epoch: i64,
    /// The current epoch of the server voted for; `i64::MIN` with a vote for nobody.
    pub peer_epoch: i64,
    /// The layout: 2 since 3.5.
    pub version: i32,
    /// The text of the sender's committed configuration, since version 2.
    pub config: Option<Bytes>,
}

impl Notification {
    /// The layout that is sent.
    pub const VERSION: i32 = 2;

    /// The longest notification that is taken; a peer that sends a longer one is cut off.
    pub const MAX_LENGTH: usize = 524_288;

    /// Without its last fields, before 3.4.
    const SHORTEST: usize = 28;
    /// Without a configuration. A version stands behind it only in longer ones.
    const WITH_PEER_EPOCH: usize = 40;

    /// Reads a notification. `None` if it is too short to be one, or its lengths are wrong.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::SHORTEST {
            return None;
        }
        let mut input = Decoder::new(bytes).with_limit(bytes.len());
        let state = PeerState::from_code(input.int().ok()?);
        let leader = ServerId(input.long().ok()?);
        let zxid = Zxid(input.long().ok()?);
        let election_epoch = input.long().ok()?;
        let mut notification = Self {
            state,
            leader,
            zxid,
            election_epoch,
            peer_epoch: i64::from(zxid.epoch()),
            version: 0,
            config: None,
        };
        if bytes.len() > Self::SHORTEST {
            notification.peer_epoch = input.long().ok()?;
        }
        if bytes.len() > Self::SHORTEST && bytes.len() != Self::WITH_PEER_EPOCH {
            notification.version = input.int().ok()?;
        }
        if notification.version > 1 {
            notification.config = input.buffer().ok()?;
            notification.config.as_ref()?;
        }
        Some(notification)
    }

    /// The message, without the length that goes before it on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let config = self.config.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(44 + config.len());
        self.state.map_or(-1, PeerState::code).encode(&mut out);
        self.leader.0.encode(&mut out);
        self.zxid.encode(&mut out);
        self.election_epoch.encode(&mut out);
        self.peer_epoch.encode(&mut out);
        self.version.encode(&mut out);
        i32::try_from(config.len())
            .expect("a configuration fits a notification")
            .encode(&mut out);
        out.extend_from_slice(config);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hex: &str, packet: &QuorumPacket) {
        let bytes = hex::decode(hex.replace(' ', "")).unwrap();
        assert_eq!(
            QuorumPacket::parse(&bytes, 1000).unwrap(),
            Some((packet.clone(), bytes.len()))
        );
        let mut written = Vec::new();
        packet.encode(&mut written);
        assert_eq!(written, bytes);
        for cut in 0..bytes.len() {
            assert_eq!(QuorumPacket::parse(&bytes[..cut], 1000).unwrap(), None);
        }
    }

    /// From basic/033 and basic/057 of the captures.
    #[test]
    fn packets_are_what_java_writes() {
        let info = LearnerInfo {
            server: ServerId(1),
            protocol_version: LearnerInfo::PROTOCOL,
            config_version: 0,
        };
        check(
            "0000000b 0000000000000000 00000014 0000000000000001 00010000 0000000000000000 ffffffff",
            &QuorumPacket::with_data(PacketType::FollowerInfo, Zxid::ZERO, info.to_bytes()),
        );
        check(
            "0000000c ffffffffffffffff ffffffff ffffffff",
            &QuorumPacket::bare(PacketType::UpToDate, QuorumPacket::NO_ZXID),
        );
        let mut request = QuorumPacket::with_data(
            PacketType::Request,
            QuorumPacket::NO_ZXID,
            Bytes::from_static(&[1, 2]),
        );
        request.authinfo = Some([Id::new("ip", "127.0.0.1")].into());
        check(
            "00000001 ffffffffffffffff 00000002 0102 \
             00000001 000000026970 000000093132372e302e302e31",
            &request,
        );
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
        let bytes = hex::decode("000000020000000100000001000003e9").unwrap();
        assert!(QuorumPacket::parse(&bytes, 1000).is_err());
        assert_eq!(QuorumPacket::parse(&bytes, 1001).unwrap(), None);
    }

    #[test]
    fn identities_are_bounded_in_number_and_together() {
        let mut packet = QuorumPacket::bare(PacketType::Request, QuorumPacket::NO_ZXID);
        let encoded = |packet: &QuorumPacket| {
            let mut bytes = Vec::new();
            packet.encode(&mut bytes);
            bytes
        };
        packet.authinfo = Some(vec![Id::new("", ""); 1025].into());
        let many = encoded(&packet);
        assert!(QuorumPacket::parse(&many[..20], 1000).is_err());
        packet.authinfo = Some(vec![Id::new("ip", "0123456789"); 51].into());
        let long = encoded(&packet);
        assert!(QuorumPacket::parse(&long, 1000).is_err());
        assert_eq!(
            QuorumPacket::parse(&long, 1024).unwrap(),
            Some((packet, long.len()))
        );
    }

    #[test]
    fn an_introduction_may_lack_its_later_fields() {
        let whole = LearnerInfo {
            server: ServerId(4),
            protocol_version: LearnerInfo::PROTOCOL,
            config_version: 7,
        };
        let bytes = whole.to_bytes();
        assert_eq!(LearnerInfo::parse(&bytes), Ok(whole));
        let old = LearnerInfo::parse(&bytes[..8]).unwrap();
        assert_eq!((old.protocol_version, old.config_version), (1, 0));
        assert!(LearnerInfo::parse(&bytes[..7]).is_err());
    }

    #[test]
    fn notifications_are_read_by_their_length() {
        let whole = Notification {
            state: Some(PeerState::Leading),
            leader: ServerId(3),
            zxid: Zxid::new(2, 9),
            election_epoch: 5,
            peer_epoch: 7,
            version: Notification::VERSION,
            config: Some(Bytes::from_static(b"version=0")),
        };
        let bytes = whole.to_bytes();
        assert_eq!(Notification::parse(&bytes), Some(whole.clone()));
        let parsed = |length: usize| Notification::parse(&bytes[..length]);
        assert_eq!(parsed(27), None);
        let shortest = parsed(28).unwrap();
        assert_eq!((shortest.peer_epoch, shortest.version), (2, 0));
        assert_eq!(parsed(36), None);
        let older = parsed(40).unwrap();
        assert_eq!((older.peer_epoch, older.version), (7, 0));
        assert_eq!(parsed(bytes.len() - 1), None);
    }
}
