//! What must hold after every step, whatever happens: the invariants of quorum.md chapter 16 that
//! this crate can break. Each check names its own.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ox_proto::{PacketType, QuorumPacket, Zxid};
use ox_zab::Entry;

use crate::disk::{Disk, Snapshot};
use crate::network::{End, Place};

pub(crate) type Check = Result<(), String>;

#[derive(Clone, Debug, Hash)]
pub(crate) struct Checks {
    /// The first so many places vote.
    voters: usize,
    /// What was proposed, by whom.
    proposals: BTreeMap<Zxid, (Place, Bytes)>,
    /// Who began to serve as the leader of which epoch.
    established: BTreeMap<u32, Place>,
    /// The history that the leader of an epoch sends, at first.
    initial: BTreeMap<u32, Vec<Entry>>,
    /// The longest sequence that any server has shown to its clients.
    pub(crate) delivered: Vec<Entry>,
    /// How much of it each server has shown, at least.
    shown: BTreeMap<Place, usize>,
    /// How much of it each server has ever shown.
    most: BTreeMap<Place, usize>,
    /// Who has acknowledged a proposal to its established leader, the leader's own disk included.
    acks: BTreeMap<Zxid, BTreeSet<Place>>,
    /// What a quorum has acknowledged.
    chosen: BTreeSet<Zxid>,
    /// Who has promised to an epoch in a way that counts.
    promised: BTreeSet<(Place, u32)>,
    /// The epochs each disk has had.
    epochs: BTreeMap<Place, (u32, u32)>,
    /// What servers have lost with their disks.
    wiped: BTreeSet<(Place, Zxid)>,
}

pub(crate) fn ensure(holds: bool, says: impl FnOnce() -> String) -> Check {
    holds.then_some(()).ok_or_else(says)
}

impl Checks {
    pub(crate) fn new(voters: usize) -> Self {
        Self {
            voters,
            proposals: BTreeMap::new(),
            established: BTreeMap::new(),
            initial: BTreeMap::new(),
            delivered: Vec::new(),
            shown: BTreeMap::new(),
            most: BTreeMap::new(),
            acks: BTreeMap::new(),
            chosen: BTreeSet::new(),
            promised: BTreeSet::new(),
            epochs: BTreeMap::new(),
            wiped: BTreeSet::new(),
        }
    }

    fn is_quorum(&self, places: impl Iterator<Item = Place>) -> bool {
        self.voters / 2 < places.filter(|&place| place < self.voters).count()
    }

    /// A server loses its disk.
    pub(crate) fn wipe(&mut self, place: Place, disk: &Disk) {
        let entries = disk.snapshot.entries.iter().chain(&disk.log);
        self.wiped.extend(entries.map(|entry| (place, entry.zxid)));
        self.epochs.remove(&place);
        // What it has acknowledged and no leader has committed is not promised any more.
        for acks in self.acks.values_mut() {
            acks.remove(&place);
        }
        let (acks, voters) = (&self.acks, self.voters);
        self.chosen
            .retain(|zxid| voters / 2 < acks.get(zxid).map_or(0, BTreeSet::len));
    }

    /// L1, L2, L3: epochs never go back, and nothing is of a later epoch than the current one.
    pub(crate) fn disk(&mut self, place: Place, disk: &Disk) -> Check {
        let now = (disk.accepted, disk.current.unwrap_or(0));
        let before = self.epochs.insert(place, now).unwrap_or_default();
        ensure(before.0 <= now.0 && before.1 <= now.1, || {
            format!("L1: {place} goes from epochs {before:?} to {now:?}")
        })?;
        ensure(now.1 <= now.0, || format!("L2: {place} has {now:?}"))?;
        disk.recovered_epoch()
            .map(drop)
            .map_err(|error| format!("L3: {place}: {error}"))
    }

    /// P14, I9: an established leader proposes, and nothing twice.
    pub(crate) fn proposed(&mut self, place: Place, zxid: Zxid, payload: Bytes) -> Check {
        ensure(self.established.get(&zxid.epoch()) == Some(&place), || {
            format!("P14: {place} proposes {zxid} and is not established")
        })?;
        let before = self.proposals.insert(zxid, (place, payload));
        ensure(before.is_none(), || format!("I9: {zxid} is proposed twice"))
    }

    /// I8, I7, I10, I11: one leader per epoch, and it holds all that was ever promised to anybody.
    pub(crate) fn established(&mut self, place: Place, epoch: u32, state: &Snapshot) -> Check {
        let other = *self.established.entry(epoch).or_insert(place);
        ensure(other == place, || {
            format!("I8: {place} and {other} lead in {epoch}")
        })?;
        let initial = self.initial.get(&epoch);
        ensure(initial == Some(&state.entries), || {
            format!("P2: {place} has changed its history before epoch {epoch} began")
        })?;
        // A leader may find out late that it has become one, and be followed by another already.
        let before = self.delivered.iter();
        let before = before.take_while(|entry| entry.zxid.epoch() < epoch);
        ensure(
            before
                .clone()
                .eq(state.entries.iter().take(before.clone().count())),
            || format!("I7: {place} begins epoch {epoch} without what was delivered"),
        )?;
        for &zxid in self.chosen.range(self.last_delivered()..) {
            let held = state
                .entries
                .binary_search_by_key(&zxid, |entry| entry.zxid);
            ensure(zxid.epoch() >= epoch || held.is_ok(), || {
                format!("I10: {place} begins epoch {epoch} without {zxid}")
            })?;
        }
        self.shown(place, state)
    }

    fn last_delivered(&self) -> Zxid {
        self.delivered.last().map_or(Zxid::ZERO, |entry| entry.zxid)
    }

    /// A server begins to show what it has applied. A learner is never ahead of all leaders.
    pub(crate) fn shown(&mut self, place: Place, state: &Snapshot) -> Check {
        self.shown.insert(place, 0);
        self.applied(place, state)
    }

    pub(crate) fn hidden(&mut self, place: Place) {
        self.shown.remove(&place);
    }

    /// I1 to I6: all show the same sequence, as far as they have come, and nothing but proposals of
    /// established leaders.
    pub(crate) fn applied(&mut self, place: Place, state: &Snapshot) -> Check {
        let leads = self.established.values().any(|&leader| leader == place);
        let Some(shown) = self.shown.get_mut(&place) else {
            return Ok(());
        };
        let entries = &state.entries;
        let common = self.delivered.len().min(entries.len());
        let both = entries[..common].iter().zip(&self.delivered);
        for (ours, others) in both.skip(*shown) {
            ensure(ours == others, || {
                let (ours, others) = (ours.zxid, others.zxid);
                format!("I4: {place} shows {ours} where another has shown {others}")
            })?;
        }
        *shown = common;
        for entry in &entries[common..] {
            let proposal = self.proposals.get(&entry.zxid);
            ensure(proposal.is_some_and(|(_, it)| *it == entry.payload), || {
                format!("I1: {place} shows {}, which nobody proposed", entry.zxid)
            })?;
            ensure(leads, || {
                format!("I1: {place} shows {} before any leader", entry.zxid)
            })?;
            ensure(entry.zxid.follows(self.last_delivered()), || {
                format!("I5: {place} shows {} too early", entry.zxid)
            })?;
            self.delivered.push(entry.clone());
        }
        self.shown.insert(place, entries.len());
        let most = self.most.entry(place).or_default();
        *most = (*most).max(entries.len());
        Ok(())
    }

    fn is_on_quorum<'a>(&self, zxid: Zxid, disks: impl Iterator<Item = &'a Disk>) -> bool {
        let holds = |(place, disk): (Place, &Disk)| {
            (disk.holds(zxid) || self.wiped.contains(&(place, zxid))).then_some(place)
        };
        self.is_quorum(disks.enumerate().filter_map(holds))
    }

    /// L5, P5, P12: what commits is on a quorum's disks.
    pub(crate) fn committed<'a>(
        &self,
        place: Place,
        zxid: Zxid,
        disks: impl Iterator<Item = &'a Disk>,
    ) -> Check {
        ensure(self.is_on_quorum(zxid, disks), || {
            format!("P5: {place} commits {zxid}, which is not on the disks of a quorum")
        })
    }

    /// L8, P15: nothing is cut that this server has shown, nor what then would be on the disks of
    /// no quorum although it was shown or is to be.
    pub(crate) fn cut<'a>(
        &self,
        place: Place,
        old: &Disk,
        disks: impl Iterator<Item = &'a Disk> + Clone,
    ) -> Check {
        let new = disks.clone().nth(place).expect("it has a disk");
        let most = self.most.get(&place).copied().unwrap_or(0);
        for entry in old.snapshot.entries.iter().chain(&old.log) {
            let zxid = entry.zxid;
            if new.holds(zxid) {
                continue;
            }
            let delivered = self
                .delivered
                .binary_search_by_key(&zxid, |entry| entry.zxid);
            ensure(delivered.is_err() || most <= delivered.unwrap_or(0), || {
                format!("L8: {place} cuts {zxid}, which it has shown")
            })?;
            let lasts = delivered.is_ok() || self.chosen.contains(&zxid);
            ensure(!lasts || self.is_on_quorum(zxid, disks.clone()), || {
                format!("P15: {place} cuts {zxid}")
            })?;
        }
        Ok(())
    }

    /// The leader's own disk holds everything up to `zxid`.
    pub(crate) fn flushed(&mut self, place: Place, zxid: Zxid) {
        if self.established.get(&zxid.epoch()) == Some(&place) {
            let first = Zxid::new(zxid.epoch(), 1).max(self.last_delivered());
            let proposals = (first <= zxid).then(|| self.proposals.range(first..=zxid));
            let zxids: Vec<_> = proposals
                .into_iter()
                .flatten()
                .map(|(&zxid, _)| zxid)
                .collect();
            for zxid in zxids {
                self.acknowledged(place, zxid);
            }
        }
    }

    fn acknowledged(&mut self, place: Place, zxid: Zxid) {
        if zxid <= self.last_delivered() {
            return;
        }
        self.acks.entry(zxid).or_default().insert(place);
        if self.is_quorum(self.acks[&zxid].iter().copied()) {
            self.chosen.insert(zxid);
        }
    }

    /// A packet of a leader to a learner's end; or of a follower to an observer's. `epochs` are the
    /// one that it has announced, and the one that such a follower serves in.
    pub(crate) fn leader_sends(
        &mut self,
        place: Place,
        disk: &Disk,
        state: &Snapshot,
        (leads, follows): (Option<u32>, Option<u32>),
        end: &mut End,
        packet: &QuorumPacket,
    ) -> Check {
        let (zxid, epoch) = (packet.zxid, packet.zxid.epoch());
        match packet.r#type {
            PacketType::LeaderInfo => ensure(disk.accepted == epoch, || {
                format!(
                    "L13: {place} announces {epoch}, its disk has {}",
                    disk.accepted
                )
            }),
            PacketType::NewLeader => {
                let initial = self
                    .initial
                    .entry(epoch)
                    .or_insert_with(|| state.entries.clone());
                ensure(state.entries.starts_with(initial), || {
                    format!("P2: {place} has two histories to begin {epoch} with")
                })
            }
            PacketType::UpToDate => ensure(
                leads.is_some_and(|epoch| self.established.get(&epoch) == Some(&place))
                    || follows.is_some() && follows == leads,
                || format!("P6: {place} sends UPTODATE and is not established"),
            ),
            PacketType::Proposal => {
                let before = end.proposed.replace(zxid);
                end.uncommitted.push_back(zxid);
                ensure(before.is_none_or(|before| zxid.follows(before)), || {
                    format!("P4: {place} sends {zxid} behind {before:?}")
                })
            }
            PacketType::Commit => {
                let oldest = end.uncommitted.pop_front();
                ensure(oldest == Some(zxid), || {
                    format!("P4: {place} sends COMMIT {zxid}, the oldest is {oldest:?}")
                })
            }
            PacketType::Inform => {
                let before = end.proposed.replace(zxid);
                ensure(before.is_none_or(|before| zxid.follows(before)), || {
                    format!("P4: {place} informs of {zxid} behind {before:?}")
                })
            }
            _ => Ok(()),
        }
    }

    /// A packet of a learner to the leader `epoch` of which it knows.
    pub(crate) fn learner_sends(
        &mut self,
        place: Place,
        disk: &Disk,
        leads: Option<u32>,
        packet: &QuorumPacket,
    ) -> Check {
        let (zxid, epoch) = (packet.zxid, packet.zxid.epoch());
        match packet.r#type {
            PacketType::FollowerInfo | PacketType::ObserverInfo => {
                ensure(epoch == disk.accepted, || {
                    format!(
                        "L13: {place} says it has accepted {epoch}, not {}",
                        disk.accepted
                    )
                })
            }
            PacketType::AckEpoch => {
                let leads = leads.ok_or("ACKEPOCH without LEADERINFO")?;
                // A snapshot may have got the name of a later epoch that has nothing in it.
                let asks_for_all = Zxid::new(leads + 1, 0);
                let last = [disk.last(), disk.snapshot.newest(), Zxid(-1), asks_for_all];
                let is_named = disk.last().counter() == 0 && zxid.counter() == 0;
                ensure(
                    last.contains(&zxid) || is_named && zxid <= disk.last(),
                    || format!("L13: {place} says it holds {zxid}, not {}", disk.last()),
                )?;
                let current = packet.data.as_deref() != Some(&[0xff; 4]);
                ensure(
                    !current || self.promised.insert((place, leads)) && disk.accepted == leads,
                    || format!("P13: {place} answers {leads} twice or from memory"),
                )
            }
            PacketType::Ack => {
                let leads = leads.ok_or("ACK without LEADERINFO")?;
                ensure(disk.accepted <= leads, || {
                    format!("P16: {place} acknowledges to {leads} after {disk:?}")
                })?;
                if zxid.counter() == 0 {
                    return self.holds_history(place, disk, epoch);
                }
                ensure(disk.holds(zxid), || {
                    format!(
                        "P3: {place} acknowledges {zxid}, its disk ends {}",
                        disk.last()
                    )
                })?;
                if self.established.contains_key(&epoch) && leads == epoch {
                    self.acknowledged(place, zxid);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A leader counts itself for an epoch.
    pub(crate) fn leads(&mut self, place: Place, epoch: u32) -> Check {
        ensure(self.promised.insert((place, epoch)), || {
            format!("P13: {place} leads in {epoch} after it has promised to another")
        })
    }

    /// P2: whoever acknowledges NEWLEADER is in its epoch and holds its history, and behind that
    /// nothing but proposals of this leader.
    fn holds_history(&self, place: Place, disk: &Disk, epoch: u32) -> Check {
        ensure(disk.current == Some(epoch), || {
            format!("P2: {place} acknowledges {epoch} in {:?}", disk.current)
        })?;
        let state = disk.load()?;
        let initial = self.initial.get(&epoch).ok_or("P2: no such history")?;
        ensure(state.entries.starts_with(initial), || {
            format!("P2: {place} lacks some of the history of {epoch}")
        })?;
        let rest = &state.entries[initial.len()..];
        ensure(rest.iter().all(|entry| entry.zxid.epoch() == epoch), || {
            format!("P2: {place} holds more than the history of {epoch}")
        })
    }
}
