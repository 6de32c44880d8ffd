//! Ids that could be taken for one another if they were plain integers.

use std::fmt;

use ox_jute::{DecodeError, Decoder, Jute};

/// Transaction id: epoch in the high 32 bits, counter within that epoch in the low 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

impl Zxid {
    /// Before every transaction.
    pub const ZERO: Self = Self(0);

    /// The last usable counter: `0xffff_ffff` is never proposed (quorum.md 6.5).
    const LAST_COUNTER: u32 = 0xffff_fffe;

    /// The zxid of `counter` within `epoch`.
    pub fn new(epoch: u32, counter: u32) -> Self {
        Self((u64::from(epoch) << 32 | u64::from(counter)).cast_signed())
    }

    /// The epoch: which leadership it belongs to.
    pub fn epoch(self) -> u32 {
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The counter within the epoch; the first transaction has 1.
    pub fn counter(self) -> u32 {
        let [.., a, b, c, d] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The next zxid of this epoch; `None` once the counter is spent: time for a new epoch.
    pub fn next(self) -> Option<Self> {
        (self.counter() < Self::LAST_COUNTER).then(|| Self(self.0 + 1))
    }

    /// The first zxid of the epoch after this one; `None` after the last epoch there can be.
    pub fn next_epoch(self) -> Option<Self> {
        self.epoch().checked_add(1).map(|epoch| Self::new(epoch, 1))
    }

    /// True if a transaction with this id may follow one with the id `earlier` in a log: the next
    /// counter of the same epoch, or any newer epoch.
    pub fn follows(self, earlier: Self) -> bool {
        self.0 == earlier.0.wrapping_add(1) || self.epoch() > earlier.epoch()
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Names a client's session on every server of the ensemble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session: a client without one, or a request that the server makes itself.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A member of the ensemble: the number in its `myid` file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

/// A client's number for its request; negative ones have meanings of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(pub i32);

impl Xid {
    /// A watch event.
    pub const NOTIFICATION: Self = Self(-1);
    /// A ping, in its reply whatever the request said.
    pub const PING: Self = Self(-2);
    /// An auth packet, by the clients' convention.
    pub const AUTH: Self = Self(-4);
    /// A setWatches, by the clients' convention.
    pub const SET_WATCHES: Self = Self(-8);
}

macro_rules! transparent {
    ($($name:ident($type:ty);)*) => {$(
        impl Jute for $name {
            const NAME: &'static str = <$type as Jute>::NAME;

            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }

            fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                Jute::decode(input).map(Self)
            }
        }
    )*};
}

transparent! {
    Zxid(i64);
    SessionId(i64);
    Xid(i32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zxid_is_an_epoch_and_a_counter() {
        let zxid = Zxid::new(2, 0x36);
        assert_eq!(
            (zxid.epoch(), zxid.counter(), zxid.to_string()),
            (2, 0x36, "0x200000036".into())
        );
        assert_eq!(zxid.next(), Some(Zxid::new(2, 0x37)));
    }

    #[test]
    fn the_counter_ends_before_all_ones_and_the_next_epoch_begins_at_one() {
        let last = Zxid::new(7, 0xffff_fffe);
        assert_eq!(last.next(), None);
        assert_eq!(last.next_epoch(), Some(Zxid::new(8, 1)));
        assert_eq!(Zxid::new(u32::MAX, 5).next_epoch(), None);
    }

    #[test]
    fn the_next_counter_or_a_newer_epoch_follows() {
        assert!(Zxid::new(1, 2).follows(Zxid::new(1, 1)));
        assert!(Zxid::new(2, 9).follows(Zxid::new(1, 1)));
        assert!(!Zxid::new(1, 3).follows(Zxid::new(1, 1)));
        assert!(!Zxid::new(1, 1).follows(Zxid::new(1, 1)));
    }
}
