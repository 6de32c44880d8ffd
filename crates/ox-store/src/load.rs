//! What is on disk becomes a database.
//!
//! Source: `FileTxnSnapLog.restore`, `ZKDatabase.loadDataBase`; storage.md 8.1 to 8.4.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use ox_proto::{SessionId, Txn, TxnDigest, Zxid};
use ox_replica::{DigestLog, State};
use ox_tree::DataTree;
use ox_tree::image::ImageLoader;
use ox_txnlog::{
    Before, DataDirs, ImageSink, LoadOptions, ReplayError, SnapshotDigest, SnapshotError,
    load_newest, replay,
};
use ox_zab::History;

use crate::settings::StoreSettings;

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
pub struct Found {
    /// The znodes and the sessions.
    pub state: State,
    /// The newest entries of the log: what a leader sends to learners that lack them. Empty on a
    /// server that is alone.
    pub history: History,
    /// The newest snapshot; `None` on a new server.
    pub snapshot: Option<Zxid>,
}

/// Reads the newest snapshot and the log behind it.
pub fn load(dirs: &DataDirs, settings: &StoreSettings) -> Result<Found, LoadError> {
    let started = Instant::now();
    let (hash_seed, options) = (settings.hash_seed, settings.tree);
    let trust_empty = settings.trust_empty;
    let loaded = load_newest(dirs, LoadOptions { trust_empty }, || {
        Sink(ImageLoader::new(hash_seed, options).with_limit(settings.max_record))
    })?;
    let mut check = DigestCheck::default();
    let (mut tree, sessions, snapshot) = match loaded {
        None => (DataTree::new(hash_seed, options), Vec::new(), None),
        Some(loaded) => {
            for error in &loaded.rejected {
                tracing::warn!("problem reading snap file: {}", chain(error));
            }
            tracing::info!("Reading snapshot {}", loaded.file.path.display());
            let (mut tree, sessions) = loaded.sink.0.finish()?;
            tree.set_last_zxid(loaded.file.zxid);
            check = DigestCheck::new(loaded.file.zxid, loaded.tail.digest.as_ref());
            (tree, sessions, Some(loaded.file.zxid))
        }
    };
    let mut sessions: BTreeMap<SessionId, i32> = sessions.into_iter().collect();
    let after = tree.last_zxid();
    let mut digests = DigestLog::default();
    if options.digest {
        check.reach_target(after, tree.digest());
    }
    let keep = settings.member.map(|member| member.commit_log_count);
    let mut history = History::new(after, keep.unwrap_or(0));
    let replay_options = settings.replay_options();
    let replayed = replay(
        dirs,
        after,
        &replay_options,
        &mut |payload, record, before| {
            tree.apply(&record.header, &record.txn, &mut |_| {});
            let zxid = record.header.zxid;
            if keep.is_some() {
                history.recovered(zxid, payload);
            }
            match &record.txn {
                Txn::CreateSession(txn) => {
                    sessions.insert(record.header.client_id, txn.timeout_ms);
                }
                Txn::CloseSession(_) => {
                    sessions.remove(&record.header.client_id);
                }
                _ => {}
            }
            if options.digest {
                check.applied(zxid, record.digest.as_ref(), tree.digest(), before)?;
            }
            digests.note(zxid, tree.digest());
            Ok(())
        },
    )?;
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
    Ok(Found {
        state: State {
            tree,
            sessions,
            digests,
        },
        history,
        snapshot,
    })
}

/// An error and all that caused it, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Compares digests while the log is replayed. A snapshot that was taken while the server went on
/// fits no digest until the log has made it whole; its own tells when that is. A mismatch is fatal
/// only where a log of ours may have lost its end; Java lives with any. Source: storage.md 8.4 and
/// 9.4.
#[derive(Default)]
struct DigestCheck {
    /// The snapshot's digest, and the transaction behind which it holds.
    target: Option<(Zxid, i64)>,
    reported: bool,
    /// Records may be missing, and nothing has shown yet that none are.
    is_doubtful: bool,
}

/// A log of ours has lost its last records, and holds zeros in their place.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log before it has lost its last records: with this one the tree has digest {found:#x}, \
     it had {expected:#x}"
)]
struct Lost {
    expected: i64,
    found: i64,
}

impl DigestCheck {
    fn new(snapshot: Zxid, digest: Option<&SnapshotDigest>) -> Self {
        let usable = |digest: &&SnapshotDigest| {
            // Zero is what a new server writes before anything is applied, with a digest of zero.
            digest.version == SnapshotDigest::VERSION
                && snapshot <= digest.zxid
                && digest.zxid != Zxid::ZERO
        };
        let target = digest
            .filter(usable)
            .map(|digest| (digest.zxid, digest.digest));
        Self {
            target,
            ..Self::default()
        }
    }

    fn applied(
        &mut self,
        zxid: Zxid,
        stored: Option<&TxnDigest>,
        tree: i64,
        before: Before,
    ) -> Result<(), Lost> {
        // Behind a mismatch digests tell nothing any more.
        self.is_doubtful |= before == Before::Doubtful && !self.reported;
        let expected = match self.target {
            Some((target, digest)) => (target == zxid).then_some(digest),
            None => stored
                .filter(|stored| stored.version == TxnDigest::VERSION)
                .map(|stored| stored.tree_digest),
        };
        let Some(expected) = expected else {
            return Ok(());
        };
        self.target = None;
        self.compare(zxid, expected, tree);
        let is_doubtful = std::mem::take(&mut self.is_doubtful);
        match is_doubtful && expected != tree {
            true => Err(Lost {
                expected,
                found: tree,
            }),
            false => Ok(()),
        }
    }

    fn reach_target(&mut self, zxid: Zxid, tree: i64) {
        if let Some((_, digest)) = self.target.take_if(|(target, _)| *target == zxid) {
            self.compare(zxid, digest, tree);
        }
    }

    /// After one mismatch all that follow are its consequence.
    fn compare(&mut self, zxid: Zxid, stored: i64, tree: i64) {
        if stored != tree && !self.reported {
            self.reported = true;
            tracing::error!(
                "Digests are not matching. Value is Zxid. Value:{}; stored {stored:#x}, the tree \
                 has {tree:#x}",
                zxid.0,
            );
        }
    }
}

struct Sink(ImageLoader);

impl ImageSink for Sink {
    fn expect(&mut self, file_bytes: u64) {
        self.0
            .expect(usize::try_from(file_bytes).unwrap_or(usize::MAX));
    }

    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), Box<dyn Error + Send + Sync>> {
        let fed = self.0.feed(window)?;
        Ok((fed.consumed, fed.done))
    }
}
