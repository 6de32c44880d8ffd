//! Connecting to a leader.
//!
//! A server may elect sooner than the leader it elects: a Java leader waits at least 200 ms for
//! better votes once a quorum has agreed, and opens its port behind that. So a refusal says little
//! at first. It is tried often in the beginning, and for longer than such a wait. Java's five
//! attempts in 400 ms would do between Java servers, all of which wait.
//!
//! Source: `Learner.connectToLeader`, `LeaderConnector`; quorum.md chapter 7.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ox_proto::Endpoint;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::event::{CloseReason, LinkEvent, SnapshotSink};
use super::inbound::Inbound;
use super::link::Shared;
use super::{LinkSettings, Mesh, run};
use crate::{quorum_auth, secure, socket};

/// Attempts at each address at least, if there is time for them.
const ATTEMPTS: usize = 5;

/// The time that attempts are made for at least, if there is so much.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between the first two attempts. It doubles until it is as long as the pause that is asked for.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

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
        let hosts: Vec<_> = leader.iter().map(|address| address.host.clone()).collect();
        let stream = match connect(&mesh.settings, leader).await {
            Ok(stream) => stream,
            Err(error) => return CloseReason::Unreachable(error),
        };
        socket::prepare(&stream, false);
        let secured = async {
            let mut stream = secure::dialed(mesh.settings.tls.as_deref(), stream, &hosts).await?;
            quorum_auth::dialed(mesh.settings.sasl.as_deref(), &mut stream).await?;
            Ok(stream)
        };
        let stream = match timeout(mesh.settings.read_timeout, secured).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return CloseReason::Unreachable(error),
            Err(late) => return CloseReason::Unreachable(late.into()),
        };
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

/// Tries one address until it answers, it has refused for long enough, or there is no time for
/// another attempt.
async fn try_often(
    endpoint: Endpoint,
    longest_pause: Duration,
    deadline: Instant,
) -> io::Result<TcpStream> {
    let patient_until = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let error = match timeout_at(deadline, socket::connect(endpoint.clone())).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(late) => late.into(),
        };
        let next = Instant::now() + pause;
        let is_enough = ATTEMPTS <= attempt && patient_until < next;
        if is_enough || deadline <= next {
            tracing::warn!(%endpoint, attempt, %error, "cannot connect to the leader");
            return Err(error);
        }
        tracing::debug!(%endpoint, attempt, %error, "cannot connect to the leader yet");
        sleep(pause).await;
        pause = (2 * pause).min(longest_pause.max(FIRST_PAUSE));
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// An address where nobody listens. It stays taken for as long as the connection is kept.
    async fn refusing() -> (TcpStream, TcpStream, Endpoint) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dialed = TcpStream::connect(address).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        (dialed, accepted, Endpoint::new("127.0.0.1", address.port()))
    }

    /// When a refusing address is given up. Time is virtual.
    async fn given_up_after(longest_pause: Duration, budget: Duration) -> Duration {
        let (_dialed, _accepted, endpoint) = refusing().await;
        let begun = Instant::now();
        let tried = try_often(endpoint, longest_pause, begun + budget).await;
        assert_eq!(tried.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_taken_for_a_second_or_five_times_within_the_budget() {
        let ms = Duration::from_millis;
        let budget = Duration::from_secs(100);
        let after = given_up_after(ms(100), budget).await;
        assert!((ms(900)..=ms(1100)).contains(&after), "{after:?}");
        // After 630 ms the next pause would be a second.
        let after = given_up_after(ms(1000), budget).await;
        assert!((ms(600)..=ms(1100)).contains(&after), "{after:?}");
        let after = given_up_after(ms(0), budget).await;
        assert!((ms(900)..=ms(1100)).contains(&after), "{after:?}");
        let after = given_up_after(ms(100), ms(300)).await;
        assert!((ms(150)..=ms(300)).contains(&after), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_listens_late_is_found_soon_after() {
        let (_dialed, _accepted, endpoint) = refusing().await;
        let begun = Instant::now();
        let late = Duration::from_millis(230);
        let listen = async {
            sleep(late).await;
            let address = (endpoint.host.as_str(), endpoint.port);
            TcpListener::bind(address).await.unwrap()
        };
        let dialing = try_often(
            endpoint.clone(),
            Duration::from_millis(100),
            begun + Duration::from_secs(100),
        );
        let (found, _listener) = tokio::join!(dialing, listen);
        found.unwrap();
        assert!(begun.elapsed() <= late + Duration::from_millis(100));
    }
}
