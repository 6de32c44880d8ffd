//! The properties, one a file.

pub(crate) mod p01_write_order;
pub(crate) mod p02_write_semantics;
pub(crate) mod p03_unknown_outcomes;
pub(crate) mod p04_fifo;
pub(crate) mod p05_monotonic;
pub(crate) mod p06_read_your_writes;
pub(crate) mod p08_durability;
pub(crate) mod p10_ephemerals;
pub(crate) mod p13_watch_order;
pub(crate) mod p14_watch_once;
pub(crate) mod p15_watch_reconnect;
