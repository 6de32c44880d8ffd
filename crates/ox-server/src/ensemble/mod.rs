//! What a member of an ensemble has besides its core: the two meshes, and the state that goes over
//! them whole.
//!
//! [`Member`] belongs to the core task: it turns what the meshes tell into inputs and performs the
//! outputs, none of which waits. Invariant: it decides nothing about the ensemble. Source:
//! `QuorumPeer.java`; quorum.md chapters 2, 4 and 7.

mod log_source;
mod state;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ox_proto::{
    Endpoint, EnsembleConfig, Member as MemberLine, Notification, PeerAddress, ServerId, Zxid,
};
use ox_replica::{Input, StateImage};
use ox_store::{LogPieces, search};
use ox_txnlog::DataDirs;
use ox_zab::{
    ElectionTiming, Epochs, LeaderSettings, LinkId, LogSearch, Membership, ObserverSettings,
    Output, ZabSettings,
};
use ox_zab_net::{
    ElectionMesh, ElectionSettings, Heard, LearnerListener, LearnerMesh, Link, LinkEvent,
    LinkSettings, Members, Port, QuorumAuth, ServesObservers, Votes,
};
use tokio::sync::mpsc;

use crate::config::{Ensemble, QuorumSasl};
use crate::connection::random_nonce;
use crate::shared::Shared;
use log_source::LogSource;
use state::{StateSink, StateSource};

/// What the learner mesh and the searches have to tell that the core has not taken up. A link that
/// finds it full waits, and TCP tells its peer.
const EVENTS: usize = 256;

/// Something for the core from beside the client connections and the log.
pub(crate) enum PeerEvent {
    /// From a link.
    Link(LinkEvent),
    /// What the log on disk can do for a learner.
    Found { link: LinkId, found: LogSearch },
}

impl From<LinkEvent> for PeerEvent {
    fn from(event: LinkEvent) -> Self {
        Self::Link(event)
    }
}

/// What comes in from the ensemble.
pub(crate) struct Incoming {
    votes: Votes,
    events: mpsc::Receiver<PeerEvent>,
}

/// One thing that has come in.
pub(crate) enum Arrival {
    /// From the election mesh; a vote is not read yet.
    Heard(Heard),
    Event(PeerEvent),
}

impl Incoming {
    /// The next thing; what was not taken when this was dropped is not lost.
    pub(crate) async fn next(&mut self) -> Arrival {
        tokio::select! {
            heard = self.votes.next() => Arrival::Heard(heard),
            Some(event) = self.events.recv() => Arrival::Event(event),
        }
    }

    /// The same if there is something already.
    pub(crate) fn try_next(&mut self) -> Option<PeerEvent> {
        self.events.try_recv().ok()
    }
}

/// A port that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The port for votes.
    #[error("cannot open the election port: {0}")]
    Election(#[source] io::Error),
    /// The port for learners.
    #[error("cannot open the quorum port: {0}")]
    Quorum(#[source] io::Error),
}

/// This server's part in the meshes.
pub(crate) struct Member {
    shared: Arc<Shared>,
    dirs: DataDirs,
    config: Arc<EnsembleConfig>,
    election: ElectionMesh,
    learner: LearnerMesh<PeerEvent>,
    events: mpsc::Sender<PeerEvent>,
    links: BTreeMap<LinkId, Link>,
    /// Links to leaders, or followers in their place, that are not connected yet.
    dialing: BTreeMap<LinkId, ServerId>,
    /// The port at which followers serve observers, where one serves them, and while it does.
    observer_port: Option<u16>,
    observer_endpoints: Vec<Endpoint>,
    serves_observers: Option<ServesObservers>,
    /// What is known at once of what the core has asked for.
    answers: VecDeque<Input>,
}

impl Member {
    /// Opens both ports.
    pub(crate) async fn open(
        shared: Arc<Shared>,
        ensemble: &Ensemble,
        dirs: DataDirs,
    ) -> Result<(Self, Incoming), PortError> {
        let config = Arc::new(ensemble.members.clone());
        let own = &config.members[&ensemble.id];
        let quorum = listen(ensemble, own, |address| address.quorum_port);
        let listener = LearnerListener::bind(&quorum).await;
        let listener = listener.map_err(PortError::Quorum)?;
        let settings = &ensemble.settings;
        let sasl = shared.config.sasl.quorum.as_ref().map(quorum_auth);
        let (election, votes) = ElectionMesh::bind(
            ElectionSettings {
                server: ensemble.id,
                bind_attempts: settings.election.bind_attempts.unwrap_or(0),
                connect_timeout: settings.election.connect_timeout,
                handshake_timeout: settings.election.handshake_timeout,
                several_addresses: settings.several_addresses,
                keep_alive: settings.election.tcp_keep_alive,
                sasl: sasl.clone(),
                tls: shared.quorum_tls.clone(),
            },
            &listen(ensemble, own, |address| address.election_port),
            Members {
                committed: Arc::clone(&config),
                last_seen: None,
            },
        )
        .await
        .map_err(PortError::Election)?;
        let (events, arrived) = mpsc::channel(EVENTS);
        let learner = LearnerMesh::new(
            LinkSettings {
                read_timeout: settings.init_limit.duration(),
                max_length: shared.store.max_record,
                connect_budget: settings.learner.connect_limit.duration(),
                connect_pause: settings.learner.connect_delay,
                sasl: sasl.clone(),
                tls: shared.quorum_tls.clone(),
            },
            events.clone(),
        );
        learner.listen(listener);
        let observer_port = settings.observer_master.as_ref().map(|master| master.port);
        let observer_endpoints = match observer_port {
            Some(port) => listen(ensemble, own, |_| port),
            None => Vec::new(),
        };
        let member = Self {
            shared,
            dirs,
            config,
            election,
            learner,
            events,
            links: BTreeMap::new(),
            dialing: BTreeMap::new(),
            observer_port,
            observer_endpoints,
            serves_observers: None,
            answers: VecDeque::new(),
        };
        let incoming = Incoming {
            votes,
            events: arrived,
        };
        Ok((member, incoming))
    }

    /// Whether votes get through to somebody.
    pub(crate) fn delivered(&self) -> bool {
        self.election.delivered()
    }

    /// An answer to what the core has asked for, if it is known at once.
    pub(crate) fn poll_answer(&mut self) -> Option<Input> {
        self.answers.pop_front()
    }

    /// What has come in, as the core wants it.
    pub(crate) fn inputs(&mut self, arrival: Arrival, inputs: &mut Vec<Input>) {
        match arrival {
            Arrival::Heard(Heard::Message { from, message }) => {
                match Notification::parse(&message) {
                    Some(notification) => inputs.push(Input::Peer(ox_zab::Input::Notification {
                        from,
                        notification,
                    })),
                    None => tracing::warn!(sid = from.0, "a vote of {} bytes", message.len()),
                }
            }
            Arrival::Heard(Heard::Closed { server }) => {
                inputs.push(Input::Peer(ox_zab::Input::Silenced { server }));
            }
            Arrival::Event(PeerEvent::Found { link, found }) => {
                inputs.push(Input::Peer(ox_zab::Input::Found { link, found }));
            }
            Arrival::Event(PeerEvent::Link(event)) => self.link_event(event, inputs),
        }
    }

    fn link_event(&mut self, event: LinkEvent, inputs: &mut Vec<Input>) {
        match event {
            LinkEvent::Accepted { link, from, port } => {
                let id = LinkId(link.id().0);
                tracing::debug!(link = id.0, %from, "a learner has connected");
                self.links.insert(id, link);
                inputs.push(Input::Peer(match port {
                    Port::Quorum => ox_zab::Input::Accepted { link: id },
                    Port::ObserverMaster => ox_zab::Input::AcceptedObserver { link: id },
                }));
            }
            LinkEvent::Connected { link, to } => {
                let link = LinkId(link.0);
                if let Some(server) = self.dialing.remove(&link) {
                    tracing::debug!(sid = server.0, %to, "connected");
                    let link = Some(link);
                    inputs.push(Input::Peer(ox_zab::Input::Dialed { server, link }));
                }
            }
            LinkEvent::Packets { link, packets } => {
                let link = LinkId(link.0);
                if !self.links.contains_key(&link) {
                    return;
                }
                let received = |packet| Input::Peer(ox_zab::Input::Received { link, packet });
                inputs.extend(packets.into_iter().map(received));
            }
            LinkEvent::Snapshot { link, zxid, sink } => {
                let link = LinkId(link.0);
                if self.links.contains_key(&link) {
                    match StateSink::finish(sink, zxid) {
                        Ok(state) => inputs.push(Input::State { link, state }),
                        Err(error) => {
                            tracing::warn!("the leader's snapshot cannot be used: {error}");
                            self.close(link);
                            inputs.push(Input::Peer(ox_zab::Input::Closed { link }));
                        }
                    }
                }
            }
            LinkEvent::Closed { link, reason } => {
                let link = LinkId(link.0);
                if self.links.remove(&link).is_none() {
                    return;
                }
                match self.dialing.remove(&link) {
                    Some(server) => {
                        tracing::warn!(sid = server.0, "cannot be reached: {reason}");
                        let link = None;
                        inputs.push(Input::Peer(ox_zab::Input::Dialed { server, link }));
                    }
                    None => {
                        tracing::info!(link = link.0, "a link has ended: {reason}");
                        inputs.push(Input::Peer(ox_zab::Input::Closed { link }));
                    }
                }
            }
        }
    }

    /// Lets what was queued for the other members go out.
    pub(crate) fn flush(&self) {
        self.links.values().for_each(Link::flush);
    }

    /// Does what the core wants done, but for the disk. Packets wait for [`Self::flush`].
    pub(crate) fn perform(&mut self, output: Output) {
        match output {
            Output::Notify { to, notification } => {
                self.election.send(to, notification.to_bytes());
            }
            Output::DialPeers => self.election.connect_all(),
            Output::Dial { server } => self.dial(server, PeerAddress::quorum),
            Output::DialMaster { server } => {
                // Only who has a port for it wants this.
                let port = self.observer_port.unwrap_or(0);
                self.dial(server, |address| Endpoint::new(address.host.clone(), port));
            }
            Output::Send { link, packet } => self.with_link(link, |link| link.send(&packet)),
            Output::SendLog { link, after, to } => {
                let limit = self.shared.store.max_record;
                let source = LogSource(LogPieces::new(&self.dirs, limit, after, to));
                self.with_link(link, |link| link.append_source(Box::new(source)));
            }
            Output::ReadTimeout { link, after_ms } => {
                let timeout = Duration::from_millis(u64::try_from(after_ms).unwrap_or(0));
                self.with_link(link, |link| link.set_read_timeout(timeout));
            }
            Output::Close { link } => self.close(link),
            Output::Search { link, zxid, to } => self.search(link, zxid, to),
            Output::Append { .. }
            | Output::SendState { .. }
            | Output::Disk(_)
            | Output::Forget { .. }
            | Output::Commit(_)
            | Output::Apply { .. }
            | Output::Serve { .. }
            | Output::Retire
            | Output::Request { .. }
            | Output::Revalidate { .. }
            | Output::Touched { .. }
            | Output::LearnerGone { .. }
            | Output::Synced
            | Output::Revalidated { .. }
            | Output::Pinged { .. } => unreachable!("the core keeps it: {output:?}"),
        }
    }

    /// Sends a learner the whole state: what was read of it already, and then the rest.
    pub(crate) fn send_state(&self, link: LinkId, begin: &[u8], image: StateImage) {
        self.with_link(link, |link| {
            link.append(begin);
            if image.goes_on() {
                let source = StateSource::new(Arc::clone(&self.shared), image);
                link.append_source(Box::new(source));
            }
        });
    }

    /// This server follows and serves clients, or does not. While it does, observers may connect.
    pub(crate) fn follows(&mut self, follows: bool) {
        self.serves_observers = match follows && !self.observer_endpoints.is_empty() {
            true => Some(
                self.learner
                    .serve_observers(self.observer_endpoints.clone()),
            ),
            false => None,
        };
    }

    fn dial(&mut self, server: ServerId, endpoint: impl Fn(&PeerAddress) -> Endpoint) {
        let Some(member) = self.config.members.get(&server) else {
            let input = ox_zab::Input::Dialed { server, link: None };
            self.answers.push_back(Input::Peer(input));
            return;
        };
        let endpoints = member.addresses.iter().map(endpoint).collect();
        let sink = StateSink::new(&self.shared.store);
        let link = self.learner.dial(endpoints, Box::new(sink));
        let id = LinkId(link.id().0);
        self.links.insert(id, link);
        self.dialing.insert(id, server);
    }

    fn with_link(&self, link: LinkId, act: impl FnOnce(&Link)) {
        // It may have ended without the core having heard of it.
        if let Some(link) = self.links.get(&link) {
            act(link);
        }
    }

    fn close(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.dialing.remove(&link);
    }

    /// Looks into the log on the disk, beside the work.
    fn search(&self, link: LinkId, zxid: Zxid, to: Zxid) {
        let (dirs, shared) = (self.dirs.clone(), Arc::clone(&self.shared));
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || {
            let found = search(&dirs, &shared.store, zxid, to);
            // Nobody is left to hear it when the server stops.
            let _ = events.blocking_send(PeerEvent::Found { link, found });
        });
    }

    /// Closes ports and links.
    pub(crate) async fn shutdown(self) {
        drop(self.links);
        self.learner.shutdown().await;
        self.election.shutdown().await;
    }
}

/// How servers authenticate to each other, for both meshes.
fn quorum_auth(settings: &QuorumSasl) -> Arc<QuorumAuth> {
    Arc::new(QuorumAuth {
        acceptor: settings.acceptor.clone(),
        required: settings.required,
        initiator: settings.initiator.clone(),
        nonce: random_nonce,
    })
}

/// Where a port is opened: at the addresses of the own line, or at all.
fn listen(
    ensemble: &Ensemble,
    own: &MemberLine,
    port: impl Fn(&PeerAddress) -> u16,
) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for address in &own.addresses {
        let host = match ensemble.settings.listen_on_all_addresses {
            true => "::".to_owned(),
            false => address.host.clone(),
        };
        let endpoint = Endpoint::new(host, port(address));
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    endpoints
}

/// The settings of a member, as the consensus wants them. An observer's choices come from `seed`.
pub(crate) fn zab_settings(shared: &Shared, ensemble: &Ensemble, seed: u64) -> ZabSettings {
    let settings = &ensemble.settings;
    let learner = &settings.learner;
    ZabSettings {
        own: ensemble.id,
        tick_ms: crate::assembly::millis(settings.init_limit.tick),
        init_limit: settings.init_limit.count.into(),
        sync_limit: settings.sync_limit.count.into(),
        force_snapshot_sync: settings.leader.force_snapshot_sync,
        leader: LeaderSettings {
            max_wait_for_epoch_ms: settings
                .leader
                .max_time_to_wait_for_epoch
                .map(crate::assembly::millis),
            max_concurrent_snap_syncs: count(settings.leader.max_concurrent_snap_syncs),
            max_concurrent_diff_syncs: count(settings.leader.max_concurrent_diff_syncs),
        },
        observers: ObserverSettings {
            master_limit: settings
                .observer_master
                .as_ref()
                .map(|master| master.size_limit),
            reconnect_delay_ms: crate::assembly::millis(learner.observer_reconnect_delay),
            election_delay_ms: crate::assembly::millis(learner.observer_election_delay),
            seed,
        },
        max_record: shared.store.max_record,
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What a member starts with.
pub(crate) fn membership(ensemble: &Ensemble, epochs: ox_txnlog::Epochs) -> Membership {
    let election = &ensemble.settings.election;
    Membership {
        role: ensemble.role,
        config: Arc::new(ensemble.members.clone()),
        epochs: Epochs {
            accepted: epochs.accepted.unwrap_or(0),
            current: epochs.current,
        },
        timing: ElectionTiming {
            min_notification_interval_ms: crate::assembly::millis(
                election.min_notification_interval,
            ),
            max_notification_interval_ms: crate::assembly::millis(
                election.max_notification_interval,
            ),
            ..ElectionTiming::default()
        },
    }
}
