//! What a learner is sent so that it holds our history: DIFF, TRUNC or SNAP.
//!
//! Invariants: a DIFF goes on without a gap from an entry that the learner has; a TRUNC never cuts
//! across an epoch, nor above what the learner has; a SNAP is never below the learner's last zxid;
//! everything behind what was sent here is forwarded, once. Source: `LearnerHandler.syncFollower`,
//! `Leader.startForwarding`; quorum.md 6.4.

use bytes::Bytes;
use ox_mutant::{Mutant, is_on};
use ox_proto::{PacketType, QuorumPacket, Zxid};

use crate::context::Context;
use crate::event::{LinkId, LogSearch, Output};
use crate::learner_handler::{HandlerState, Handlers};

/// How a learner's history becomes ours.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Plan {
    /// It has this entry of ours; it gets what stands behind.
    Diff { from: Zxid },
    /// It cuts what stands behind this entry of ours, then gets what we have there.
    Trunc { to: Zxid },
    /// It gets everything.
    Snap,
    /// Memory does not reach back so far.
    Search,
}

/// What learners are brought to.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Ours {
    /// The epoch.
    pub(crate) epoch: u32,
    /// A quorum holds what came before it.
    pub(crate) is_established: bool,
    /// Our newest committed zxid; once the epoch is established, its start at least.
    pub(crate) last_processed: Zxid,
}

impl Handlers {
    /// Sends a learner whose last zxid is `last` what it lacks, and NEWLEADER. Returns up to where
    /// it has our history before; `None` if the disk has to be searched first.
    pub(crate) fn synchronize(
        &mut self,
        cx: &mut Context<'_>,
        link: LinkId,
        ours: Ours,
        last: Zxid,
    ) -> Option<Zxid> {
        match plan(cx, ours, last) {
            Plan::Search => {
                self.known(link).state = HandlerState::Searching { last };
                let to = cx.history.base();
                cx.output(Output::Search {
                    link,
                    zxid: last,
                    to,
                });
                None
            }
            plan => self.carry_out(cx, link, ours, last, plan, None),
        }
    }

    /// Goes on when it is known what the log on disk holds.
    pub(crate) fn synchronize_from_disk(
        &mut self,
        cx: &mut Context<'_>,
        link: LinkId,
        ours: Ours,
        found: LogSearch,
    ) -> Option<Zxid> {
        let HandlerState::Searching { last } = self.get(link)?.state else {
            return None;
        };
        let (plan, from) = match found {
            LogSearch::Unusable => (Plan::Snap, None),
            LogSearch::Found => (Plan::Diff { from: last }, Some(last)),
            LogSearch::Between { before, behind } => {
                (between(last, before, Some(behind)), Some(before))
            }
        };
        self.carry_out(cx, link, ours, last, plan, from)
    }

    /// `from_disk`: entries behind this one that memory does not hold come from the disk.
    fn carry_out(
        &mut self,
        cx: &mut Context<'_>,
        link: LinkId,
        ours: Ours,
        last: Zxid,
        plan: Plan,
        from_disk: Option<Zxid>,
    ) -> Option<Zxid> {
        let by_state = plan == Plan::Snap;
        if self.is_full(cx, link, by_state) {
            self.drop_link(cx, link, "too many learners are being synchronized");
            return None;
        }
        let newest = cx.history.committed();
        let server = self.known(link).server;
        let position = match plan {
            Plan::Diff { from } => {
                // All that it names is committed, so this is where its part of the history ends.
                let end = newest.max(from);
                tracing::info!(
                    sid = server.0,
                    "Synchronizing with learner: sending DIFF {end}, its last zxid is {last}"
                );
                cx.send_bare(link, PacketType::Diff, end);
                from_disk.unwrap_or(from)
            }
            Plan::Trunc { to } => {
                tracing::info!(
                    sid = server.0,
                    "Synchronizing with learner: sending TRUNC {to}, its last zxid is {last}"
                );
                cx.send_bare(link, PacketType::Trunc, to);
                to
            }
            Plan::Snap => {
                let zxid = ours.last_processed;
                tracing::info!(
                    sid = server.0,
                    "Synchronizing with learner: sending SNAP {zxid}, its last zxid is {last}"
                );
                cx.send_bare(link, PacketType::Snap, zxid);
                cx.output(Output::SendState { link });
                zxid
            }
            Plan::Search => unreachable!("it is searched for once"),
        };
        self.known(link).by_state = by_state;
        let base = cx.history.base();
        if from_disk.is_some() && plan != Plan::Snap && position < base {
            cx.output(Output::SendLog {
                link,
                after: position,
                to: base,
            });
        }
        self.forward_behind(cx, link, position);
        self.finish(cx, link, ours);
        Some(position)
    }

    /// Whether an observer must come again later, so that synchronizing many at once does not keep
    /// us from our work. Those that vote count, and are never turned away.
    fn is_full(&mut self, cx: &Context<'_>, link: LinkId, by_state: bool) -> bool {
        if self.known(link).votes {
            return false;
        }
        let limits = &cx.settings.leader;
        let limit = match by_state {
            true => limits.max_concurrent_snap_syncs,
            false => limits.max_concurrent_diff_syncs,
        };
        let synchronizing = self.values().filter(|handler| {
            handler.state == HandlerState::AwaitsAck && handler.by_state == by_state
        });
        limit <= synchronizing.count()
    }

    /// Sends what stands behind `position` in memory: committed entries with their commits, and
    /// outstanding ones to those that vote.
    fn forward_behind(&mut self, cx: &mut Context<'_>, link: LinkId, position: Zxid) {
        let votes = self.known(link).votes;
        let committed = cx.history.committed();
        let entries = cx.history.behind(position);
        let entries = entries.take_while(|entry| votes || entry.zxid <= committed);
        let entries: Vec<_> = entries
            .map(|entry| (entry.zxid, Bytes::clone(&entry.payload)))
            .collect();
        // NEWLEADER would make it forget a reconfiguration that it was sent before.
        let pending = cx.configs.is_pending();
        let held_from = pending.then(|| Zxid(cx.configs.last_seen().version));
        for (zxid, payload) in entries {
            let packet = QuorumPacket::with_data(PacketType::Proposal, zxid, payload);
            if zxid > committed && held_from.is_some_and(|from| from <= zxid) {
                let handler = self.known(link);
                handler.proposed(zxid, cx.now);
                handler.forward(cx, link, packet);
                continue;
            }
            cx.send(link, packet);
            if zxid <= committed {
                cx.send_bare(link, PacketType::Commit, zxid);
            } else {
                self.known(link).proposed(zxid, cx.now);
            }
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>, link: LinkId, ours: Ours) {
        let handler = self.known(link);
        handler.forwards = true;
        handler.state = HandlerState::AwaitsAck;
        // It had nothing to say while others were elected and the disk was searched.
        let after_ms = cx.settings.init_ms();
        cx.output(Output::ReadTimeout { link, after_ms });
        let zxid = Zxid::new(ours.epoch, 0);
        // What a new leader has found proposed it completes. Later it names what is in force, since
        // a learner activates what it is named; what is proposed comes as a proposal behind that.
        let config = match ours.is_established {
            true => cx.configs.committed(),
            false => cx.configs.last_seen(),
        };
        let config = config.to_string();
        cx.send(
            link,
            QuorumPacket::with_data(PacketType::NewLeader, zxid, config),
        );
    }
}

fn plan(cx: &Context<'_>, ours: Ours, last: Zxid) -> Plan {
    let processed = ours.last_processed;
    // A Java learner keeps the records behind a SNAP, and one of ours may have acknowledged
    // them: such a tail must be truncated, or stay.
    if cx.settings.force_snapshot_sync && last <= processed {
        return Plan::Snap;
    }
    if last == processed {
        return Plan::Diff { from: last };
    }
    let (base, newest) = (cx.history.base(), cx.history.committed());
    if last < Zxid::ZERO {
        return Plan::Snap; // It holds nothing that counts.
    }
    if last > newest {
        // A zxid with the counter 0 stands for no entry: its owner has begun an epoch. And of
        // an epoch that we hold nothing of, it may hold only what a snapshot began with.
        let is_foreign = last.epoch() > newest.epoch() && last <= processed;
        return match last.counter() == 0 || is_foreign || is_on(Mutant::M27) {
            true => Plan::Snap,
            false => Plan::Trunc { to: newest },
        };
    }
    if last < base {
        return Plan::Search;
    }
    let before = cx.history.at_or_before(last);
    let behind = cx.history.behind(last).next().map(|entry| entry.zxid);
    between(last, before, behind)
}

/// What follows from our entries around the learner's last zxid.
fn between(last: Zxid, before: Zxid, behind: Option<Zxid>) -> Plan {
    if before == last {
        return Plan::Diff { from: last };
    }
    if last.counter() == 0 {
        return Plan::Diff { from: before };
    }
    match behind {
        Some(behind) if behind.epoch() == last.epoch() => Plan::Trunc { to: before },
        _ => Plan::Snap,
    }
}
