//! What the configuration says of the disk.

use ox_store::{MemberSettings, StoreSettings};
use ox_tree::TreeOptions;
use ox_txnlog::{Compression, LogConfig};

use crate::config::{Config, SnapshotCompression};

/// How this server keeps its disk.
pub(crate) fn of(config: &Config, hash_seed: u64) -> StoreSettings {
    let limits = &config.limits;
    let snapshots = &config.snapshots;
    StoreSettings {
        log: LogConfig {
            preallocate: config.log.preallocate,
            force_sync: config.log.force_sync,
            fsync_warning: config.log.fsync_warning,
            size_limit: config.log.size_limit,
        },
        compression: match snapshots.compression {
            SnapshotCompression::None => Compression::None,
            SnapshotCompression::Gzip => Compression::Gz,
            SnapshotCompression::Snappy => Compression::Snappy,
        },
        tree: TreeOptions {
            extended_types: config.tree.extended_types,
            emulate_353_ttl: config.tree.emulate_353_ttl,
            digest: config.tree.digest,
        },
        max_record: limits
            .jute_max_buffer
            .saturating_add(limits.jute_extra_size),
        trust_empty: snapshots.trust_empty,
        member: config.ensemble.as_ref().map(|own| MemberSettings {
            commit_log_count: own.settings.leader.commit_log_count,
            snapshot_size_factor: own.settings.leader.snapshot_size_factor,
            begins_empty: own.settings.create_database,
            repairs: config.repair_from_peers,
        }),
        config_files: config
            .ensemble
            .as_ref()
            .and_then(|own| own.reconfig.as_ref())
            .map(|reconfig| reconfig.files.clone()),
        snapshot_every_txns: snapshots.every_txns,
        snapshot_every_bytes: snapshots.every_bytes,
        hash_seed,
    }
}
