//! What a learner is sent so that it holds our history: DIFF, TRUNC or SNAP.
//!
//! Invariants: a DIFF goes on without a gap from an entry that the learner has; a TRUNC never cuts
//! across an epoch, nor above what the learner has; a SNAP is never below the learner's last zxid;
//! everything behind what was sent here is forwarded, once. Source: `LearnerHandler.syncFollower`,
//! `Leader.startForwarding`; quorum.md 6.4.

use bytes::Bytes;
use ox_proto::{PacketType, QuorumPacket, Zxid};

use super::Leader;
use super::learner_handler::HandlerState;
use crate::context::Context;
use crate::event::{LinkId, LogSearch, Output};

/// How a learner's history becomes ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Leader {
    /// Our newest committed zxid; once established, the start of our epoch at least.
    fn last_processed(&self, cx: &Context<'_>) -> Zxid {
        let committed = cx.history.committed();
        match self.is_serving() {
            true => committed.max(Zxid::new(self.epoch, 0)),
            false => committed,
        }
    }

    /// Sends a learner whose last zxid is `last` what it lacks, and NEWLEADER.
    pub(super) fn synchronize(&mut self, cx: &mut Context<'_>, link: LinkId, last: Zxid) {
        match self.plan(cx, last) {
            Plan::Search => {
                self.handler(link).state = HandlerState::Searching { last };
                let to = cx.history.base();
                cx.output(Output::Search {
                    link,
                    zxid: last,
                    to,
                });
            }
            plan => self.carry_out(cx, link, last, plan, None),
        }
    }

    fn plan(&self, cx: &Context<'_>, last: Zxid) -> Plan {
        let processed = self.last_processed(cx);
        // A Java learner keeps the records behind a SNAP, and one of ours may have acknowledged
        // them: such a tail must be truncated, or stay.
        if cx.settings.force_snapshot_sync && last <= processed {
            return Plan::Snap;
        }
        if last == processed {
            return Plan::Diff { from: last };
        }
        let (base, newest) = (cx.history.base(), cx.history.committed());
        // A zxid with the counter 0 stands for no entry: its owner has begun an epoch.
        let begins_epoch = last.counter() == 0;
        if last > newest {
            return match begins_epoch {
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

    /// Goes on when it is known what the log on disk holds.
    pub(super) fn synchronize_from_disk(
        &mut self,
        cx: &mut Context<'_>,
        link: LinkId,
        last: Zxid,
        found: LogSearch,
    ) {
        let (plan, from) = match found {
            LogSearch::Unusable => (Plan::Snap, None),
            LogSearch::Found => (Plan::Diff { from: last }, Some(last)),
            LogSearch::Between { before, behind } => {
                (between(last, before, Some(behind)), Some(before))
            }
        };
        self.carry_out(cx, link, last, plan, from);
    }

    /// `from_disk`: entries behind this one that memory does not hold come from the disk.
    fn carry_out(
        &mut self,
        cx: &mut Context<'_>,
        link: LinkId,
        last: Zxid,
        plan: Plan,
        from_disk: Option<Zxid>,
    ) {
        let newest = cx.history.committed();
        let server = self.handler(link).server;
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
                let zxid = self.last_processed(cx);
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
        // What it acknowledged behind this it may have been told to cut: it does so again.
        self.broadcast.forget_acks(server, position);
        let base = cx.history.base();
        if from_disk.is_some() && plan != Plan::Snap && position < base {
            cx.output(Output::SendLog {
                link,
                after: position,
                to: base,
            });
        }
        self.forward_behind(cx, link, position);
        self.finish(cx, link);
    }

    /// Sends what stands behind `position` in memory: committed entries with their commits, and
    /// outstanding ones to those that vote.
    fn forward_behind(&mut self, cx: &mut Context<'_>, link: LinkId, position: Zxid) {
        let votes = self.handler(link).votes;
        let committed = cx.history.committed();
        let entries = cx.history.behind(position);
        let entries = entries.take_while(|entry| votes || entry.zxid <= committed);
        let entries: Vec<_> = entries
            .map(|entry| (entry.zxid, Bytes::clone(&entry.payload)))
            .collect();
        for (zxid, payload) in entries {
            cx.send(
                link,
                QuorumPacket::with_data(PacketType::Proposal, zxid, payload),
            );
            if zxid <= committed {
                cx.send_bare(link, PacketType::Commit, zxid);
            } else {
                self.handler(link).proposed(zxid, cx.now);
            }
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>, link: LinkId) {
        let handler = self.handler(link);
        handler.forwards = true;
        handler.state = HandlerState::AwaitsAck;
        let zxid = Zxid::new(self.epoch, 0);
        let config = cx.config.to_string();
        cx.send(
            link,
            QuorumPacket::with_data(PacketType::NewLeader, zxid, config),
        );
    }
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
