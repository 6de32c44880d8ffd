//! Four-letter words, answered from the running server.
//!
//! Source: `NIOServerCnxn.checkFourLetterWord`; operations.md chapter 3.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ox_proto::SessionId;
use tokio::sync::{mpsc, oneshot};

use crate::admin::{
    self, ConfReport, ConnectionReport, DirectorySizes, MemberReport, Report, Word,
};
use crate::client::Client;
use crate::clock::wall_ms;
use crate::config::Ensemble;
use crate::core_task::Message;
use crate::shared::Shared;

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
    match word {
        Word::Ruok => admin::RUOK.to_owned(),
        Word::Isro => admin::ISRO.to_owned(),
        Word::Envi => admin::envi(&admin::Environment::of_this_process()),
        Word::Gtmk => admin::trace_mask(shared.trace_mask.load(Ordering::Relaxed)),
        Word::Stmk => {
            if let Some(mask) = argument {
                shared.trace_mask.store(mask, Ordering::Relaxed);
            }
            admin::trace_mask(shared.trace_mask.load(Ordering::Relaxed))
        }
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
        Word::Srvr => admin::srvr(&report(shared), &shared.metrics),
        Word::Stat => admin::stat(&report(shared), &shared.metrics, &connections(shared)),
        Word::Mntr => admin::mntr(&report(shared), &shared.metrics),
        Word::Cons => admin::cons(&connections(shared)),
        Word::Conf => admin::conf(&conf(shared)),
        Word::Dirs => admin::dirs(sizes(shared)),
        Word::Hash => admin::hash(shared.database.read().digests.iter()),
        Word::Dump => dump(shared, core).await,
        Word::Wchs => admin::wchs(shared.database.read().watches.data_counts()),
        Word::Wchc => watches_by_session(shared),
        Word::Wchp => watches_by_path(shared),
        Word::TelnetClose => String::new(),
    }
}

fn report(shared: &Shared) -> Report {
    let clients = shared.clients.all();
    let database = shared.database.read();
    let tree = &database.tree;
    Report {
        zxid: tree.last_zxid(),
        node_count: tree.node_count(),
        approximate_data_size: tree.approximate_data_size(),
        ephemerals_count: tree.ephemeral_count(),
        watch_count: database.watches.total(),
        sessions: database.sessions.len(),
        connections: clients.len(),
        outstanding: clients.iter().map(|client| client.in_core()).sum(),
        uptime: Duration::from_micros(u64::try_from(shared.clock.micros()).unwrap_or(0)),
        open_files: admin::open_files(),
        max_open_files: admin::max_open_files(),
    }
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

fn conf(shared: &Shared) -> ConfReport {
    let config = &shared.config;
    let listen = config.client.as_ref();
    ConfReport {
        client_port: listen.map(|listen| listen.port),
        data_dir: shared.dirs.snap.clone(),
        data_log_dir: shared.dirs.log.clone(),
        sizes: sizes(shared),
        tick: config.sessions.tick,
        max_client_connections: usize::try_from(config.limits.max_client_connections).unwrap_or(0),
        min_session_timeout: config.sessions.min_timeout,
        max_session_timeout: config.sessions.max_timeout,
        backlog: listen.and_then(|listen| listen.backlog),
        member: config.ensemble.as_ref().map(member),
    }
}

fn member(ensemble: &Ensemble) -> MemberReport {
    let own = ensemble.members.members.get(&ensemble.id);
    MemberReport {
        id: ensemble.id,
        init_limit: ensemble.settings.init_limit.count,
        sync_limit: ensemble.settings.sync_limit.count,
        addresses: own.map_or_else(Vec::new, |own| own.addresses.clone()),
        role: ensemble.role,
        membership: Some(ensemble.members.clone()),
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
    let asked = core.send(Message::SessionsByExpiry(answer)).await;
    let sessions = match asked {
        Ok(()) => sessions.await.unwrap_or_default(),
        Err(_) => BTreeMap::new(),
    };
    let now = wall_ms();
    let since_start = shared.clock.now().monotonic_ms;
    let sessions = sessions
        .into_iter()
        .map(|(at, ids)| (now - since_start + at, ids))
        .collect();
    let ephemerals = {
        let tree = &shared.database.read().tree;
        let owners = tree.sessions_with_ephemerals();
        owners
            .map(|session| (session, tree.ephemerals(session).collect()))
            .collect()
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
        sessions,
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
