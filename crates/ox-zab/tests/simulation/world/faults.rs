//! What goes wrong.

use super::*;

impl World {
    pub(super) fn fault(&mut self) {
        if self.plan.quiet_at <= self.now {
            return;
        }
        let delay = self.random.between(1, 2 * self.plan.fault_every);
        self.schedule(delay, Event::Fault);
        if self.plan.faults.is_empty() {
            return;
        }
        let fault = self.plan.faults[self.random.below(self.plan.faults.len())];
        let place = self.random.below(self.servers.len());
        let long = self.random.between(50, 3000);
        match fault {
            Fault::Crash => {
                self.crash(place);
                self.schedule(long, Event::Restart { place });
            }
            Fault::CrashAll => {
                if self.random.chance(20) {
                    for place in 0..self.servers.len() {
                        self.crash(place);
                        let delay = self.random.between(1, 1000);
                        self.schedule(delay, Event::Restart { place });
                    }
                }
            }
            Fault::Wipe => self.wipe(place),
            Fault::Reset => {
                let links: Vec<_> = self.links.keys().copied().collect();
                if !links.is_empty() {
                    let link = links[self.random.below(links.len())];
                    self.reset(link);
                }
            }
            Fault::Cut => self.cut(place),
            Fault::SlowDisk => self.servers[place].slow_until = self.now + long,
            Fault::StaleVote => {
                let other = self.random.below(self.servers.len());
                let last = self.votes.get(&(place, other)).cloned();
                if let Some((_, notification)) = last {
                    let delay = self.random.between(1, 1000);
                    // It passes for a new one.
                    self.numbers += 1;
                    let vote = Event::Vote {
                        from: place,
                        to: other,
                        number: self.numbers,
                        notification,
                    };
                    self.schedule(delay, vote);
                }
            }
            Fault::Pause => {
                self.pause(place, long);
            }
            Fault::Stranger => self.stranger(place),
            Fault::LoseLeader => self.lose_leader(),
            Fault::Compact => self.compact(place),
        }
    }

    pub(super) fn reset(&mut self, link: LinkId) {
        self.note(|_| format!("link {} is reset", link.0));
        for side in [0, 1] {
            let Some(it) = self.links.get_mut(&link) else {
                return;
            };
            let lane = &mut it.ends[side].lane;
            lane.items.truncate(self.random.below(lane.items.len() + 1));
            self.push(link, side, Item::End);
        }
    }

    /// Cuts a server off from some, one way or both.
    pub(super) fn cut(&mut self, place: Place) {
        if self.random.chance(50) {
            self.join();
            return;
        }
        for other in 0..self.servers.len() {
            if other != place && self.random.chance(60) {
                self.note(|_| format!("{place} and {other} are cut off"));
                self.cuts.insert((place, other));
                if self.random.chance(80) {
                    self.cuts.insert((other, place));
                }
            }
        }
    }

    pub(super) fn pause(&mut self, place: Place, length: i64) {
        self.note(|_| format!("{place} stops for {length}"));
        let until = &mut self.servers[place].paused_until;
        *until = (*until).max(self.now + length);
    }

    /// A leader goes on while hardly anybody hears it, and goes down or is cut off for a while: what
    /// it has proposed last is in few logs.
    pub(super) fn lose_leader(&mut self) {
        let leads = |server: &&Server| matches!(server.serves, Some((Role::Leading, _)));
        let Some(place) = self.servers.iter().find(leads).map(|server| server.place) else {
            return;
        };
        self.note(|_| format!("{place} leads and is to be lost"));
        for other in 0..self.servers.len() {
            if other != place && self.random.chance(70) {
                self.cuts.insert((place, other));
                self.cuts.insert((other, place));
            }
        }
        for _ in 0..=self.random.below(5) {
            self.propose(place);
        }
        let soon = self.random.between(1, 200);
        match self.random.chance(70) {
            true => self.schedule(soon, Event::Crash { place }),
            false => self.pause(place, 10 * soon),
        }
        let later = self.random.between(500, 4000);
        self.schedule(later, Event::Restart { place });
        if self.random.chance(80) {
            self.schedule(soon + 1, Event::Join);
        }
    }

    /// One that is not established is lost while it sends its state, with a tail in it that perhaps
    /// nobody else has.
    pub(super) fn perhaps_lose_early_leader(&mut self, place: Place) {
        let has_fault = self.plan.faults.contains(&Fault::LoseLeader);
        let is_early = has_fault && self.servers[place].serves.is_none();
        if is_early && self.random.chance(20) {
            // Whoever has got it whole may be away while others elect.
            let learner = self.random.below(self.servers.len());
            for place in [place, learner] {
                let soon = self.random.between(1, 10 * self.plan.latency);
                self.schedule(soon, Event::Crash { place });
                let later = self.random.between(500, 4000);
                self.schedule(soon + later, Event::Restart { place });
            }
        }
    }

    pub(super) fn join(&mut self) {
        self.note(|_| "all are connected again".to_owned());
        self.cuts.clear();
        for from in 0..self.servers.len() {
            for to in 0..self.servers.len() {
                self.schedule(5, Event::Rejoin { from, to });
            }
        }
    }

    /// A server takes a snapshot of all that it has applied, and no older one is kept.
    pub(super) fn compact(&mut self, place: Place) {
        let server = &mut self.servers[place];
        let is_at_rest = server.serves.is_some() && server.disk.queue.is_empty();
        let (disk, database) = (&mut server.disk, &server.database);
        if is_at_rest && disk.last() <= database.zxid && disk.holds_all(database) {
            disk.snapshot = database.clone();
            disk.log.clear();
            self.note(|_| format!("{place} takes a snapshot"));
        }
    }

    /// A server comes back with an empty disk that says so.
    pub(super) fn wipe(&mut self, place: Place) {
        let lacks = |server: &Server| server.disk.current.is_none();
        if self.servers.iter().any(lacks) {
            return;
        }
        self.crash(place);
        self.note(|_| format!("{place} loses its disk"));
        let server = &mut self.servers[place];
        self.checks.wipe(place, &server.disk);
        server.disk = Disk {
            accepted: server.disk.accepted,
            ..Disk::default()
        };
        self.schedule(100, Event::Restart { place });
    }

    /// Someone who is no member talks to a quorum port.
    pub(super) fn stranger(&mut self, target: Place) {
        if self.servers[target].peer.is_none() {
            return;
        }
        let stranger = self.servers.len();
        let by_master = self.plan.master_limit.is_some() && self.random.chance(30);
        let link = self.connect(stranger, target, by_master);
        let epochs = [0, 1, 7, 0x7fff_fffe, 0x7fff_ffff, u32::MAX];
        for _ in 0..self.random.below(5) {
            let epoch = epochs[self.random.below(epochs.len())];
            let counter = u32::try_from(self.random.below(9)).unwrap();
            let zxid = Zxid::new(epoch, counter);
            let info = LearnerInfo {
                server: ServerId([0, 77, -1][self.random.below(3)]),
                protocol_version: LearnerInfo::PROTOCOL,
                config_version: 0,
            };
            let newest = self.servers[target].disk.last();
            let packet = match self.random.below(6) {
                0 | 1 => {
                    let kinds = [PacketType::FollowerInfo, PacketType::ObserverInfo];
                    QuorumPacket::with_data(kinds[self.random.below(2)], zxid, info.to_bytes())
                }
                2 => QuorumPacket::with_data(PacketType::AckEpoch, zxid, vec![0, 0, 0, 9]),
                3 => QuorumPacket::bare(PacketType::Ack, Zxid(newest.0 + 1)),
                4 => QuorumPacket::bare(PacketType::Ack, zxid),
                _ => QuorumPacket::with_data(PacketType::Ping, zxid, Bytes::new()),
            };
            self.push(link, 1, Item::Packet(packet));
        }
        if self.random.chance(70) {
            self.push(link, 1, Item::End);
        }
    }
}
