//! Time is virtual here: it passes when nothing else can happen.

use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::learner_link::inbound::Inbound;
use crate::learner_link::run::{receive, send};

const PATIENCE: Duration = Duration::from_secs(10);

fn shared() -> Arc<Shared> {
    Shared::new(CancellationToken::new(), PATIENCE)
}

/// Receives from a peer that never ends; why and when the link is given up.
async fn given_up(shared: &Shared, peer: DuplexStream) -> (CloseReason, Duration) {
    let (events, mut received) = mpsc::channel::<LinkEvent>(100);
    let begun = Instant::now();
    let inbound = Inbound::from_learner(MAX_LENGTH, Vec::new());
    let Err(reason) = receive(shared, peer, inbound, &events).await;
    received.close();
    (reason, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn half_a_packet_and_then_silence_is_given_up_after_the_read_timeout() {
    let (peer, mut ours) = duplex(100);
    ours.write_all(&[0, 0, 0, 5]).await.unwrap();
    let (reason, after) = given_up(&shared(), peer).await;
    assert!(matches!(reason, CloseReason::Silent), "{reason}");
    assert_eq!(after.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_read_timeout_can_be_changed() {
    let (peer, mut ours) = duplex(100);
    let shared = shared();
    let link = Link::new(Arc::clone(&shared));
    let change = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        link.set_read_timeout(Duration::from_secs(2));
        ours.write_all(&[0]).await.unwrap();
    };
    let ((reason, after), ()) = tokio::join!(given_up(&shared, peer), change);
    assert!(matches!(reason, CloseReason::Silent), "{reason}");
    assert_eq!(after.as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_time_for_an_answer_begins_when_a_source_has_gone_out() {
    let (silent, _ours) = duplex(10);
    let (peer, mut ours) = duplex(10);
    let shared = shared();
    let link = Link::new(Arc::clone(&shared));
    link.append_source(Box::new(Chunks {
        left: vec![vec![1; 50]],
        failing: false,
    }));
    link.append(&[2; 10]);
    link.flush();
    let read_slowly = async {
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_secs(6)).await;
            ours.read_exact(&mut [0; 10]).await.unwrap();
        }
        std::future::pending::<()>().await
    };
    let (reason, after) = tokio::select! {
        given_up = given_up(&shared, silent) => given_up,
        ended = send(&shared, peer) => match ended {
            Ok(never) => match never {},
            Err(reason) => panic!("{reason}"),
        },
        () = read_slowly => unreachable!(),
    };
    assert!(matches!(reason, CloseReason::Silent), "{reason}");
    // The last of the source is taken when there is room for it, at the fourth read. What the
    // packet behind it does is no sign of life.
    assert_eq!(after.as_secs(), 4 * 6 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_given_up_and_one_that_reads_slowly_is_not() {
    let (peer, mut ours) = duplex(10);
    let shared = shared();
    let link = Link::new(Arc::clone(&shared));
    link.append(&[1; 100]);
    link.flush();
    let begun = Instant::now();
    let read_some = async {
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            let mut piece = [0; 10];
            ours.read_exact(&mut piece).await.unwrap();
        }
        std::future::pending::<()>().await
    };
    let reason = tokio::select! {
        ended = send(&shared, peer) => {
            let Err(reason) = ended;
            reason
        }
        () = read_some => unreachable!(),
    };
    assert!(matches!(reason, CloseReason::Unread), "{reason}");
    assert_eq!(begun.elapsed().as_secs(), 6 * 9 + 10);
}

#[tokio::test(start_paused = true)]
async fn nothing_to_write_is_no_reason_to_give_up() {
    let (peer, _ours) = duplex(10);
    let shared = shared();
    let sending = timeout(Duration::from_secs(1000), send(&shared, peer));
    assert!(sending.await.is_err());
}
