//! Finds containers that are empty and TTL nodes whose time is over.
//!
//! Invariant: it only names candidates; whether one goes is decided when its turn comes. Source:
//! `ContainerManager.java`; client-protocol.md 4.7.

use std::collections::VecDeque;

use ox_proto::StatPersisted;
use ox_tree::{DataTree, OwnerKind, TreeOptions, owner_kind};

use crate::settings::ReaperSettings;

/// When to look, and what was found and not yet tried.
#[derive(Debug)]
pub(crate) struct Reaper {
    settings: ReaperSettings,
    next_check: i64,
    next_candidate: i64,
    candidates: VecDeque<String>,
}

impl Reaper {
    /// Looks for the first time one interval from `now` (monotonic, in milliseconds).
    pub(crate) fn new(settings: ReaperSettings, now: i64) -> Self {
        Self {
            settings,
            next_check: now.saturating_add(settings.check_interval_ms),
            next_candidate: now,
            candidates: VecDeque::new(),
        }
    }

    /// When there is something to do, in monotonic milliseconds.
    pub(crate) fn poll_timeout(&self) -> i64 {
        if self.candidates.is_empty() {
            self.next_check
        } else {
            self.next_candidate
        }
    }

    /// The candidate whose turn it is. `wall` is the time in milliseconds since 1970.
    pub(crate) fn poll(&mut self, now: i64, wall: i64, tree: &DataTree) -> Option<String> {
        if self.candidates.is_empty() && now >= self.next_check {
            self.next_check = now.saturating_add(self.settings.check_interval_ms);
            self.candidates = self.find(wall, tree);
        }
        if self.candidates.is_empty() || now < self.next_candidate {
            return None;
        }
        self.next_candidate = now.saturating_add(self.settings.pause_ms);
        self.candidates.pop_front()
    }

    fn find(&self, wall: i64, tree: &DataTree) -> VecDeque<String> {
        let owned = tree.containers().chain(tree.ttl_nodes());
        owned
            .filter(|path| self.is_candidate(wall, tree, path))
            .collect()
    }

    fn is_candidate(&self, wall: i64, tree: &DataTree, path: &str) -> bool {
        tree.node(path).is_some_and(|node| {
            let (stat, children) = (node.stat_persisted(), node.child_count());
            is_collectable(&self.settings, &tree.options(), wall, &stat, children)
        })
    }
}

/// True for a container or TTL node that is to go at the time `wall`.
pub(crate) fn is_collectable(
    settings: &ReaperSettings,
    options: &TreeOptions,
    wall: i64,
    stat: &StatPersisted,
    children: usize,
) -> bool {
    let age = wall - stat.mtime;
    let is_over = match owner_kind(stat.ephemeral_owner, options) {
        OwnerKind::Container if stat.cversion > 0 => true,
        OwnerKind::Container => 0 < settings.max_never_used_ms && settings.max_never_used_ms < age,
        OwnerKind::Ttl(ttl) => ttl < age,
        OwnerKind::Persistent | OwnerKind::Ephemeral(_) => false,
    };
    is_over && children == 0
}
