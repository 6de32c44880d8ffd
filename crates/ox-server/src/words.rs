//! Four-letter words, answered from the running server.
//!
//! Source: `NIOServerCnxn.checkFourLetterWord`; operations.md chapter 3.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ox_proto::{EnsembleConfig, MemberRole, ServerId, SessionId};
use ox_replica::{Mode, TrackedSessions};
use tokio::sync::{mpsc, oneshot};

use crate::admin::{
    self, ConfReport, ConnectionReport, DirectorySizes, GlobalSessions, LeaderReport, MemberReport,
    PeerReport, Report, Word,
};
use crate::client::Client;
use crate::clock::wall_ms;
use crate::config::{Config, Ensemble};
use crate::core_task::Message;
use crate::shared::Shared;
use crate::standing::Standing;

/// The answer to a word that `asker` sent. `argument` is the mask behind `stmk`.
pub(crate) async fn answer(
    shared: &Shared,
    core: &mpsc::Sender<Message>,
    asker: &Client,
    word: Word,
    argument: Option<i64>,
) -> String {
    tracing::debug!(client = %asker.address, "Processing {} command", word.name());
    if !shared.config.four_letter_words.allows(word.name()) {
        return word.refusal();
    }
    let standing = shared.standing.lock().clone();
    let mode = standing.mode.filter(|_| standing.serves);
    if let Some(answer) = of_process(shared, mode, word, argument) {
        return answer;
    }
    let Some(mode) = mode else {
        return word.not_serving().unwrap_or_default().to_owned();
    };
    match word {
        Word::Srst => {
            shared.metrics.reset();
            admin::SRST.to_owned()
        }
        Word::Crst => {
            for client in shared.clients.all() {
                client.stats(admin::ConnectionStats::reset);
            }
            admin::CRST.to_owned()
        }
        Word::Srvr => admin::srvr(&report(shared, &standing, mode), &shared.metrics),
        Word::Stat => {
            let report = report(shared, &standing, mode);
            admin::stat(&report, &shared.metrics, &connections(shared))
        }
        Word::Mntr => admin::mntr(&report(shared, &standing, mode), &shared.metrics),
        Word::Cons => admin::cons(&connections(shared)),
        Word::Conf => admin::conf(&conf(shared, &standing, mode)),
        Word::Dirs => admin::dirs(sizes(shared)),
        Word::Hash => admin::hash(shared.database.read().digests.iter()),
        Word::Dump => dump(shared, core).await,
        Word::Wchs => admin::wchs(shared.database.read().watches.data_counts()),
        Word::Wchc => watches_by_session(shared),
        Word::Wchp => watches_by_path(shared),
        Word::Ruok | Word::Isro | Word::Envi | Word::Gtmk | Word::Stmk | Word::TelnetClose => {
            unreachable!("answered without a server")
        }
    }
}

/// The answers that need no server, but for those to which one says that it does not serve.
fn of_process(
    shared: &Shared,
    mode: Option<Mode>,
    word: Word,
    argument: Option<i64>,
) -> Option<String> {
    Some(match word {
        Word::Ruok => admin::RUOK.to_owned(),
        Word::Isro => match mode {
            None => admin::ISRO_NOT_SERVING.to_owned(),
            Some(Mode::ReadOnly) => admin::ISRO_READ_ONLY.to_owned(),
            Some(Mode::Standalone | Mode::Leader | Mode::Follower | Mode::Observer) => {
                admin::ISRO.to_owned()
            }
        },
        Word::Envi => admin::envi(&admin::Environment::of_this_process()),
        Word::Gtmk => admin::trace_mask(shared.trace_mask.load(Ordering::Relaxed)),
        Word::Stmk => {
            if let Some(mask) = argument {
                shared.trace_mask.store(mask, Ordering::Relaxed);
            }
            admin::trace_mask(shared.trace_mask.load(Ordering::Relaxed))
        }
        Word::TelnetClose => String::new(),
        Word::Conf
        | Word::Cons
        | Word::Crst
        | Word::Dirs
        | Word::Dump
        | Word::Hash
        | Word::Mntr
        | Word::Srst
        | Word::Srvr
        | Word::Stat
        | Word::Wchc
        | Word::Wchp
        | Word::Wchs => return None,
    })
}

fn report(shared: &Shared, standing: &Standing, mode: Mode) -> Report {
    let clients = shared.clients.all();
    let database = shared.database.read();
    let tree = &database.tree;
    Report {
        mode,
        peer: peer(shared, standing, mode),
        zxid: tree.last_zxid(),
        node_count: tree.node_count(),
        approximate_data_size: tree.approximate_data_size(),
        ephemerals_count: tree.ephemeral_count(),
        watch_count: database.watches.total(),
        sessions: database.sessions.len(),
        local_sessions: standing.local_sessions,
        connections: clients.len(),
        outstanding: clients.iter().map(|client| client.in_core()).sum(),
        uptime: Duration::from_micros(
            u64::try_from(shared.clock.micros() - standing.since).unwrap_or(0),
        ),
        open_files: admin::open_files(),
        max_open_files: admin::max_open_files(),
    }
}

/// A server that serves reads only says nothing of its ensemble.
fn peer(shared: &Shared, standing: &Standing, mode: Mode) -> Option<PeerReport> {
    let ensemble = shared.config.ensemble.as_ref()?;
    let (members, _) = standing.members.as_ref()?;
    let state = standing.state.filter(|_| mode != Mode::ReadOnly)?;
    let learners = &standing.learners;
    let count = |is_counted: &dyn Fn(ServerId, bool) -> bool| {
        learners
            .iter()
            .filter(|(server, follows)| is_counted(*server, *follows))
            .count()
    };
    let keeps_observers = match mode {
        Mode::Leader => true,
        Mode::Follower => ensemble.settings.observer_master.is_some(),
        Mode::Observer | Mode::ReadOnly | Mode::Standalone => false,
    };
    let votes = |server| members.is_voter(server);
    Some(PeerReport {
        state,
        quorum_size: members.voters().count(),
        leader: standing.leader,
        synced_observers: keeps_observers.then(|| count(&|_, follows| !follows)),
        leading: (mode == Mode::Leader).then(|| LeaderReport {
            learners: learners.len(),
            synced_followers: count(&|server, follows| follows && votes(server)),
            synced_non_voting_followers: count(&|server, follows| follows && !votes(server)),
            pending_syncs: standing.pending_syncs,
        }),
    })
}

fn connections(shared: &Shared) -> Vec<ConnectionReport> {
    let report = |client: &Arc<Client>| ConnectionReport {
        peer: client.address,
        interest: u8::from(!client.is_read_paused() && client.session().is_some()),
        queued: client.in_core(),
        session: client.session().map(|id| admin::SessionReport {
            id,
            established_ms: client.established_ms,
            timeout_ms: client.timeout_ms(),
        }),
        stats: client.stats(|stats| stats.clone()),
    };
    shared.clients.all().iter().map(report).collect()
}

fn conf(shared: &Shared, standing: &Standing, mode: Mode) -> ConfReport {
    let config = &shared.config;
    let member = |own| {
        let (members, role) = standing.members.as_ref()?;
        Some(member(own, members, *role, mode))
    };
    let listen = config.client.as_ref();
    ConfReport {
        client_port: listen.map(|listen| listen.port),
        secure_client_port: secure_port(config),
        data_dir: shared.dirs.snap.clone(),
        data_log_dir: shared.dirs.log.clone(),
        sizes: sizes(shared),
        tick: config.sessions.tick,
        max_client_connections: usize::try_from(config.limits.max_client_connections).unwrap_or(0),
        min_session_timeout: config.sessions.min_timeout,
        max_session_timeout: config.sessions.max_timeout,
        backlog: listen.and_then(|listen| listen.backlog),
        member: config.ensemble.as_ref().and_then(member),
    }
}

fn secure_port(config: &Config) -> Option<u16> {
    let listen = config.tls.client.as_ref()?.listen.as_ref()?;
    Some(listen.port)
}

fn member(
    ensemble: &Ensemble,
    members: &EnsembleConfig,
    role: MemberRole,
    mode: Mode,
) -> MemberReport {
    let own = members.members.get(&ensemble.id);
    MemberReport {
        id: ensemble.id,
        init_limit: ensemble.settings.init_limit.count,
        sync_limit: ensemble.settings.sync_limit.count,
        addresses: own.map_or_else(Vec::new, |own| own.addresses.clone()),
        role,
        membership: (mode != Mode::ReadOnly).then(|| members.clone()),
    }
}

fn sizes(shared: &Shared) -> DirectorySizes {
    let size = |dir| admin::directory_size(dir).unwrap_or_default();
    DirectorySizes {
        data: size(&shared.dirs.snap),
        log: size(&shared.dirs.log),
    }
}

async fn dump(shared: &Shared, core: &mpsc::Sender<Message>) -> String {
    let (answer, sessions) = oneshot::channel();
    let asked = core.send(Message::Sessions(answer)).await;
    let sessions = match asked {
        Ok(()) => sessions.await.unwrap_or_default(),
        Err(_) => TrackedSessions::default(),
    };
    let now = wall_ms();
    let since_start = shared.clock.now().monotonic_ms;
    let by_date = |buckets: BTreeMap<i64, Vec<SessionId>>| {
        let dates = buckets.into_iter();
        dates
            .map(|(at, ids)| (now - since_start + at, ids))
            .collect()
    };
    let (ephemerals, global) = {
        let database = shared.database.read();
        let tree = &database.tree;
        let owners = tree.sessions_with_ephemerals();
        let ephemerals = owners
            .map(|session| (session, tree.ephemerals(session).collect()))
            .collect();
        let global = match sessions.global {
            Some(buckets) => GlobalSessions::ByExpiry(by_date(buckets)),
            None => GlobalSessions::ByTimeout(database.sessions.clone()),
        };
        (ephemerals, global)
    };
    let mut connections: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    let tick_ms = i64::try_from(shared.config.sessions.tick.as_millis()).unwrap_or(i64::MAX);
    for client in shared.clients.all() {
        let patience = match client.session() {
            Some(_) => i64::from(client.timeout_ms()),
            None => i64::try_from(shared.config.limits.sessionless_timeout.as_millis())
                .unwrap_or(i64::MAX),
        };
        let bucket = (now.saturating_add(patience) / tick_ms).saturating_add(1) * tick_ms;
        let session = client.session().unwrap_or(SessionId::NONE);
        connections
            .entry(bucket)
            .or_default()
            .push((client.address, session));
    }
    let dump = admin::SessionDump {
        local: sessions.local.map(by_date),
        global,
        ephemerals,
        connections,
    };
    admin::dump(&dump, &chrono::Local)
}

fn watches_by_session(shared: &Shared) -> String {
    let sessions = sessions_by_client(shared);
    let database = shared.database.read();
    let watches = database.watches.by_client().map(|(client, paths)| {
        (
            sessions.get(&client).copied().unwrap_or_default(),
            paths.collect::<Vec<_>>(),
        )
    });
    admin::wchc(watches)
}

fn watches_by_path(shared: &Shared) -> String {
    let sessions = sessions_by_client(shared);
    let database = shared.database.read();
    let watches = database.watches.by_path().map(|(path, clients)| {
        let sessions = clients
            .iter()
            .filter_map(|client| sessions.get(client).copied());
        (path, sessions.collect::<Vec<_>>())
    });
    admin::wchp(watches)
}

fn sessions_by_client(shared: &Shared) -> BTreeMap<ox_session::ClientId, SessionId> {
    let clients = shared.clients.all();
    clients
        .iter()
        .filter_map(|client| Some((client.id, client.session()?)))
        .collect()
}
