//! The properties, one a file.

pub(crate) mod p01_write_order;
pub(crate) mod p02_write_semantics;
pub(crate) mod p03_unknown_outcomes;
pub(crate) mod p04_fifo;
pub(crate) mod p05_monotonic;
pub(crate) mod p06_read_your_writes;
pub(crate) mod p07_sync;
pub(crate) mod p08_durability;
pub(crate) mod p09_atomic_multi;
pub(crate) mod p10_ephemerals;
pub(crate) mod p11_session_life;
pub(crate) mod p12_sequential;
pub(crate) mod p13_watch_order;
pub(crate) mod p14_watch_once;
pub(crate) mod p15_watch_reconnect;
pub(crate) mod p16_stat_algebra;
pub(crate) mod p17_replica_agreement;
pub(crate) mod p19_acl;
pub(crate) mod p20_linearizable;
pub(crate) mod p21_quotas;
