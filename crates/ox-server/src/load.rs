//! What is on disk becomes a database.
//!
//! Source: `FileTxnSnapLog.restore`, `ZKDatabase.loadDataBase`; storage.md 8.1 to 8.4.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use ox_proto::{SessionId, Txn, Zxid};
use ox_replica::{Database, DigestLog};
use ox_tree::image::ImageLoader;
use ox_tree::{DataTree, TreeOptions};
use ox_txnlog::{
    DataDirs, ImageSink, LoadOptions, ReplayError, ReplayOptions, SnapshotError, load_newest,
    replay,
};

use crate::config::Config;

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No snapshot to start from.
    #[error("Unable to load database on disk")]
    Snapshot(#[from] SnapshotError),
    /// The log behind the snapshot.
    #[error("Unable to load database on disk")]
    Replay(#[from] ReplayError),
    /// The tree in the snapshot.
    #[error("Unable to load database on disk")]
    Image(#[from] ox_tree::image::ImageError),
    /// TTL nodes in a tree that is to have none: a Java server would take them for ephemerals of
    /// a session that is gone, and delete them.
    #[error(
        "Unable to load database on disk: there are TTL nodes, such as {0}, but \
         zookeeper.extendedTypesEnabled is not true"
    )]
    TtlNodes(String),
}

/// What was found.
pub(crate) struct Found {
    pub(crate) database: Database,
    /// The newest snapshot; `None` on a new server.
    pub(crate) snapshot: Option<Zxid>,
}

/// Reads the newest snapshot and the log behind it.
pub(crate) fn load(config: &Config, dirs: &DataDirs, hash_seed: u64) -> Result<Found, LoadError> {
    let started = Instant::now();
    let options = options(config);
    let limits = &config.limits;
    let max_record = limits
        .jute_max_buffer
        .saturating_add(limits.jute_extra_size);
    let trust_empty = config.snapshots.trust_empty;
    let loaded = load_newest(dirs, LoadOptions { trust_empty }, || {
        Sink(ImageLoader::new(hash_seed, options).with_limit(max_record))
    })?;
    let (mut tree, sessions, snapshot) = match loaded {
        None => (DataTree::new(hash_seed, options), Vec::new(), None),
        Some(loaded) => {
            for error in &loaded.rejected {
                tracing::warn!("problem reading snap file: {}", crate::fatal::chain(error));
            }
            tracing::info!("Reading snapshot {}", loaded.file.path.display());
            let (mut tree, sessions) = loaded.sink.0.finish()?;
            tree.set_last_zxid(loaded.file.zxid);
            (tree, sessions, Some(loaded.file.zxid))
        }
    };
    let mut sessions: BTreeMap<SessionId, i32> = sessions.into_iter().collect();
    let after = tree.last_zxid();
    let mut digests = DigestLog::default();
    let mut mismatches = 0_u64;
    let replay_options = ReplayOptions {
        max_record,
        ..ReplayOptions::default()
    };
    let replayed = replay(dirs, after, &replay_options, &mut |_, record| {
        tree.apply(&record.header, &record.txn, &mut |_| {});
        let zxid = record.header.zxid;
        match &record.txn {
            Txn::CreateSession(txn) => {
                sessions.insert(record.header.client_id, txn.timeout_ms);
            }
            Txn::CloseSession(_) => {
                sessions.remove(&record.header.client_id);
            }
            _ => {}
        }
        if record
            .digest
            .as_ref()
            .is_some_and(|digest| digest.tree_digest != tree.digest())
        {
            mismatches += 1;
        }
        digests.note(zxid, tree.digest());
        Ok(())
    })?;
    for warning in &replayed.warnings {
        tracing::warn!("{warning}");
    }
    let is_session = |id| sessions.contains_key(&id);
    if let Some(path) = tree.mistaken_ttl_node(is_session) {
        return Err(LoadError::TtlNodes(path));
    }
    tracing::info!(
        "Snapshot loaded and {} txns replayed in {} ms, highest zxid is {}, digest is {} ({:#x}), \
         {} znodes, {} sessions",
        replayed.records,
        started.elapsed().as_millis(),
        tree.last_zxid(),
        tree.digest(),
        tree.digest(),
        tree.node_count(),
        sessions.len(),
    );
    if mismatches > 0 {
        tracing::debug!(
            mismatches,
            "digests differed while the snapshot was not yet made whole by the log"
        );
    }
    Ok(Found {
        database: Database::new(tree, sessions, digests, hash_seed),
        snapshot,
    })
}

/// How the tree reads its transactions.
pub(crate) fn options(config: &Config) -> TreeOptions {
    TreeOptions {
        extended_types: config.tree.extended_types,
        emulate_353_ttl: config.tree.emulate_353_ttl,
        digest: config.tree.digest,
    }
}

struct Sink(ImageLoader);

impl ImageSink for Sink {
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), Box<dyn Error + Send + Sync>> {
        let fed = self.0.feed(window)?;
        Ok((fed.consumed, fed.done))
    }
}
