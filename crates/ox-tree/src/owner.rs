//! What `ephemeralOwner` says about a znode.
//!
//! Source: `org.apache.zookeeper.server.EphemeralType`; storage.md 10.2.

use ox_proto::SessionId;

/// How a tree reads its transactions and images; the same on every server of an ensemble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeOptions {
    /// TTL nodes exist (`zookeeper.extendedTypesEnabled`).
    pub extended_types: bool,
    /// Any negative owner but a container's is a TTL node, as ZooKeeper 3.5.3 wrote them
    /// (`zookeeper.emulate353TTLNodes`). Counts only together with `extended_types`.
    pub emulate_353_ttl: bool,
    /// Keep the digest of the tree (`zookeeper.digest.enabled`).
    pub digest: bool,
}

/// The longest life of a TTL node, in milliseconds.
pub const MAX_TTL: i64 = (1 << 40) - 1;

/// The owner of every container.
pub const CONTAINER_OWNER: i64 = i64::MIN;

/// The high byte that marks a TTL node; the next two bytes name the feature, which is 0.
const EXTENDED_MASK: i64 = 0xff << 56;

/// The bits of a TTL in the owners that 3.5.3 wrote.
const MAX_TTL_353: i64 = i64::MAX >> 3;

/// What kind of znode an owner makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKind {
    /// Stays until it is deleted.
    Persistent,
    /// Goes with its session.
    Ephemeral(SessionId),
    /// May be deleted by the server once its last child has gone.
    Container,
    /// May be deleted by the server if it had no children and no change for so many milliseconds.
    Ttl(i64),
}

/// Reads a stored owner. With extended types an owner of an unknown feature counts as a session;
/// an image that holds one is refused before that matters.
pub fn owner_kind(ephemeral_owner: i64, options: &TreeOptions) -> OwnerKind {
    if ephemeral_owner == 0 {
        OwnerKind::Persistent
    } else if ephemeral_owner == CONTAINER_OWNER {
        OwnerKind::Container
    } else if options.extended_types && is_ttl_owner(ephemeral_owner) {
        OwnerKind::Ttl(ephemeral_owner & MAX_TTL)
    } else if options.extended_types && options.emulate_353_ttl && ephemeral_owner < 0 {
        OwnerKind::Ttl(ephemeral_owner & MAX_TTL_353)
    } else {
        OwnerKind::Ephemeral(SessionId(ephemeral_owner))
    }
}

/// The stored owner of a TTL node; `None` for a time that none can have.
pub fn ttl_owner(ttl: i64) -> Option<i64> {
    (1..=MAX_TTL).contains(&ttl).then_some(EXTENDED_MASK | ttl)
}

/// True if with extended types this is a TTL node, and without them passes for a session.
pub(crate) fn is_ttl_owner(ephemeral_owner: i64) -> bool {
    ephemeral_owner & !MAX_TTL == EXTENDED_MASK
}

/// True for an owner that marks a feature nobody knows.
pub(crate) fn is_unknown_feature(ephemeral_owner: i64, options: &TreeOptions) -> bool {
    options.extended_types
        && !options.emulate_353_ttl
        && ephemeral_owner & EXTENDED_MASK == EXTENDED_MASK
        && !is_ttl_owner(ephemeral_owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: TreeOptions = TreeOptions {
        extended_types: false,
        emulate_353_ttl: false,
        digest: false,
    };
    const EXTENDED: TreeOptions = TreeOptions {
        extended_types: true,
        ..PLAIN
    };
    const EMULATED: TreeOptions = TreeOptions {
        emulate_353_ttl: true,
        ..EXTENDED
    };

    #[track_caller]
    fn check(owner: u64, plain: OwnerKind, extended: OwnerKind, emulated: OwnerKind) {
        let owner = owner.cast_signed();
        assert_eq!(owner_kind(owner, &PLAIN), plain);
        assert_eq!(owner_kind(owner, &EXTENDED), extended);
        assert_eq!(owner_kind(owner, &EMULATED), emulated);
    }

    #[test]
    fn an_owner_tells_the_kind() {
        use OwnerKind::{Container, Ephemeral, Persistent, Ttl};
        let session = |id: u64| Ephemeral(SessionId(id.cast_signed()));
        check(0, Persistent, Persistent, Persistent);
        check(1 << 63, Container, Container, Container);
        check(
            0x0100_0000,
            session(0x0100_0000),
            session(0x0100_0000),
            session(0x0100_0000),
        );
        let ttl = 0xff00_0000_0000_2710;
        check(ttl, session(ttl), Ttl(10_000), Ttl(10_000));
        let old = 0x8000_0000_0000_2710;
        check(old, session(old), session(old), Ttl(10_000));
        let feature = 0xff00_0100_0000_2710;
        check(
            feature,
            session(feature),
            session(feature),
            Ttl(0x0f00_0100_0000_2710),
        );
    }

    #[test]
    fn a_ttl_lies_between_one_and_two_to_the_forty() {
        assert_eq!(ttl_owner(0), None);
        assert_eq!(ttl_owner(1 << 40), None);
        assert_eq!(ttl_owner(-1), None);
        let longest = ttl_owner(MAX_TTL).unwrap();
        assert_eq!(
            owner_kind(longest, &EXTENDED),
            OwnerKind::Ttl(1_099_511_627_775)
        );
    }

    #[test]
    fn only_extended_types_know_that_a_feature_is_unknown() {
        let owner = 0xff00_0100_0000_0000_u64.cast_signed();
        assert!(is_unknown_feature(owner, &EXTENDED));
        assert!(!is_unknown_feature(owner, &PLAIN));
        assert!(!is_unknown_feature(owner, &EMULATED));
    }
}
