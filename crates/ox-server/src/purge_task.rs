//! Deletes old snapshots and logs, if the operator has asked for it.
//!
//! Source: `DatadirCleanupManager.java`; storage.md 7.4.

use std::sync::Arc;

use ox_txnlog::{DataDirs, purge};
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// Purges at once, and after every interval, until it is told to stop.
pub(crate) async fn run(shared: Arc<Shared>, dirs: DataDirs, stop: CancellationToken) {
    let Some(interval) = shared.config.snapshots.purge_interval else {
        return;
    };
    let retain = shared.config.snapshots.retain;
    loop {
        let dirs = dirs.clone();
        let shared = Arc::clone(&shared);
        let purged = tokio::task::spawn_blocking(move || {
            let _folders = shared.folders.work();
            purge(&dirs, retain)
        })
        .await;
        match purged.expect("purging does not panic") {
            Ok(deleted) => tracing::info!("Purge task deleted {} files", deleted.len()),
            Err(error) => tracing::error!("Purge task: {}", crate::fatal::chain(&error)),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}
