//! Where accepted connections wait until they have said who they are.
//!
//! Invariant: at most so many wait, and one more drives out the one that has waited longest. A
//! peer introduces itself at once, so it gets through however many silent connections there are,
//! and none of them makes another wait.

use std::collections::VecDeque;

use tokio::task::{AbortHandle, JoinSet};

/// The introductions under way on one port.
pub(crate) struct Lobby<T> {
    waiting: JoinSet<Option<T>>,
    /// Oldest first; those that have ended are removed when room is needed.
    order: VecDeque<AbortHandle>,
    capacity: usize,
}

impl<T: Send + 'static> Lobby<T> {
    /// A lobby for so many connections.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            waiting: JoinSet::new(),
            order: VecDeque::new(),
            capacity,
        }
    }

    /// Waits for an introduction beside all others; it is `None` if it comes to nothing.
    pub(crate) fn admit(&mut self, introduction: impl Future<Output = Option<T>> + Send + 'static) {
        if self.capacity <= self.order.len() {
            self.order.retain(|waiting| !waiting.is_finished());
        }
        if self.capacity <= self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        self.order.push_back(self.waiting.spawn(introduction));
    }

    /// The next connection that has introduced itself; never ready while none does. May be dropped
    /// at any time.
    pub(crate) async fn introduced(&mut self) -> T {
        loop {
            match self.waiting.join_next().await {
                None => std::future::pending().await,
                Some(Ok(Some(arrival))) => return arrival,
                // It has left again, or was driven out.
                Some(Ok(None) | Err(_)) => {}
            }
        }
    }

    /// Ends all introductions.
    pub(crate) async fn close(mut self) {
        self.waiting.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_longest_waiting_makes_room() {
        let mut lobby = Lobby::new(2);
        let mut doors: Vec<_> = (0..3)
            .map(|guest| {
                let (door, opens) = oneshot::channel::<()>();
                lobby.admit(async move { opens.await.ok().map(|()| guest) });
                door
            })
            .collect();
        let newest = doors.pop().unwrap();
        doors[0].closed().await;
        newest.send(()).unwrap();
        assert_eq!(lobby.introduced().await, 2);
        doors.pop().unwrap().send(()).unwrap();
        assert_eq!(lobby.introduced().await, 1);
        lobby.close().await;
    }

    #[tokio::test]
    async fn those_that_have_left_take_no_room() {
        let mut lobby: Lobby<()> = Lobby::new(1);
        for _ in 0..10 {
            let (door, opens) = oneshot::channel::<()>();
            lobby.admit(async move { opens.await.ok() });
            door.send(()).unwrap();
            lobby.introduced().await;
        }
        assert_eq!(lobby.order.len(), 1);
    }
}
