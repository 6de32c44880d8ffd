//! The mesh of a leader and its learners: streams of packets, and the state that can stand between
//! them.
//!
//! Invariant: what is queued on a link goes out in order, and what comes in on it is told in order.
//! Queueing never waits; being told may, and then the peer waits too. A link that its owner has
//! dropped tells nothing more; any other tells of its end once, as its last event. Source:
//! `LearnerHandler.java`, `Learner.java`; quorum.md chapters 4 and 7.

mod accept;
mod dial;
mod event;
pub(crate) mod inbound;
mod link;
mod outbound;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ox_proto::Endpoint;
use ox_tls::QuorumTls;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use accept::LearnerListener;
pub use event::{BoxError, CloseReason, LinkEvent, Port, SnapshotSink};
pub use link::{Link, LinkId};
pub use outbound::Source;

use crate::QuorumAuth;

use link::Shared;

/// What the links of one mesh are told.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// How long a peer may stay silent, or not take what is sent, until
    /// [`Link::set_read_timeout`] says otherwise: `initLimit` ticks.
    pub read_timeout: Duration,
    /// The longest data of a packet, and the longest string or buffer of a snapshot, in bytes:
    /// `jute.maxbuffer` and its extra size.
    pub max_length: usize,
    /// For a connection to a leader to be made, all attempts together.
    pub connect_budget: Duration,
    /// `leaderConnectDelayDuringRetryMs`: between two attempts, once the first few have failed.
    pub connect_pause: Duration,
    /// SASL, where there is any.
    pub sasl: Option<Arc<QuorumAuth>>,
    /// TLS, where there is any.
    pub tls: Option<Arc<QuorumTls>>,
}

/// What the tasks of a mesh share.
struct Mesh<E> {
    settings: LinkSettings,
    events: mpsc::Sender<E>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// While it lives the observer master port is open. Connections that have introduced themselves
/// stay when it is dropped.
#[derive(Debug)]
pub struct ServesObservers {
    _stop: DropGuard,
}

/// All links of a leader, or the one of a learner. Everything ends when it is dropped;
/// [`Self::shutdown`] waits for that.
pub struct LearnerMesh<E> {
    mesh: Arc<Mesh<E>>,
}

impl<E: From<LinkEvent> + Send + 'static> LearnerMesh<E> {
    /// A mesh without links. While `events` is full, links are not read.
    pub fn new(settings: LinkSettings, events: mpsc::Sender<E>) -> Self {
        Self {
            mesh: Arc::new(Mesh {
                settings,
                events,
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        }
    }

    /// Accepts learners at the quorum port from now on, in tasks of its own. Each that introduces
    /// itself becomes a [`LinkEvent::Accepted`], and its introduction the first of its packets.
    pub fn listen(&self, listener: LearnerListener) {
        for listener in listener.listeners {
            let mesh = Arc::clone(&self.mesh);
            let stop = mesh.stop.child_token();
            let serving = accept::run(mesh, listener, Port::Quorum, stop);
            self.mesh.tasks.spawn(serving);
        }
    }

    /// Opens the observer master port on each of `listen` as soon as they can be bound, and accepts
    /// observers there until the guard is dropped.
    pub fn serve_observers(&self, listen: Vec<Endpoint>) -> ServesObservers {
        let stop = self.mesh.stop.child_token();
        let mesh = Arc::clone(&self.mesh);
        let serving = accept::serve_observers(mesh, listen, stop.clone());
        self.mesh.tasks.spawn(serving);
        ServesObservers {
            _stop: stop.drop_guard(),
        }
    }

    /// Dials a leader at all its addresses at once. The link can be written to at once; either
    /// [`LinkEvent::Connected`] or [`LinkEvent::Closed`] follows. If the leader sends its state it
    /// goes to `sink`.
    pub fn dial(&self, leader: Vec<Endpoint>, sink: Box<dyn SnapshotSink>) -> Link {
        let shared = Shared::new(
            self.mesh.stop.child_token(),
            self.mesh.settings.read_timeout,
        );
        let mesh = Arc::clone(&self.mesh);
        self.mesh
            .tasks
            .spawn(dial::run(mesh, Arc::clone(&shared), leader, sink));
        Link::new(shared)
    }

    /// Closes the port and all links, and waits for their tasks. No event follows.
    pub async fn shutdown(self) {
        self.mesh.stop.cancel();
        self.mesh.tasks.close();
        self.mesh.tasks.wait().await;
    }
}

impl<E> Drop for LearnerMesh<E> {
    fn drop(&mut self) {
        self.mesh.stop.cancel();
    }
}
