//! The links of learners, and votes. A way that is cut holds what is on it until it is there again.

use std::collections::VecDeque;

use ox_proto::{Notification, PacketType, PeerState, QuorumPacket, ServerId, Zxid};
use ox_replica::Input;
use ox_store::ReceivedState;
use ox_zab::LinkId;

use super::server::Records;
use super::{Event, Place, World, id};

/// What is on its way.
pub(super) enum Item {
    Packet(QuorumPacket),
    State(Vec<u8>, Records),
    End,
}

pub(super) struct End {
    place: Place,
    life: u64,
    is_over: bool,
    coming: VecDeque<Item>,
    /// When the last of it comes.
    last: i64,
    heard: i64,
    patience: Option<i64>,
}

pub(super) struct Link {
    ends: [End; 2],
    /// What the last SNAP named.
    snap: Zxid,
}

impl World {
    fn life(&self, place: Place) -> u64 {
        self.servers[place].life
    }

    pub(super) fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cut.contains(&(from, to))
    }

    /// A server dials another.
    pub(super) fn dial(&mut self, from: Place, server: ServerId, by_master: bool) {
        let to = super::place(server);
        let delay = self.latency() + 1;
        let life = self.life(from);
        let is_there = self
            .servers
            .get(to)
            .is_some_and(|server| server.process.is_some());
        if !is_there || self.is_cut(from, to) || self.is_cut(to, from) {
            let input = ox_zab::Input::Dialed { server, link: None };
            self.peer_in(delay + 20, from, life, input);
            return;
        }
        let number = self.next_link;
        self.next_link += 1;
        self.tell_story(|| format!("{from} dials {to}: link {number}"));
        let end = |place: Place, life: u64, now: i64| End {
            place,
            life,
            is_over: false,
            coming: VecDeque::new(),
            last: now,
            heard: now,
            patience: None,
        };
        let ends = [end(from, life, self.now), end(to, self.life(to), self.now)];
        let snap = Zxid::ZERO;
        self.links.insert(number, Link { ends, snap });
        let link = LinkId(number);
        let accepted = match by_master {
            true => ox_zab::Input::AcceptedObserver { link },
            false => ox_zab::Input::Accepted { link },
        };
        let other = self.life(to);
        self.peer_in(0, to, other, accepted);
        let link = Some(link);
        self.peer_in(0, from, life, ox_zab::Input::Dialed { server, link });
    }

    pub(super) fn peer_in(&mut self, delay: i64, place: Place, life: u64, input: ox_zab::Input) {
        self.schedule(
            delay,
            Event::Input(place, life, Box::new(Input::Peer(input))),
        );
    }

    fn side(&self, link: u64, place: Place) -> Option<usize> {
        let link = self.links.get(&link)?;
        let is_own = |end: &End| end.place == place && end.life == self.servers[place].life;
        link.ends.iter().position(is_own)
    }

    /// A server sends something.
    pub(super) fn send(&mut self, place: Place, link: LinkId, item: Item) {
        let Some(side) = self.side(link.0, place) else {
            return;
        };
        if let Item::Packet(packet) = &item {
            let check = self.check_sent(place, packet);
            self.ensure(check);
        }
        self.push(link.0, 1 - side, item);
    }

    fn push(&mut self, link: u64, side: usize, item: Item) {
        let at = self.now + self.latency();
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let end = &mut it.ends[side];
        end.coming.push_back(item);
        end.last = end.last.max(at);
        let delay = end.last - self.now;
        self.schedule(delay, Event::Link(link, side));
    }

    pub(super) fn deliver(&mut self, link: u64, side: usize) {
        let Some(it) = self.links.get(&link) else {
            return;
        };
        let (from, to) = (it.ends[1 - side].place, it.ends[side].place);
        if self.is_cut(from, to) {
            return self.schedule(20, Event::Link(link, side));
        }
        let now = self.now;
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let end = &mut it.ends[side];
        let Some(item) = end.coming.pop_front() else {
            return;
        };
        if end.is_over {
            return;
        }
        end.heard = now;
        let (place, life) = (end.place, end.life);
        let name = LinkId(link);
        match item {
            Item::Packet(packet) => {
                self.story.mix(packet.zxid.0.cast_unsigned());
                self.story.packet(now * 1000, place, name, &packet);
                if packet.r#type == PacketType::Snap {
                    it.snap = packet.zxid;
                }
                self.hear(place, &packet);
                let input = ox_zab::Input::Received { link: name, packet };
                self.input_in(place, life, Input::Peer(input));
            }
            Item::State(bytes, records) => {
                let zxid = it.snap;
                let Some(process) = &self.servers[place].process else {
                    return;
                };
                let mut state = ReceivedState::new(&process.settings);
                let fed = state.feed(&bytes);
                match fed.map(|(_, done)| done) {
                    Ok(true) => match state.finish(zxid) {
                        Ok(state) => {
                            self.replaced(place, zxid, records);
                            let input = Input::State { link: name, state };
                            self.input_in(place, life, input);
                        }
                        Err(error) => self.ensure(Err(format!("a state: {error}"))),
                    },
                    Ok(false) => self.ensure(Err("a state that does not end".to_owned())),
                    Err(error) => self.ensure(Err(format!("a state: {error}"))),
                }
            }
            Item::End => {
                end.is_over = true;
                let input = ox_zab::Input::Closed { link: name };
                self.input_in(place, life, Input::Peer(input));
            }
        }
    }

    /// A server closes its end.
    pub(super) fn close(&mut self, place: Place, link: LinkId) {
        let Some(side) = self.side(link.0, place) else {
            return;
        };
        if let Some(it) = self.links.get_mut(&link.0) {
            it.ends[side].is_over = true;
        }
        self.push(link.0, 1 - side, Item::End);
    }

    pub(super) fn patience(&mut self, place: Place, link: LinkId, after_ms: i64) {
        let Some(side) = self.side(link.0, place) else {
            return;
        };
        let now = self.now;
        if let Some(it) = self.links.get_mut(&link.0) {
            it.ends[side].patience = Some(after_ms);
            it.ends[side].heard = now;
        }
        self.schedule(after_ms, Event::Silence(link.0, side));
    }

    pub(super) fn silence(&mut self, link: u64, side: usize) {
        let now = self.now;
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let end = &mut it.ends[side];
        let Some(patience) = end.patience.filter(|_| !end.is_over) else {
            return;
        };
        let due = end.heard + patience;
        if now < due {
            return self.schedule(due - now, Event::Silence(link, side));
        }
        self.lose(link);
    }

    /// A connection ends for both, with all that is on its way.
    pub(super) fn lose(&mut self, link: u64) {
        let Some(it) = self.links.remove(&link) else {
            return;
        };
        self.tell_story(|| format!("link {link} is lost"));
        for end in it.ends {
            if !end.is_over {
                let delay = self.latency();
                let closed = ox_zab::Input::Closed { link: LinkId(link) };
                self.peer_in(delay, end.place, end.life, closed);
            }
        }
    }

    pub(super) fn lose_all_of(&mut self, place: Place) {
        let of = |link: &Link| link.ends.iter().any(|end| end.place == place);
        let links: Vec<u64> = self
            .links
            .iter()
            .filter(|(_, l)| of(l))
            .map(|(n, _)| *n)
            .collect();
        for link in links {
            self.lose(link);
        }
    }

    pub(super) fn lose_one(&mut self) {
        let links: Vec<u64> = self.links.keys().copied().collect();
        if !links.is_empty() {
            let link = *self.random.pick(&links);
            self.lose(link);
        }
    }

    pub(super) fn notify(&mut self, from: Place, to: ServerId, notification: Notification) {
        self.rules.voted(from, &notification);
        let to = super::place(to);
        self.sequence += 1;
        let number = self.sequence;
        self.votes.insert((from, to), (number, notification));
        let delay = self.latency();
        self.schedule(delay, Event::Vote(from, to, number));
    }

    pub(super) fn vote(&mut self, from: Place, to: Place, number: u64) {
        let Some((latest, notification)) = self.votes.get(&(from, to)) else {
            return;
        };
        if *latest != number {
            return;
        }
        if self.is_cut(from, to) {
            return self.schedule(20, Event::Vote(from, to, number));
        }
        let notification = notification.clone();
        self.tell_story(|| {
            let vote = (notification.leader.0, notification.zxid);
            let round = notification.election_epoch;
            let (state, epoch) = (notification.state, notification.peer_epoch);
            format!("{to} hears {from}: {state:?} {vote:?} round {round} epoch {epoch}")
        });
        let input = ox_zab::Input::Notification {
            from: id(from),
            notification,
        };
        let life = self.life(to);
        self.input_in(to, life, Input::Peer(input));
    }

    /// A server that has come back is told what the others have told last.
    pub(super) fn tell_votes(&mut self, to: Place) {
        let votes: Vec<_> = self.votes.iter().filter(|((_, t), _)| *t == to).collect();
        let votes: Vec<_> = votes.into_iter().map(|((f, _), (n, _))| (*f, *n)).collect();
        for (from, number) in votes {
            let delay = self.latency();
            self.schedule(delay, Event::Vote(from, to, number));
        }
    }

    /// What a leader hears of sessions.
    fn hear(&mut self, place: Place, packet: &QuorumPacket) {
        if self.state(place) != Some(PeerState::Leading) {
            return;
        }
        let data = packet.data.clone().unwrap_or_default();
        let pairs = match packet.r#type {
            PacketType::Ping | PacketType::Revalidate => data.chunks_exact(12),
            _ => return,
        };
        let process = self.servers[place].process.as_ref();
        let tracked = process.and_then(|process| process.core.tracked_sessions().global);
        let open: Vec<_> = tracked
            .into_iter()
            .flat_map(|t| t.into_values().flatten())
            .collect();
        for pair in pairs {
            let session = pair.first_chunk().copied().map_or(0, i64::from_be_bytes);
            if open.iter().any(|one| one.0 == session) {
                self.history.heard(session, self.now);
            }
        }
    }
}
