//! What the tasks of a server share. The two locks are taken in the order of the fields.

use std::sync::atomic::AtomicI64;

use ox_replica::{AuthSettings, Database};
use ox_session::TouchTable;
use ox_txnlog::DataDirs;
use parking_lot::{Mutex, RwLock};

use crate::admin::metrics::Metrics;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::Config;

/// One server.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) auth: AuthSettings,
    /// What clients see. The core writes, connections read.
    pub(crate) database: RwLock<Database>,
    /// Sessions heard from by reads that never reach the core.
    pub(crate) touches: Mutex<TouchTable>,
    pub(crate) clients: Clients,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) dirs: DataDirs,
    /// What `gtmk` and `stmk` speak of. Nothing is traced by it.
    pub(crate) trace_mask: AtomicI64,
}
