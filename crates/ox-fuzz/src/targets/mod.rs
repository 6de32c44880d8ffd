//! What is fed with bytes: one reader a file.

mod client_frames;
mod config;
mod connect;
mod election;
mod epochs;
mod image;
mod jaas;
mod jute;
mod learner_packets;
mod log;
mod peer;
mod sasl;
mod snapshot;
mod transactions;

use crate::engine::Target;

/// All of them.
pub const TARGETS: &[Target] = &[
    jute::TARGET,
    connect::TARGET,
    client_frames::TARGET,
    election::TARGET,
    learner_packets::TARGET,
    peer::TARGET,
    transactions::TARGET,
    log::TARGET,
    snapshot::TARGET,
    image::TARGET,
    epochs::TARGET,
    config::TARGET,
    sasl::TARGET,
    jaas::TARGET,
];

/// Strings and buffers are believed up to this length, in bytes.
const MAX_RECORD: usize = 1 << 20;

/// For the tables of trees.
const HASH_SEED: u64 = 7;

const TREE: ox_tree::TreeOptions = ox_tree::TreeOptions {
    extended_types: true,
    emulate_353_ttl: false,
    digest: true,
};

/// The first byte, which says how the rest is to be read.
fn split_mode(bytes: &[u8]) -> (u8, &[u8]) {
    bytes
        .split_first()
        .map_or((0, bytes), |(mode, rest)| (*mode, rest))
}
