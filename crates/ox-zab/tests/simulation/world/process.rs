//! What a server does: it starts, takes events in, has its wishes fulfilled, and crashes.

use super::*;

impl World {
    pub(super) fn start(&mut self, place: Place) {
        let server = &mut self.servers[place];
        if server.peer.is_some() {
            return;
        }
        server.life += 1;
        let (state, epoch) = match (server.disk.load(), server.disk.recovered_epoch()) {
            (Ok(state), Ok(epoch)) => (state, epoch),
            failed => self.fail(&format!("{place} cannot start: {failed:?}")),
        };
        server.disk.current = epoch;
        let mut history = History::new(server.disk.snapshot.zxid, self.plan.keep);
        for entry in &server.disk.log {
            history.recovered(entry.zxid, &entry.payload);
        }
        server.database = state;
        let settings = ZabSettings {
            reconfig: None,
            own: id(place),
            tick_ms: TICK_MS,
            init_limit: 10,
            sync_limit: SYNC_LIMIT,
            force_snapshot_sync: self.plan.force_snapshot_sync,
            leader: LeaderSettings::default(),
            observers: ObserverSettings {
                master_limit: self.plan.master_limit,
                reconnect_delay_ms: 100,
                election_delay_ms: 200,
                seed: self.seed + server.life,
            },
            max_record: 1000,
        };
        let membership = Membership {
            proposed: None,
            role: self.config.members[&id(place)].role,
            config: Arc::clone(&self.config),
            epochs: Epochs {
                accepted: server.disk.accepted,
                current: epoch,
            },
            timing: ElectionTiming {
                min_notification_interval_ms: 100,
                max_notification_interval_ms: 1600,
                finalize_wait_ms: 60,
            },
        };
        let mut peer = Peer::member(settings, membership, history);
        peer.start(self.now);
        self.servers[place].peer = Some(peer);
        self.note(|world| {
            let disk = &world.servers[place].disk;
            let (accepted, current) = (disk.accepted, disk.current);
            format!("{place} starts: {accepted} {current:?} {}", disk.last())
        });
        self.drain(place);
    }

    pub(super) fn crash(&mut self, place: Place) {
        if self.servers[place].peer.take().is_none() {
            return;
        }
        let under_way = self.servers[place].disk.queue.len();
        let survives = self.random.below(under_way + 1);
        self.note(|_| format!("{place} crashes, {survives} of {under_way} reach its disk"));
        for _ in 0..survives {
            self.perform(place, 1);
        }
        let server = &mut self.servers[place];
        server.disk.queue.clear();
        server.is_disk_busy = false;
        server.pending.clear();
        server.serves = None;
        server.timer.0 = i64::MAX;
        server.paused_until = 0;
        server.life += 1;
        let life = server.life;
        self.checks.hidden(place);
        let tells = self.random.chance(80);
        let links: Vec<_> = self.links.keys().copied().collect();
        for link in links {
            let ends = &self.links[&link].ends;
            if ends.iter().any(|end| end.place == place && !end.is_over) {
                let side = self.links[&link].side(place);
                self.lose(link, side, tells);
            }
        }
        for other in 0..self.servers.len() {
            self.votes.remove(&(place, other));
            if other != place && tells {
                let delay = self.latency();
                let silenced = Event::Silenced {
                    place: other,
                    server: place,
                    life,
                };
                self.schedule(delay, silenced);
            }
        }
    }

    pub(super) fn input(&mut self, place: Place, input: Input) {
        let Some(peer) = &mut self.servers[place].peer else {
            return;
        };
        let is_shown = matches!(input, Input::Received { .. } | Input::Notification { .. });
        if self.is_traced && !is_shown {
            println!("{:>7} {place} < {input:?}", self.now);
        }
        let check = match input {
            Input::Flushed(zxid) => {
                self.checks.flushed(place, zxid);
                Ok(())
            }
            Input::Done(DiskDone::EpochAccepted(epoch)) if peer.state() == PeerState::Leading => {
                self.checks.leads(place, epoch)
            }
            _ => Ok(()),
        };
        peer.handle(self.now, input);
        self.check(check);
        self.drain(place);
    }

    pub(super) fn drain(&mut self, place: Place) {
        while let Some(output) = self.servers[place]
            .peer
            .as_mut()
            .and_then(Peer::poll_output)
        {
            self.output(place, output);
        }
        let server = &mut self.servers[place];
        let Some(peer) = &server.peer else {
            return;
        };
        let (state, voters) = (peer.state(), self.plan.voters);
        let check = self.elected.state(place, id(place), state, voters);
        let at = peer.poll_timeout();
        if at != server.timer.0 {
            server.timer = (at, server.timer.1 + 1);
            if at != i64::MAX {
                let (life, turn) = (server.life, server.timer.1);
                let delay = (at - self.now).max(0);
                self.schedule(delay, Event::Timer { place, life, turn });
            }
        }
        self.check(check);
    }

    pub(super) fn output(&mut self, place: Place, output: Output) {
        let life = self.servers[place].life;
        if self.is_traced {
            println!("{:>7} {place} > {}", self.now, show(&output));
        }
        match output {
            Output::Notify { to, notification } => {
                self.elected.sent(place, &notification);
                self.numbers += 1;
                let number = self.numbers;
                let to = self::place(to);
                self.votes
                    .insert((place, to), (number, notification.clone()));
                if !self.random.chance(self.plan.losses) {
                    self.send_vote(place, to, number, notification);
                }
            }
            Output::DialPeers | Output::Members { .. } => {}
            Output::Dial { server } => self.begin_dial(place, server, false),
            Output::DialMaster { server } => self.begin_dial(place, server, true),
            Output::Send { link, packet } => self.send(place, link, packet),
            Output::SendLog { link, after, to } => {
                let disk = &self.servers[place].disk;
                if after < disk.snapshot.zxid {
                    // It has been purged meanwhile.
                    return self.reset(link);
                }
                let log = &disk.log;
                let wanted = log
                    .iter()
                    .filter(|entry| after < entry.zxid && entry.zxid <= to);
                for entry in wanted.cloned().collect::<Vec<_>>() {
                    let Entry { zxid, payload } = entry;
                    let proposal = QuorumPacket::with_data(PacketType::Proposal, zxid, payload);
                    self.send(place, link, proposal);
                    self.send(place, link, QuorumPacket::bare(PacketType::Commit, zxid));
                }
            }
            Output::SendState { link } => {
                self.perhaps_lose_early_leader(place);
                if let Some(it) = self.links.get(&link) {
                    let side = it.side(place);
                    self.push(link, 1 - side, Item::State);
                }
            }
            Output::ReadTimeout { link, after_ms } => {
                let now = self.now;
                let Some(it) = self.links.get_mut(&link) else {
                    return;
                };
                let side = it.side(place);
                let end = &mut it.ends[side];
                end.patience = Some(after_ms);
                end.heard = now;
                // One that waits for a longer time already would come too late.
                end.is_watched = true;
                self.schedule(after_ms, Event::Silence { link, side });
            }
            Output::Close { link } => {
                if let Some(it) = self.links.get_mut(&link) {
                    let side = it.side(place);
                    it.ends[side].is_over = true;
                    self.push(link, 1 - side, Item::End);
                }
            }
            Output::Search { link, zxid, to } => {
                let server = &self.servers[place];
                let mut found = server.disk.search(zxid);
                assert!(zxid < to, "what memory holds is not searched for");
                if self.random.chance(20) {
                    found = LogSearch::Unusable;
                }
                let delay = self.latency();
                let found = Event::Found {
                    place,
                    life,
                    link,
                    found,
                };
                self.schedule(delay, found);
            }
            Output::Append { record, payload } => {
                let zxid = record.header.zxid;
                let entry = Entry { zxid, payload };
                self.servers[place].pending.push_back(entry.clone());
                self.ask_disk(place, DiskOp::Append(entry));
            }
            Output::Disk(DiskRequest::Install) => {
                let state = self.servers[place].database.clone();
                self.ask_disk(place, DiskOp::Install(state));
            }
            Output::Disk(request) => {
                if let DiskRequest::AcceptEpoch(epoch) = request {
                    self.is_new(place, epoch);
                }
                self.ask_disk(place, DiskOp::Request(request));
            }
            Output::Forget { after } => {
                self.servers[place]
                    .pending
                    .retain(|entry| entry.zxid <= after);
            }
            Output::Commit(zxid) => self.commit(place, zxid),
            Output::Apply { record } => {
                let mut payload = Vec::new();
                record.encode(&mut payload);
                let entry = Entry {
                    zxid: record.header.zxid,
                    payload: payload.into(),
                };
                let database = &mut self.servers[place].database;
                let added = database.add(&entry);
                database.zxid = database.zxid.max(entry.zxid);
                self.check(added);
            }
            Output::Serve { role, epoch } => {
                let server = &mut self.servers[place];
                server.serves = Some((role, epoch));
                server.heard = (0..self.plan.voters)
                    .map(|place| (place, self.now))
                    .collect();
                let check = match role {
                    Role::Leading => {
                        let database = &mut server.database;
                        database.zxid = database.zxid.max(Zxid::new(epoch, 0));
                        self.checks.established(place, epoch, database)
                    }
                    Role::Following | Role::Observing => self.checks.shown(place, &server.database),
                };
                self.check(check);
            }
            Output::Retire => {
                self.servers[place].serves = None;
                self.checks.hidden(place);
            }
            Output::Request { .. } => self.requests.push(place),
            Output::Pinged { zxid } => {
                let packet = QuorumPacket::with_data(PacketType::Ping, zxid, Bytes::new());
                let now = self.now;
                if let Some(peer) = &mut self.servers[place].peer {
                    peer.send_to_leader(now, packet);
                }
            }
            Output::Revalidate { .. }
            | Output::Touched { .. }
            | Output::LearnerGone { .. }
            | Output::Synced
            | Output::Revalidated { .. } => {}
        }
    }

    pub(super) fn commit(&mut self, place: Place, zxid: Zxid) {
        let server = &mut self.servers[place];
        let entry = server.pending.pop_front();
        let Some(entry) = entry.filter(|entry| entry.zxid == zxid) else {
            self.fail(&format!("I5: {place} commits {zxid} out of order"));
        };
        if !server.disk.holds(zxid) {
            self.fail(&format!(
                "L5: {place} commits {zxid} before its own disk holds it"
            ));
        }
        let added = server.database.add(&entry);
        server.database.zxid = server.database.zxid.max(zxid);
        self.check(added);
        if let Some((Role::Leading, _)) = self.servers[place].serves {
            let disks = self.servers.iter().map(|server| &server.disk);
            self.check(self.checks.committed(place, zxid, disks));
        }
        let check = self.checks.applied(place, &self.servers[place].database);
        self.check(check);
    }

    pub(super) fn propose(&mut self, place: Place) {
        let server = &mut self.servers[place];
        let (Some((Role::Leading, _)), Some(peer)) = (server.serves, &mut server.peer) else {
            return;
        };
        let Some(zxid) = peer.next_zxid() else {
            return;
        };
        self.proposals += 1;
        let record = TxnRecord {
            header: TxnHeader {
                client_id: SessionId(i64::try_from(self.proposals).unwrap()),
                cxid: 0,
                zxid,
                time: self.now,
                op: OpCode::Error,
            },
            txn: Txn::Error(ErrorTxn { err: -101 }),
            digest: None,
        };
        let mut payload = Vec::new();
        record.encode(&mut payload);
        let payload = Bytes::from(payload);
        let check = self.checks.proposed(place, zxid, payload.clone());
        self.check(check);
        let entry = Entry {
            zxid,
            payload: payload.clone(),
        };
        self.servers[place].pending.push_back(entry.clone());
        self.ask_disk(place, DiskOp::Append(entry));
        let now = self.now;
        if let Some(peer) = &mut self.servers[place].peer {
            peer.propose(now, zxid, payload);
        }
        self.drain(place);
    }

    pub(super) fn load(&mut self) {
        if self.now < self.plan.quiet_at {
            self.schedule(self.plan.load_every, Event::Load);
        }
        let place = self.random.below(self.servers.len());
        match self.servers[place].serves {
            Some((Role::Leading, _)) => {
                for _ in 0..=self.random.below(3) {
                    self.propose(place);
                }
            }
            Some((Role::Following | Role::Observing, _)) => {
                let request = QuorumPacket::with_data(
                    PacketType::Request,
                    QuorumPacket::NO_ZXID,
                    Bytes::from_static(b"a request"),
                );
                let now = self.now;
                if let Some(peer) = &mut self.servers[place].peer {
                    peer.send_to_leader(now, request);
                }
                self.drain(place);
            }
            None => {}
        }
    }
}
