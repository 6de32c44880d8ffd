//! Connecting to a leader.
//!
//! Source: `Learner.connectToLeader`, `LeaderConnector`; quorum.md chapter 7.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ox_proto::Endpoint;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::event::{CloseReason, LinkEvent, SnapshotSink};
use super::inbound::Inbound;
use super::link::Shared;
use super::{LinkSettings, Mesh, run};
use crate::socket;

/// Attempts at each address.
const ATTEMPTS: usize = 5;

/// Connects the link and serves it until it ends.
pub(super) async fn run<E>(
    mesh: Arc<Mesh<E>>,
    shared: Arc<Shared>,
    leader: Vec<Endpoint>,
    sink: Box<dyn SnapshotSink>,
) where
    E: From<LinkEvent> + Send + 'static,
{
    let work = async {
        let stream = match connect(&mesh.settings, leader).await {
            Ok(stream) => stream,
            Err(error) => return CloseReason::Unreachable(error),
        };
        // A handshake belongs here.
        socket::prepare(&stream, false);
        match stream.peer_addr() {
            Ok(to) => {
                let link = shared.id;
                run::tell(&shared, &mesh.events, LinkEvent::Connected { link, to }).await;
            }
            Err(error) => return CloseReason::Broken(error),
        }
        let inbound = Inbound::from_leader(mesh.settings.max_length, sink);
        run::run(&shared, stream, inbound, &mesh.events).await
    };
    run::until_closed(Arc::clone(&shared), &mesh.events, work).await;
}

/// Tries all addresses beside each other, each several times.
async fn connect(settings: &LinkSettings, leader: Vec<Endpoint>) -> io::Result<TcpStream> {
    let deadline = Instant::now() + settings.connect_budget;
    let mut addresses = JoinSet::new();
    for endpoint in leader {
        addresses.spawn(try_often(endpoint, settings.connect_pause, deadline));
    }
    socket::first_of(addresses).await
}

/// Tries one address until it answers, the attempts are used up, or there is no time for another.
async fn try_often(
    endpoint: Endpoint,
    pause: Duration,
    deadline: Instant,
) -> io::Result<TcpStream> {
    let mut attempt = 1;
    loop {
        let error = match timeout_at(deadline, socket::connect(endpoint.clone())).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(late) => late.into(),
        };
        tracing::warn!(%endpoint, attempt, %error, "cannot connect to the leader");
        if attempt == ATTEMPTS || deadline <= Instant::now() + pause {
            return Err(error);
        }
        sleep(pause).await;
        attempt += 1;
    }
}
