//! Finds containers that are empty and TTL nodes whose time is over.
//!
//! Invariant: it only names candidates; whether one goes is decided when its turn comes. Source:
//! `ContainerManager.java`; client-protocol.md 4.7.

use std::collections::VecDeque;

use ox_tree::{DataTree, OwnerKind, owner_kind};

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
        let Some(node) = tree.node(path) else {
            return false;
        };
        if node.child_count() > 0 {
            return false;
        }
        let stat = node.stat_persisted();
        let age = wall - stat.mtime;
        match owner_kind(stat.ephemeral_owner, &tree.options()) {
            OwnerKind::Container if stat.cversion > 0 => true,
            OwnerKind::Container => {
                let never_used = self.settings.max_never_used_ms;
                never_used > 0 && age > never_used
            }
            OwnerKind::Ttl(ttl) => age > ttl,
            OwnerKind::Persistent | OwnerKind::Ephemeral(_) => false,
        }
    }
}
