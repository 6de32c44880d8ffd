//! What must hold of elections and of what members say to each other, whatever happens: the
//! invariants of quorum.md 16 that no history shows.

use std::collections::{BTreeMap, BTreeSet};

use ox_proto::{Notification, PacketType, PeerState, QuorumPacket, ServerId};

use super::{Place, World, id};

/// What was told and promised.
#[derive(Default)]
pub(super) struct Rules {
    voters: usize,
    told: BTreeSet<(Place, ServerId, i64)>,
    settled: BTreeSet<(Place, ServerId)>,
    round: BTreeMap<Place, i64>,
    leads: BTreeSet<Place>,
    /// Who serves as the leader of which epoch.
    established: BTreeMap<u32, Place>,
}

impl Rules {
    pub(super) fn new(voters: usize) -> Self {
        Self {
            voters,
            ..Self::default()
        }
    }

    pub(super) fn voted(&mut self, place: Place, notification: &Notification) {
        let (leader, round) = (notification.leader, notification.election_epoch);
        match notification.state {
            Some(PeerState::Looking) => {
                self.told.insert((place, leader, round));
                self.round.insert(place, round);
            }
            Some(PeerState::Following | PeerState::Leading) => {
                self.settled.insert((place, leader));
            }
            _ => {}
        }
    }

    /// E1: who begins to lead was voted for by a quorum in its round.
    pub(super) fn state(&mut self, place: Place, state: PeerState) -> Result<(), String> {
        if state != PeerState::Leading {
            self.leads.remove(&place);
            return Ok(());
        }
        if !self.leads.insert(place) {
            return Ok(());
        }
        let round = self.round.get(&place).copied().unwrap_or_default();
        let supports = |voter: &Place| {
            *voter == place
                || self.told.contains(&(*voter, id(place), round))
                || self.settled.contains(&(*voter, id(place)))
        };
        let supporters = (0..self.voters).filter(supports).count();
        match self.voters / 2 < supporters {
            true => Ok(()),
            false => Err(format!(
                "E1: {place} leads by {supporters} votes in round {round}"
            )),
        }
    }

    /// How many epochs somebody has led.
    pub(super) fn epochs(&self) -> usize {
        self.established.len()
    }

    /// I8: one leader for each epoch.
    pub(super) fn established(&mut self, place: Place, epoch: u32) -> Result<(), String> {
        let leader = *self.established.entry(epoch).or_insert(place);
        match leader == place {
            true => Ok(()),
            false => Err(format!("I8: {leader} and {place} lead epoch {epoch}")),
        }
    }
}

impl World {
    /// What is acknowledged must be on the disk.
    pub(super) fn check_sent(&self, place: Place, packet: &QuorumPacket) -> Result<(), String> {
        let server = &self.servers[place];
        let Some(process) = &server.process else {
            return Ok(());
        };
        if self.state(place) == Some(PeerState::Leading) || packet.r#type == PacketType::Request {
            return Ok(());
        }
        let zxid = packet.zxid;
        match packet.r#type {
            PacketType::Ack if zxid.counter() != 0 => {
                if !server.durable.contains_key(&zxid) {
                    return Err(format!(
                        "P3: {place} acknowledges {zxid}, which it does not hold"
                    ));
                }
                match server.entered.unwrap_or(0) == zxid.epoch() {
                    true => Ok(()),
                    false => Err(format!("P3: {place} acknowledges {zxid} before NEWLEADER")),
                }
            }
            PacketType::Ack => {
                let lacks = process
                    .log
                    .keys()
                    .find(|zxid| !server.durable.contains_key(zxid));
                match (server.entered == Some(zxid.epoch()), lacks) {
                    (true, None) => Ok(()),
                    (false, _) => Err(format!(
                        "P2: {place} acknowledges {} in {:?}",
                        zxid.epoch(),
                        server.entered
                    )),
                    (true, Some(lost)) => {
                        Err(format!("P2: {place} acknowledges NEWLEADER without {lost}"))
                    }
                }
            }
            PacketType::AckEpoch => self.check_promise(place),
            _ => Ok(()),
        }
    }

    fn check_promise(&self, place: Place) -> Result<(), String> {
        let server = &self.servers[place];
        let on_disk = server.accepted;
        let said = server
            .process
            .as_ref()
            .map_or(0, |process| process.core.peer().epochs().accepted);
        match said <= on_disk {
            true => Ok(()),
            false => Err(format!("L13: {place} promises {said}, stored is {on_disk}")),
        }
    }
}
