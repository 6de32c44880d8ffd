//! What goes wrong, until all is made well.

use ox_proto::PeerState;

use super::{Event, HEALS, Place, World};
use crate::disk::DiskFault;

impl World {
    /// One that leads, if any does, or anyone.
    fn victim(&mut self) -> Place {
        let count = self.servers.len();
        let leader = (0..count).find(|place| self.state(*place) == Some(PeerState::Leading));
        match leader {
            Some(leader) if self.random.percent(45) => leader,
            _ => self.random.below(count),
        }
    }

    pub(super) fn fault(&mut self) {
        let most = self.faults_every * 2;
        let delay = self.random.between(10, most);
        if HEALS <= self.now + delay {
            return;
        }
        self.schedule(delay, Event::Fault);
        let victim = self.victim();
        match self.random.below(14) {
            0 | 1 => self.crash(victim, false),
            2 | 3 => self.crash(victim, true),
            4 => {
                let changes = u32::try_from(self.random.below(12) + 1).unwrap_or(1);
                self.make_ill(victim, DiskFault::CutAt(changes));
            }
            5 => self.make_ill(victim, DiskFault::SyncError),
            6 | 7 => self.lose_one(),
            8..=10 => self.isolate(victim),
            11 => {
                let to = self.random.below(self.servers.len());
                self.cut.insert((victim, to));
                self.tell_story(|| format!("cut from {victim} to {to}"));
            }
            12 => {
                for place in 0..self.servers.len() {
                    if self.random.percent(70) {
                        self.crash(place, true);
                    }
                }
            }
            _ => self.cut.clear(),
        }
        if self.random.percent(50) {
            self.cut.clear();
            self.tell_story(|| "nothing is cut".to_owned());
        }
    }

    fn isolate(&mut self, victim: Place) {
        for other in 0..self.servers.len() {
            if other != victim && self.random.percent(85) {
                self.cut.insert((victim, other));
                if self.random.percent(80) {
                    self.cut.insert((other, victim));
                }
            }
        }
        self.tell_story(|| format!("{victim} is isolated: {:?}", self.cut));
    }

    /// Nothing is wrong from here on.
    pub(super) fn heal(&mut self) {
        self.tell_story(|| "the faults stop".to_owned());
        self.cut.clear();
        for server in &mut self.servers {
            server.disk.heal();
        }
    }
}
