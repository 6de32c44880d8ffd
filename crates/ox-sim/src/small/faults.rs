//! What goes wrong, until all is made well.

use ox_proto::PeerState;

use super::{Event, HEALS, Place, World};
use crate::disk::DiskFault;

/// How long disks are slow, in virtual milliseconds.
const SLOW_FOR: i64 = 800;

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
        match self.random.below(16) {
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
            13 => self.part_behind_ack(),
            14 => self.strand(),
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

    /// All disks but that of one follower become slow, and soon it loses its leader: it has
    /// acknowledged what nobody else holds yet. Then its own is slow, so that what it does with its
    /// log to come back takes its time (row 36 of reliability.md).
    fn part_behind_ack(&mut self) {
        let places = 0..self.servers.len();
        let follow = |place: &Place| self.state(*place) == Some(PeerState::Following);
        let followers: Vec<Place> = places.filter(follow).collect();
        if followers.is_empty() {
            return;
        }
        let quick = *self.random.pick(&followers);
        let until = self.now + SLOW_FOR;
        for place in (0..self.servers.len()).filter(|place| *place != quick) {
            self.servers[place].slow_until = until;
        }
        self.tell_story(|| format!("the disks of all but {quick} are slow"));
        let delay = self.random.between(30, 250);
        self.schedule(delay, Event::Part(quick));
    }

    pub(super) fn part(&mut self, place: Place) {
        if HEALS <= self.now {
            return;
        }
        self.servers[place].slow_until = self.now + SLOW_FOR / 2;
        self.lose_all_of(place);
    }

    /// Those that are about to lead lose everybody a few times, each time when their new epoch is
    /// stored and not told; the last ends, so that the others go on without it.
    fn strand(&mut self) {
        self.strandings = 2 + self.random.below(2);
        let leader = self.victim();
        self.crash(leader, true);
    }

    /// A server has stored an epoch that it has accepted.
    pub(super) fn accepted_epoch(&mut self, place: Place) {
        if self.strandings == 0 || self.state(place) != Some(PeerState::Leading) {
            return;
        }
        self.strandings -= 1;
        self.lose_all_of(place);
        if self.strandings == 0 {
            let power = self.random.percent(50);
            self.crash(place, power);
        }
    }

    /// Nothing is wrong from here on.
    pub(super) fn heal(&mut self) {
        self.tell_story(|| "the faults stop".to_owned());
        self.cut.clear();
        self.strandings = 0;
        for server in &mut self.servers {
            server.disk.heal();
            server.slow_until = 0;
        }
    }
}
