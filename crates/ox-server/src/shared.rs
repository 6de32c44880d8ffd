//! What the tasks of a server share. The two locks are taken in the order of the fields.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use ox_proto::{ClientAddress, SessionId};
use ox_replica::{AuthSettings, Database};
use ox_session::TouchTable;
use ox_store::{Lend, StoreSettings};
use ox_tls::QuorumTls;
use ox_txnlog::DataDirs;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};

use crate::admin::metrics::Metrics;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::Config;
use crate::door::Door;
use crate::folders::Folders;
use crate::standing::Standing;

/// What [`Shared::intake`] begins with. A request exists several times on its way (decoded,
/// encoded, in the log's batch), so memory for some times this is needed.
pub(crate) const INTAKE: u32 = 2 << 20;

/// One server.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) auth: AuthSettings,
    /// TLS for clients, where there is any.
    pub(crate) door: Option<Door>,
    /// TLS between servers, where there is any.
    pub(crate) quorum_tls: Option<Arc<QuorumTls>>,
    /// What clients see. The core writes, connections read.
    pub(crate) database: RwLock<Database>,
    /// Sessions heard from by reads that never reach the core.
    pub(crate) touches: Mutex<TouchTable>,
    pub(crate) clients: Clients,
    /// Bytes of requests that may be on their way from connections to the disk; connections take
    /// their part before they hand requests over, and get it back once the log has them.
    pub(crate) intake: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) dirs: DataDirs,
    /// How the disk is kept.
    pub(crate) store: StoreSettings,
    /// Who may work in them.
    pub(crate) folders: Folders,
    /// Where a reconfiguration says that clients are served here. `None` until one has.
    pub(crate) client_address: watch::Sender<Option<ClientAddress>>,
    /// What this server is to its clients and its ensemble.
    pub(crate) standing: Mutex<Standing>,
    /// What `gtmk` and `stmk` speak of. Nothing is traced by it.
    pub(crate) trace_mask: AtomicI64,
}

impl Shared {
    /// A session is heard from by a read that never reaches the core, or before it does.
    pub(crate) fn touch(&self, session: SessionId) {
        let now = self.clock.now().monotonic_ms;
        self.touches.lock().touch(session, now);
    }
}

impl Lend for Shared {
    fn lend<T>(&self, act: impl FnOnce(&Database) -> T) -> T {
        act(&self.database.read())
    }
}
