//! What is told of an application's run: its steps and its stalls.

use std::time::{Duration, Instant};

use compat_tests::ensemble::{Ensemble, Sid, wait_for};
use compat_tests::suite::say;
use compat_tests::wire::{self, Client};

/// Counts the steps of a run, and notes the stalls.
pub(crate) struct Steps {
    begun: Instant,
    done: usize,
    stalls: Vec<String>,
}

impl Steps {
    pub(crate) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            done: 0,
            stalls: Vec::new(),
        }
    }

    /// A step has come to its end.
    pub(crate) fn done(&mut self, what: &str) {
        self.done += 1;
        let at = self.begun.elapsed().as_secs_f64();
        say(format!("   {:2}. {what} ({at:.1} s)", self.done));
    }

    /// How long nothing went on after a fault.
    pub(crate) fn stall(&mut self, fault: &str, stall: Duration) {
        self.stalls
            .push(format!("{fault} {:.2} s", stall.as_secs_f64()));
    }

    /// Prints the row of the application.
    pub(crate) fn end(self, row: &str) {
        let stalls = self.stalls.join(", ");
        say(format!(
            "   {row}: {} of {} steps passed; longest stall after: {stalls}",
            self.done, self.done
        ));
    }
}

/// kill -9 of the ensemble's leader.
pub(crate) fn kill_leader(ensemble: &mut Ensemble) -> Sid {
    let leader = ensemble.leader();
    ensemble.kill(leader);
    leader
}

/// What a znode holds, on a server that runs; none if there is no such znode.
pub(crate) fn data(ensemble: &Ensemble, path: &str) -> Option<String> {
    let mut client = connect(ensemble);
    let found = client.get(path);
    client.close();
    found.map(|(data, _)| String::from_utf8_lossy(&data.unwrap_or_default()).into_owned())
}

/// The transaction that made a znode.
pub(crate) fn made_by(ensemble: &Ensemble, path: &str) -> Option<i64> {
    let mut client = connect(ensemble);
    let found = client.get(path);
    client.close();
    found.map(|(_, stat)| stat.czxid)
}

/// A session with the leader, so that nothing older is read.
fn connect(ensemble: &Ensemble) -> Client {
    let request = wire::connect_request(0, &[0; 16], 30_000, 0);
    wait_for("a session", || {
        let address = ensemble.address(ensemble.leader());
        Client::dial(address, &request, wire::PATIENCE).ok()
    })
}
