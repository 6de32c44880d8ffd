//! Builds a server out of its parts, runs it, and takes it apart again.
//!
//! Shutdown goes from upstream to downstream: the port, the connections, the core, the log, the
//! snapshots. Each ends because what it listens to has ended. Source: `ZooKeeperServerMain.java`;
//! operations.md 1.2 and 11.1.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use ox_proto::{ServerId, Zxid};
use ox_replica::{AuthSettings, Core, Database, LocalSessions, ReaperSettings, Settings};
use ox_session::TouchTable;
use ox_store::StartError;
use ox_txnlog::{DataDirs, DirError, Epochs, SnapshotError};
use ox_zab::{History, LeaderSettings, ObserverSettings, Peer, ZabSettings};
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::DEFAULT_TRACE_MASK;
use crate::admin::metrics::Metrics;
use crate::clients::{Clients, ConnectionLimits, Port};
use crate::clock::Clock;
use crate::config::{Config, ListenConfig};
use crate::core_task::CoreTask;
use crate::door::Door;
use crate::ensemble::{self, Member, PortError};
use crate::folders::Folders;
use crate::log_thread::{self, LogQueue};
use crate::purge_task;
use crate::shared::{INTAKE, Shared};
use crate::store_settings;
use crate::{listener, snapshot_thread, tls_reload};

/// Messages from connections that may wait for the core. Each holds what one read brought, so
/// this is memory; a connection that finds it full waits, and TCP tells its client.
const CORE_QUEUE: usize = 1024;

/// Reports of the log that may wait for the core, which never lets them wait long.
const REPORT_QUEUE: usize = 64;

/// How long connections may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// A server alone has this number in its session ids.
const STANDALONE: ServerId = ServerId(1);

/// Why a server did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folders for data.
    #[error("Unable to access datadir, exiting abnormally")]
    Dirs(#[from] DirError),
    /// What is in them.
    #[error(transparent)]
    Load(StartError),
    /// The first snapshot of a new server.
    #[error("cannot write the first snapshot")]
    Snapshot(#[from] SnapshotError),
    /// The port for clients.
    #[error("cannot open the client port {port}")]
    Bind {
        /// The port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// The ports for the other members.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// Keys and certificates.
    #[error("cannot set up TLS")]
    Tls(#[from] ox_tls::LoadError),
    /// Threads or signals.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

impl From<StartError> for ServeError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Dirs(error) => Self::Dirs(error),
            error @ (StartError::Load(_) | StartError::Epochs(_)) => Self::Load(error),
        }
    }
}

impl ServeError {
    /// The exit code of the process (`org.apache.zookeeper.server.ExitCode`).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Tls(_) => 2,
            Self::Dirs(_) => 3,
            Self::Snapshot(_) => 10,
            Self::Ports(PortError::Election(_)) => 14,
            Self::Load(_)
            | Self::Ports(PortError::Quorum(_))
            | Self::Bind { .. }
            | Self::Start(_) => 1,
        }
    }

    /// The error and all that caused it, on one line.
    pub fn chain(&self) -> String {
        crate::fatal::chain(self)
    }
}

/// Runs a server until SIGTERM or SIGINT.
pub fn serve(config: Config) -> Result<(), ServeError> {
    let dirs = DataDirs::open(
        &config.data_dir,
        &config.data_log_dir,
        config.tree.create_directories,
    )?;
    let _lock = dirs.lock()?;
    let hash_seed = RandomState::new().hash_one("hash seed");
    let store = store_settings::of(&config, hash_seed);
    let found = ox_store::start(&dirs, &store)?;
    let last = found.state.tree.last_zxid();
    let is_behind = found.snapshot.is_some_and(|zxid| zxid != last);

    let limits = ConnectionLimits {
        per_address: usize::try_from(config.limits.max_client_connections).unwrap_or(usize::MAX),
        in_all: usize::try_from(config.limits.max_connections).unwrap_or(usize::MAX),
    };
    let door = config.tls.client.clone().map(Door::new).transpose()?;
    let quorum_tls = tls_reload::quorum_tls(&config)?;
    let shared = Arc::new(Shared {
        auth: auth_settings(&config),
        door,
        quorum_tls,
        database: RwLock::new(Database::new(found.state, hash_seed)),
        touches: Mutex::new(TouchTable::new()),
        intake: Arc::new(Semaphore::new(usize::try_from(INTAKE).expect("32 bits"))),
        clients: Clients::new(limits),
        metrics: Metrics::default(),
        clock: Clock::start(),
        dirs: dirs.clone(),
        store,
        folders: Folders::default(),
        standing: Mutex::default(),
        trace_mask: AtomicI64::new(DEFAULT_TRACE_MASK),
        config,
    });
    // The first snapshot must stand before the first record of the log; a later one that only
    // spares the next start some replay is taken beside the work. Who may not begin is sent one,
    // and is to be known as empty until then.
    if found.wants_snapshot {
        snapshot_thread::take(&shared, &dirs, &CancellationToken::new())?;
    }
    let peer = peer(&shared, found.epochs, found.history, last);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Start)?;
    let (snapshots, snapshot_requests) = sync_channel(1);
    let stop = CancellationToken::new();
    let snapshotter = snapshot_thread::spawn(
        Arc::clone(&shared),
        dirs.clone(),
        snapshot_requests,
        stop.clone(),
    );
    // What a member has read may still have to be taken back.
    if is_behind && shared.config.ensemble.is_none() {
        // The channel is empty and its receiver is there.
        let _ = snapshots.try_send(());
    }
    let outcome = runtime.block_on(run(shared, dirs, hash_seed, peer, snapshots, stop.clone()));
    // Whatever it was that ended it.
    stop.cancel();
    drop(runtime);
    snapshotter
        .join()
        .expect("the snapshot thread does not panic");
    outcome
}

async fn run(
    shared: Arc<Shared>,
    dirs: DataDirs,
    hash_seed: u64,
    peer: Peer,
    snapshots: SyncSender<()>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Start)?;
    let listeners = bind(&shared)?;

    let (member, incoming) = match &shared.config.ensemble {
        None => (None, None),
        Some(ensemble) => {
            let open = Member::open(Arc::clone(&shared), ensemble, dirs.clone());
            let (member, incoming) = open.await?;
            (Some(member), Some(incoming))
        }
    };

    let (to_core, messages) = mpsc::channel(CORE_QUEUE);
    let (to_reports, reports) = mpsc::channel(REPORT_QUEUE);
    let queue = Arc::new(LogQueue::default());
    let log_thread = log_thread::spawn(
        Arc::clone(&shared),
        &dirs,
        shared.store.clone(),
        Arc::clone(&queue),
        snapshots,
        // The core is there until it has closed the queue, which ends this thread.
        move |report| {
            let _ = to_reports.blocking_send(report);
        },
    );
    let core = {
        let mut database = shared.database.write();
        let now = shared.clock.now();
        Core::new(settings(&shared), peer, &mut database, hash_seed, now)
    };
    let core_task = CoreTask::new(Arc::clone(&shared), core, queue, member);
    let core_task = tokio::spawn(core_task.run(messages, reports, incoming));

    let connections = TaskTracker::new();
    let mut accepting = Vec::new();
    for (port, listener) in listeners {
        announce(&shared, port, &listener);
        let (shared, to_core) = (Arc::clone(&shared), to_core.clone());
        accepting.push(tokio::spawn(listener::run(
            listener,
            port,
            shared,
            to_core,
            connections.clone(),
            stop.clone(),
        )));
    }
    let reloading = tokio::spawn(tls_reload::run(Arc::clone(&shared), stop.clone()));
    let purging = tokio::spawn(purge_task::run(Arc::clone(&shared), dirs, stop.clone()));

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    stop.cancel();
    for accepting in accepting {
        accepting.await.expect("the listener does not panic");
    }
    reloading.await.expect("reading stores does not panic");
    purging.await.expect("the purge task does not panic");
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!("{} connections did not end in time", connections.len());
    }
    drop(to_core);
    core_task.await.expect("the core does not panic");
    tokio::task::spawn_blocking(move || log_thread.join())
        .await
        .expect("waiting does not panic")
        .expect("the log thread does not panic");
    tracing::info!("stopped at zxid {}", last_zxid(&shared));
    Ok(())
}

fn bind(shared: &Shared) -> Result<Vec<(Port, TcpListener)>, ServeError> {
    let config = &shared.config;
    let plain = config.client.as_ref().map(|listen| (Port::Plain, listen));
    let tls = config.tls.client.as_ref();
    let secure = tls.and_then(|tls| Some((Port::Secure, tls.listen.as_ref()?)));
    if plain.is_none() && secure.is_none() {
        tracing::warn!("no clientPort is set: no client will be served");
    }
    let bind = |(kind, listen): (Port, &ListenConfig)| {
        let port = listen.port;
        listener::bind(listen)
            .map(|listener| (kind, listener))
            .map_err(|source| ServeError::Bind { port, source })
    };
    plain.into_iter().chain(secure).map(bind).collect()
}

/// The line that says that it serves.
fn announce(shared: &Shared, port: Port, listener: &TcpListener) {
    let address = listener
        .local_addr()
        .map(|address| address.to_string())
        .unwrap_or_default();
    let database = shared.database.read();
    tracing::info!(
        znodes = database.tree.node_count(),
        sessions = database.sessions.len(),
        zxid = %database.tree.last_zxid(),
        "binding to {}port {address}: {}",
        match port {
            Port::Plain => "",
            Port::Secure => "secure ",
        },
        match shared.config.ensemble {
            None => "serving clients, standalone",
            Some(_) => "clients are served once there is a leader",
        },
    );
}

fn last_zxid(shared: &Shared) -> Zxid {
    shared.database.read().tree.last_zxid()
}

/// This server's part in its ensemble; without one it is an ensemble by itself.
fn peer(shared: &Shared, epochs: Option<Epochs>, history: History, last: Zxid) -> Peer {
    match (&shared.config.ensemble, epochs) {
        (Some(own), Some(epochs)) => Peer::member(
            ensemble::zab_settings(shared, own, RandomState::new().hash_one("observer")),
            ensemble::membership(own, epochs),
            history,
        ),
        _ => {
            let settings = ZabSettings {
                own: STANDALONE,
                tick_ms: millis(shared.config.sessions.tick),
                init_limit: 0,
                sync_limit: 0,
                force_snapshot_sync: false,
                leader: LeaderSettings::default(),
                observers: ObserverSettings::default(),
                max_record: shared.store.max_record,
            };
            Peer::alone(settings, last)
        }
    }
}

fn settings(shared: &Shared) -> Settings {
    let config = &shared.config;
    let containers = &config.containers;
    let ensemble = config.ensemble.as_ref();
    Settings {
        server: ensemble.map_or(STANDALONE, |own| own.id),
        tick_ms: millis(config.sessions.tick),
        min_session_timeout_ms: millis_int(config.sessions.min_timeout),
        max_session_timeout_ms: millis_int(config.sessions.max_timeout),
        tree: shared.store.tree,
        enforce_quota: config.quotas.enforce,
        reconfig_enabled: config.reconfig_enabled,
        max_record: shared.store.max_record,
        local_sessions: ensemble.map_or(LocalSessions::Off, |own| own.settings.local_sessions),
        read_only: ensemble.is_some_and(|own| own.settings.read_only),
        leader_serves: ensemble.is_none_or(|own| own.settings.leader.serves_clients),
        close_session_lists: ensemble.is_none_or(|own| own.close_session_lists),
        auth: shared.auth.clone(),
        reaper: ReaperSettings {
            check_interval_ms: millis(containers.check_interval),
            pause_ms: 60_000 / i64::from(containers.max_per_minute.max(1)),
            max_never_used_ms: containers.max_never_used.map_or(0, millis),
        },
    }
}

fn auth_settings(config: &Config) -> AuthSettings {
    let auth = &config.auth;
    AuthSettings {
        digest: auth.digest_enabled.then_some(auth.digest_algorithm),
        super_digest: auth.super_digest.clone(),
        skip_acl: auth.skip_acl,
        required_schemes: auth.required_schemes.clone(),
        sasl: config.sasl.scheme,
        sasl_super_users: config.sasl.super_users.clone(),
        x509: config.tls.x509,
        x509_super_user: config.tls.x509_super_user.clone(),
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn millis_int(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
