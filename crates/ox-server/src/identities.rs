//! How many identities a connection may have, and how long they may be.
//!
//! A learner sends all of them along with each write that it forwards, in one packet. Invariant:
//! they fit into one that a leader takes; it would end the connection of the learner for a longer
//! one, whatever client it came from.

use std::sync::Arc;

use ox_proto::Id;

/// Each costs time in every check against an acl.
const MAX_IDENTITIES: usize = 256;

/// Bytes of an identity in a packet besides its scheme and its id.
const LENGTHS: usize = 8;

/// Bytes in front of all of them.
const COUNT: usize = 4;

/// The identities of a connection and those that it was granted. `None` if they would be too many,
/// or take more than `max_bytes` in a packet: as much as a client can say at once.
pub(crate) fn with_more(ids: &[Id], granted: Vec<Id>, max_bytes: usize) -> Option<Arc<[Id]>> {
    let mut ids = ids.to_vec();
    for id in granted {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let bytes = ids.iter().fold(COUNT, |bytes, id| {
        bytes + LENGTHS + id.scheme.len() + id.id.len()
    });
    (ids.len() <= MAX_IDENTITIES && bytes <= max_bytes).then(|| ids.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(length: usize) -> Id {
        Id::new("digest", "u".repeat(length))
    }

    #[test]
    fn identities_are_kept_once_and_only_so_many() {
        let mut ids: Arc<[Id]> = [].into();
        for length in 0..MAX_IDENTITIES {
            for _ in 0..2 {
                ids = with_more(&ids, vec![digest(length)], usize::MAX).unwrap();
            }
        }
        assert_eq!(ids.len(), MAX_IDENTITIES);
        assert_eq!(
            with_more(&ids, vec![digest(MAX_IDENTITIES)], usize::MAX),
            None
        );
    }

    #[test]
    fn together_they_fit_into_a_packet_that_a_leader_takes() {
        use ox_jute::Jute;
        use ox_proto::{PacketType, QuorumPacket};

        let limit = 1000;
        let ids = with_more(&[], vec![digest(400), digest(568)], limit).unwrap();
        let mut packet = QuorumPacket::bare(PacketType::Request, QuorumPacket::NO_ZXID);
        packet.authinfo = Some(Arc::clone(&ids));
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        assert!(QuorumPacket::parse(&bytes, limit).unwrap().is_some());
        assert!(QuorumPacket::parse(&bytes, limit - 1).is_err());
        assert_eq!(with_more(&ids, vec![digest(0)], limit), None);
    }
}
