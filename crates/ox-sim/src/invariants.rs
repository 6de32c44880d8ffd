//! P18 and P17, after every step: what must hold inside the ensemble, whatever happens.
//!
//! One leader per epoch; a zxid names one transaction; what is committed is on the disks of a
//! quorum; all servers show the same sequence, and equal trees at equal zxids; what was synced is
//! found again; epochs never go back; nobody acknowledges what its disk does not hold. Incremental:
//! each step costs what it brings. Source: quorum.md 16, reliability.md 3.2.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ox_proto::{EnsembleConfig, OpCode, PacketType, QuorumPacket, ServerId, Zxid};
use ox_replica::{Core, Database, Mode};
use ox_zab::{DiskDone, contains_quorum};

use crate::node::server_of;
use crate::queue::Place;

#[derive(Debug, Default)]
struct View {
    /// What it has in its log, synced or not, or in a snapshot in its place.
    log: BTreeSet<Zxid>,
    /// All of it up to here is durable.
    durable: Zxid,
    /// What it shows ends here.
    applied: Zxid,
    /// Up to here its history came whole from another, and is not known one by one.
    base: Zxid,
    accepted: u32,
    current: u32,
    /// It may have lost what it had.
    is_damaged: bool,
    /// The version of the configuration that it goes by.
    config: i64,
}

/// What has been seen of all servers.
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    views: Vec<View>,
    /// Every configuration that was in force anywhere, by its version.
    configs: BTreeMap<i64, Arc<EnsembleConfig>>,
    /// In the beginning.
    initial: Arc<EnsembleConfig>,
    proposals: BTreeMap<Zxid, Vec<u8>>,
    /// Those among them that change the members.
    reconfigs: BTreeSet<Zxid>,
    /// What any server has shown to clients.
    delivered: BTreeSet<Zxid>,
    digests: BTreeMap<Zxid, (i64, Place)>,
    established: BTreeMap<u32, Place>,
    failure: Option<String>,
}

impl Invariants {
    pub(crate) fn new(initial: &Arc<EnsembleConfig>, servers: usize) -> Self {
        Self {
            initial: Arc::clone(initial),
            views: (0..servers).map(|_| View::default()).collect(),
            ..Self::default()
        }
    }

    /// The first that was broken.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    /// All that was shown, in order, with its bytes.
    pub(crate) fn delivered(&self) -> impl Iterator<Item = (Zxid, &[u8])> {
        let bytes = |zxid: &Zxid| (*zxid, &self.proposals[zxid][..]);
        self.delivered.iter().map(bytes)
    }

    /// Epochs in which somebody has led.
    pub(crate) fn epochs(&self) -> usize {
        self.established.len()
    }

    /// The newest epoch in which somebody has led.
    pub(crate) fn newest_epoch(&self) -> u32 {
        let newest = self.established.last_key_value();
        newest.map_or(0, |(epoch, _)| *epoch)
    }

    fn last_delivered(&self) -> Zxid {
        self.delivered.last().copied().unwrap_or(Zxid::ZERO)
    }

    /// Whether a server's log goes on behind this.
    pub(crate) fn has_behind(&self, place: Place, zxid: Zxid) -> bool {
        self.views[place]
            .log
            .last()
            .is_some_and(|last| zxid < *last)
    }

    /// A server's disk may lose what it has synced.
    pub(crate) fn damaged(&mut self, place: Place) {
        self.views[place].is_damaged = true;
    }

    /// Whether all that a server holds is on the disks of a quorum of others: its records, and the
    /// epoch that it has promised. Only where the members do not change.
    pub(crate) fn can_lose(&self, place: Place) -> bool {
        let voters = self.initial.voters().count();
        let others: Vec<&View> = (0..voters)
            .filter(|other| *other != place && !self.views[*other].is_damaged)
            .map(|other| &self.views[other])
            .collect();
        let holds = |view: &View, zxid: Zxid| zxid <= view.durable && view.log.contains(&zxid);
        let promised = self.views[place].accepted;
        self.views[place]
            .log
            .iter()
            .rev()
            .take(200)
            .all(|zxid| others.iter().filter(|view| holds(view, *zxid)).count() > voters / 2)
            && others
                .iter()
                .filter(|view| promised <= view.accepted)
                .count()
                > voters / 2
    }

    pub(crate) fn appended(&mut self, place: Place, zxid: Zxid, payload: &[u8]) {
        match self.proposals.get(&zxid) {
            None => {
                self.proposals.insert(zxid, payload.to_vec());
                if is_reconfig(payload) {
                    self.reconfigs.insert(zxid);
                }
            }
            Some(known) if known == payload => {}
            Some(_) => self.fail(format!("I9: {zxid} is two transactions, says {place}")),
        }
        let view = &mut self.views[place];
        if let Some(last) = view.log.last()
            && zxid <= *last
        {
            let last = *last;
            return self.fail(format!("L4: {place} appends {zxid} behind {last}"));
        }
        view.log.insert(zxid);
    }

    pub(crate) fn flushed(&mut self, place: Place, zxid: Zxid) {
        let view = &mut self.views[place];
        view.durable = view.durable.max(zxid);
    }

    /// A server cuts its history. The power may fail in the middle of that. Returns up to where it was
    /// durable.
    pub(crate) fn cuts(&mut self, place: Place, to: Zxid) -> Zxid {
        let view = &mut self.views[place];
        let to = view.durable.min(to);
        std::mem::replace(&mut view.durable, to)
    }

    pub(crate) fn started(
        &mut self,
        place: Place,
        last: Zxid,
        (accepted, current): (u32, Option<u32>),
        is_whole: bool,
    ) {
        let view = &mut self.views[place];
        let (durable, before) = (view.durable, (view.accepted, view.current));
        let now = (accepted, current.unwrap_or(0));
        if is_whole && !view.is_damaged {
            if last < durable {
                self.fail(format!(
                    "P8: {place} starts with {last}, {durable} was synced"
                ));
            } else if now.0 < before.0 || now.1 < before.1 {
                self.fail(format!(
                    "L1: {place} starts in {now:?}, {before:?} was stored"
                ));
            }
        }
        let view = &mut self.views[place];
        view.log.retain(|zxid| *zxid <= last);
        if last.counter() != 0 && !view.log.contains(&last) {
            // A leader's state was whole on the disk when the power was cut.
            self.installed(place, last);
        }
        let view = &mut self.views[place];
        // Recovery makes durable what it has found.
        view.durable = last;
        view.applied = Zxid::ZERO;
        (view.accepted, view.current) = now;
    }

    pub(crate) fn ended(&mut self, place: Place) {
        self.views[place].applied = Zxid::ZERO;
    }

    pub(crate) fn mode(&mut self, place: Place, mode: Option<Mode>, epoch: u32) {
        if mode == Some(Mode::Leader) {
            let view = &self.views[place];
            let mut newest = self.reconfigs.iter().rev();
            let newest = newest.find(|zxid| view.log.contains(zxid));
            if let Some(newest) = newest.filter(|newest| view.config < newest.0) {
                let what = format!("R5: {place} leads by {:x} behind {newest}", view.config);
                self.fail(what);
            }
            let other = *self.established.entry(epoch).or_insert(place);
            if other != place {
                self.fail(format!("I8: {place} and {other} lead in epoch {epoch}"));
            }
        }
    }

    pub(crate) fn disk_done(&mut self, place: Place, done: DiskDone, _: &Database) {
        match done {
            DiskDone::EpochAccepted(epoch) => {
                let view = &mut self.views[place];
                let before = std::mem::replace(&mut view.accepted, epoch);
                if epoch < before {
                    self.fail(format!("L1: {place} accepts {epoch} after {before}"));
                }
            }
            DiskDone::EpochEntered(epoch) => {
                let view = &mut self.views[place];
                let accepted = view.accepted;
                let before = std::mem::replace(&mut view.current, epoch);
                if epoch < before || accepted < epoch {
                    self.fail(format!(
                        "L2: {place} enters {epoch} from {before} of {accepted}"
                    ));
                }
            }
            DiskDone::Truncated { last } => self.cut(place, last),
            DiskDone::Installed { last } => {
                self.installed(place, last);
                self.views[place].is_damaged = false;
            }
            DiskDone::Reloaded { last } => {
                self.views[place].log.retain(|zxid| *zxid <= last);
                self.views[place].applied = Zxid::ZERO;
            }
            DiskDone::EpochAnnounced(_) | DiskDone::NotTruncated | DiskDone::ConfigKept => {}
        }
    }

    /// A server has the history of another.
    fn installed(&mut self, place: Place, last: Zxid) {
        let reaches = |view: &View| view.log.last().is_some_and(|highest| last <= *highest);
        let source = self.views.iter().position(reaches);
        let mut log: BTreeSet<Zxid> = self.delivered.range(..=last).copied().collect();
        if let Some(source) = source {
            log.extend(self.views[source].log.range(..=last).copied());
        }
        let view = &mut self.views[place];
        view.log = log;
        view.durable = last;
        view.applied = Zxid::ZERO;
        view.base = last;
    }

    fn cut(&mut self, place: Place, last: Zxid) {
        let view = &mut self.views[place];
        let gone: Vec<Zxid> = view
            .log
            .iter()
            .copied()
            .filter(|zxid| last < *zxid)
            .collect();
        view.log.retain(|zxid| *zxid <= last);
        view.durable = view.durable.min(last);
        view.applied = view.applied.min(last);
        for zxid in gone {
            if self.delivered.contains(&zxid) && !self.is_on_quorum(zxid) {
                self.fail(format!("P15: {place} cuts {zxid}, which was shown"));
            }
        }
    }

    /// Of the configuration that was in force for it; what puts another in force needs a quorum of
    /// that too.
    fn is_on_quorum(&self, zxid: Zxid) -> bool {
        let holds = |(_, view): &(Place, &View)| {
            view.is_damaged || zxid <= view.durable && view.log.contains(&zxid)
        };
        let holders = self.views.iter().enumerate().filter(holds);
        let holders: BTreeSet<ServerId> = holders.map(|(place, _)| server_of(place)).collect();
        let before = self.config_before(zxid);
        contains_quorum(before, &holders)
            && self
                .configs
                .get(&zxid.0)
                .is_none_or(|new| contains_quorum(new, &holders))
    }

    fn config_before(&self, zxid: Zxid) -> &EnsembleConfig {
        let before = self.configs.range(..zxid.0).next_back();
        before.map_or(&self.initial, |(_, config)| config)
    }

    /// A server begins with a configuration. Its files may have missed the last change.
    pub(crate) fn begins_with(&mut self, place: Place, config: &Arc<EnsembleConfig>) {
        self.views[place].config = 0;
        self.activated(place, config);
    }

    /// A server goes by a configuration: R1, R2.
    pub(crate) fn activated(&mut self, place: Place, config: &Arc<EnsembleConfig>) {
        let version = config.version;
        let before = std::mem::replace(&mut self.views[place].config, version);
        if version == 0 || version == before {
            return;
        }
        let known = self.configs.entry(version).or_insert(Arc::clone(config));
        if known != config {
            return self.fail(format!("R1: {place} has another configuration {version:x}"));
        }
        if version < before {
            self.fail(format!(
                "R1: {place} goes from {before:x} back to {version:x}"
            ));
        }
        // A later leader may complete it without the transaction.
        let zxid = Zxid(version);
        let is_of_now = zxid.epoch() == self.newest_epoch() && self.reconfigs.contains(&zxid);
        if before != 0 && is_of_now && !self.is_on_quorum(zxid) {
            self.fail(format!(
                "R2: {place} activates {zxid}, which quorums of both do not hold"
            ));
        }
    }

    /// What a server shows by now.
    pub(crate) fn applied(
        &mut self,
        place: Place,
        core: &Core,
        database: &Database,
        mode: Option<Mode>,
    ) {
        if mode.is_none() {
            return;
        }
        let last = database.tree.last_zxid();
        let before = self.views[place].applied;
        if last == before {
            return;
        }
        let digest = database.tree.digest();
        let (known, other) = *self.digests.entry(last).or_insert((digest, place));
        if known != digest {
            self.fail(format!("P17: {place} and {other} differ at {last}"));
        }
        let newest = self.last_delivered();
        let is_leader = core.peer().leader() == Some(server_of(place));
        let fresh: Vec<Zxid> = match newest < last {
            true => self
                .proposals
                .range(..=last)
                .rev()
                .map(|(zxid, _)| *zxid)
                .take_while(|zxid| newest < *zxid)
                .collect(),
            false => Vec::new(),
        };
        for zxid in fresh.into_iter().rev() {
            if !self.views[place].log.contains(&zxid) {
                continue;
            }
            if !is_leader {
                self.fail(format!("I1: {place} shows {zxid} before any leader"));
            }
            let config = core.peer().config();
            // What it began with, a quorum of both holds by its NEWLEADER.
            let is_own = core.peer().epochs().current == Some(zxid.epoch());
            let is_over = !config.is_voter(server_of(place)) && config.version < zxid.0 && is_own;
            if is_leader && is_over {
                self.fail(format!(
                    "R4: {place} commits {zxid} and is no voter any more"
                ));
            }
            if !self.is_on_quorum(zxid) {
                self.fail(format!(
                    "P5: {place} commits {zxid}, which no quorum's disks hold"
                ));
            }
            self.delivered.insert(zxid);
        }
        let view = &self.views[place];
        let known = before.max(view.base);
        if known < last {
            let range = (
                std::ops::Bound::Excluded(known),
                std::ops::Bound::Included(last),
            );
            let ours = view.log.range(range);
            let others = self.delivered.range(range);
            if let Some((ours, others)) = ours.zip(others).find(|(ours, others)| ours != others) {
                let what = format!("I4: {place} shows {ours} where another has shown {others}");
                self.fail(what);
            }
        }
        self.views[place].applied = last;
    }

    pub(crate) fn learner_sends(&mut self, place: Place, packet: &QuorumPacket) {
        let zxid = packet.zxid;
        if packet.r#type == PacketType::Ack && zxid.counter() != 0 {
            let view = &self.views[place];
            if view.durable < zxid || !view.log.contains(&zxid) {
                let durable = view.durable;
                self.fail(format!(
                    "P3: {place} acknowledges {zxid}, its disk has {durable}"
                ));
            }
        }
    }
}

/// Whether a transaction changes the members: its type is the last field of the header.
fn is_reconfig(payload: &[u8]) -> bool {
    let op = payload.get(28..).and_then(<[u8]>::first_chunk::<4>);
    op.is_some_and(|op| i32::from_be_bytes(*op) == OpCode::Reconfig.code())
}
