//! Packets and votes on their way.

use super::*;

impl World {
    /// An end of a link is lost, and some of what it has sent last.
    pub(super) fn lose(&mut self, link: LinkId, side: usize, tells: bool) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        it.ends[side].is_over = true;
        let lane = &mut it.ends[1 - side].lane;
        lane.items.truncate(self.random.below(lane.items.len() + 1));
        if tells {
            self.push(link, 1 - side, Item::End);
        }
    }

    pub(super) fn send(&mut self, place: Place, link: LinkId, packet: QuorumPacket) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let side = it.side(place);
        let server = &self.servers[place];
        let check = match side {
            0 => self
                .checks
                .learner_sends(place, &server.disk, it.epoch, &packet),
            _ => {
                if packet.r#type == PacketType::LeaderInfo {
                    it.epoch = Some(packet.zxid.epoch());
                }
                let (disk, state) = (&server.disk, &server.database);
                let serves = match it.by_master {
                    true => server.serves.map(|(_, epoch)| epoch),
                    false => None,
                };
                let (epoch, end) = (it.epoch, &mut it.ends[0]);
                self.checks
                    .leader_sends(place, disk, state, (epoch, serves), end, &packet)
            }
        };
        self.check(check);
        self.push(link, 1 - side, Item::Packet(packet));
    }

    /// Sends something to an end.
    pub(super) fn push(&mut self, link: LinkId, side: usize, item: Item) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let lane = &mut it.ends[side].lane;
        lane.items.push_back(item);
        if !lane.is_moving {
            lane.is_moving = true;
            let delay = self.latency();
            self.schedule(delay, Event::Deliver { link, side });
        }
    }

    pub(super) fn deliver(&mut self, link: LinkId, side: usize) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let (from, to) = (it.ends[1 - side].place, it.ends[side].place);
        if self.cuts.contains(&(from, to)) {
            return self.schedule(20, Event::Deliver { link, side });
        }
        let sender_over = it.ends[1 - side].is_over;
        let end = &mut it.ends[side];
        let Some(item) = end.lane.items.pop_front() else {
            end.lane.is_moving = false;
            if it.is_over() {
                self.links.remove(&link);
            }
            return;
        };
        let mut next_in = self.random.between(0, 1);
        if !end.is_over && to < self.servers.len() {
            end.heard = self.now;
            match item {
                Item::Packet(packet) => {
                    if packet.r#type == PacketType::Snap {
                        end.snap = packet.zxid;
                    }
                    if self.is_traced {
                        let packet = show_packet(&packet);
                        println!("{:>7} {to} < {} {packet}", self.now, link.0);
                    }
                    if side == 1 {
                        self.servers[to].heard.insert(from, self.now);
                    }
                    let peer = self.servers[to].peer.as_ref();
                    let leads = peer.is_some_and(|peer| peer.state() == PeerState::Leading);
                    let introduces = packet.r#type == PacketType::FollowerInfo;
                    if leads && introduces && from < self.plan.voters {
                        it.accepted = Some(packet.zxid.epoch());
                    }
                    self.input(to, Input::Received { link, packet });
                }
                // What is not the leader any more may not have the state that it had.
                Item::State if sender_over => {
                    end.lane.items.clear();
                    end.lane.items.push_back(Item::End);
                }
                Item::State => {
                    let state = self.servers[from].database.clone();
                    end.lane.items.push_front(Item::Taken(state));
                    next_in = self.random.between(1, 5 * self.plan.latency);
                }
                Item::Taken(mut state) => {
                    state.zxid = end.snap;
                    let server = &mut self.servers[to];
                    server.database = state;
                    server.pending.clear();
                    self.input(to, Input::Replaced { link });
                }
                Item::End => {
                    end.is_over = true;
                    self.input(to, Input::Closed { link });
                }
            }
        } else if matches!(item, Item::End) {
            end.is_over = true;
        }
        self.schedule(next_in, Event::Deliver { link, side });
    }

    /// Perhaps an end has not been heard from for too long.
    pub(super) fn silence(&mut self, link: LinkId, side: usize) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let end = &mut it.ends[side];
        let Some(patience) = end.patience.filter(|_| !end.is_over) else {
            return;
        };
        let due = end.heard + patience;
        if self.now < due {
            return self.schedule(due - self.now, Event::Silence { link, side });
        }
        let place = end.place;
        end.is_over = true;
        self.push(link, 1 - side, Item::End);
        self.input(place, Input::Closed { link });
    }

    pub(super) fn begin_dial(&mut self, place: Place, server: ServerId, by_master: bool) {
        let fails = self.random.chance(self.plan.losses / 3);
        let delay = self.latency() + if fails { 300 } else { 0 };
        let dial = Event::Dial {
            place,
            life: self.servers[place].life,
            target: self::place(server),
            by_master,
            fails,
        };
        self.schedule(delay, dial);
    }

    pub(super) fn dial(&mut self, place: Place, target: Place, by_master: bool, fails: bool) {
        let cut = self.cuts.contains(&(place, target)) || self.cuts.contains(&(target, place));
        let dialed = |link| Input::Dialed {
            server: id(target),
            link,
        };
        if fails || cut || self.servers[target].peer.is_none() {
            if cut && !fails {
                let life = self.servers[place].life;
                let again = Event::Dial {
                    place,
                    life,
                    target,
                    by_master,
                    fails: true,
                };
                return self.schedule(500, again);
            }
            return self.input(place, dialed(None));
        }
        let link = self.connect(place, target, by_master);
        self.input(place, dialed(Some(link)));
    }

    pub(super) fn connect(&mut self, dialer: Place, target: Place, by_master: bool) -> LinkId {
        let link = self.new_link(dialer, target);
        let it = Link {
            by_master,
            ..Link::new(dialer, target, self.now)
        };
        self.links.insert(link, it);
        let accepted = match by_master {
            true => Input::AcceptedObserver { link },
            false => Input::Accepted { link },
        };
        self.input(target, accepted);
        link
    }

    /// Where every order is tried the same connection has the same name in all of them.
    fn new_link(&mut self, dialer: Place, target: Place) -> LinkId {
        self.numbers += 1;
        if !self.is_exhaustive {
            return LinkId(self.numbers);
        }
        let ends = u64::try_from(10 * dialer + target).unwrap();
        let count = self.dials.entry((dialer, target)).or_default();
        *count += 1;
        LinkId(100 * *count + ends)
    }

    pub(super) fn send_vote(
        &mut self,
        from: Place,
        to: Place,
        number: u64,
        notification: Notification,
    ) {
        let delay = self.latency();
        let vote = Event::Vote {
            from,
            to,
            number,
            notification,
        };
        self.schedule(delay, vote);
    }

    pub(super) fn vote(&mut self, from: Place, to: Place, number: u64, notification: Notification) {
        let heard = self.heard_votes.entry((from, to)).or_default();
        if number < *heard || self.cuts.contains(&(from, to)) {
            return;
        }
        *heard = number;
        if self.is_traced {
            let vote = show_vote(&notification);
            println!("{:>7} {to} < vote of {from}: {vote}", self.now);
        }
        let from = id(from);
        self.input(to, Input::Notification { from, notification });
    }
}
