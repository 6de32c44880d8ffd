//! Limits on what a subtree holds, and the count of what it does hold.
//!
//! Invariant: only paths below `/zookeeper/quota/` govern anything, so none of the three requests
//! that stop a Java server for good can do harm here, and usage that does not parse is counted
//! anew (client-protocol.md 10). The znodes that hold the usage change without a new version,
//! an event or a log record. Source: `Quotas`, `StatsTrack`, `PathTrie`, `DataTree`.

use std::collections::BTreeSet;
use std::fmt;

use ox_mutant::{Mutant, is_on};
use ox_proto::ErrorCode;
use ox_proto::path;

use crate::tree::DataTree;

const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// The text of a limits or stats node. -1 means no limit, or not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsTrack {
    /// Znodes: the soft limit, or how many there are.
    pub count: i64,
    /// Bytes of data: the soft limit, or how many there are.
    pub bytes: i64,
    /// The hard limit of znodes, if the text has one.
    pub count_hard_limit: Option<i64>,
    /// The hard limit of bytes, if the text has one.
    pub byte_hard_limit: Option<i64>,
}

impl Default for StatsTrack {
    fn default() -> Self {
        Self {
            count: -1,
            bytes: -1,
            count_hard_limit: None,
            byte_hard_limit: None,
        }
    }
}

impl StatsTrack {
    /// Reads the text; `None` if Java could not.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut track = Self::default();
        let is_separator = |c| matches!(c, ',' | ';');
        // Separators at the end are nothing; elsewhere a run of them is one.
        let pairs = text.trim_end_matches(is_separator).split(is_separator);
        for pair in pairs
            .enumerate()
            .filter(|(at, pair)| *at == 0 || !pair.is_empty())
        {
            let mut parts = pair.1.split('=');
            let (key, value) = (parts.next()?, parts.next()?);
            let value = if value.is_empty() {
                -1
            } else {
                value.parse().ok()?
            };
            match key {
                "count" => track.count = value,
                "bytes" => track.bytes = value,
                "countHardLimit" => track.count_hard_limit = Some(value),
                "byteHardLimit" => track.byte_hard_limit = Some(value),
                _ => {}
            }
        }
        Some(track)
    }
}

/// The text, as `ZooKeeper` writes it.
impl fmt::Display for StatsTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.count, self.bytes)?;
        let hard = [
            ("byteHardLimit", self.byte_hard_limit),
            ("countHardLimit", self.count_hard_limit),
        ];
        let mut separator = "=;";
        for (key, limit) in hard {
            if let Some(limit) = limit {
                write!(f, "{separator}{key}={limit}")?;
                separator = ";";
            }
        }
        Ok(())
    }
}

/// A path with limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota<'a> {
    /// What is limited, with all below it.
    pub path: &'a str,
    /// The limits.
    pub limits: StatsTrack,
    /// What there is.
    pub usage: StatsTrack,
}

/// A limit that a change would pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaBreach {
    /// The path with the limit.
    pub path: String,
    /// `Count` or `Byte`, as in Java's message.
    pub what: &'static str,
    /// What there would be.
    pub current: i64,
    /// The limit.
    pub limit: i64,
    /// Whether the change is refused for it.
    pub is_hard: bool,
}

/// Java's message.
impl fmt::Display for QuotaBreach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_hard { "hard" } else { "soft" };
        let noun = if self.what == "Count" {
            "count"
        } else {
            "bytes"
        };
        write!(
            f,
            "Quota exceeded: {} [current {noun}={}, {kind}{}Limit={}]",
            self.path, self.current, self.what, self.limit
        )
    }
}

/// The paths that have limits.
#[derive(Default)]
pub(crate) struct GovernedPaths(BTreeSet<Box<str>>);

impl GovernedPaths {
    pub(crate) fn insert(&mut self, path: &str) {
        self.0.insert(path.into());
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }

    /// The deepest of them that is `path` or above it.
    fn governing(&self, path: &str) -> Option<&str> {
        let mut prefix = path;
        while !self.0.is_empty() && !prefix.is_empty() {
            if let Some(found) = self.0.get(prefix) {
                return Some(found);
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
        None
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// The path that the children of this one speak of: what follows `/zookeeper/quota`. The text must
/// be a path, so the limits of the root and those of `/zookeeper/quotaX` are plain znodes.
fn governed_path(parent: &str) -> Option<&str> {
    parent
        .strip_prefix(path::QUOTA)
        .filter(|rest| rest.starts_with('/'))
}

fn limits_path(path: &str) -> String {
    format!("{}{path}/{LIMITS}", path::QUOTA)
}

fn stats_path(path: &str) -> String {
    format!("{}{path}/{STATS}", path::QUOTA)
}

impl DataTree {
    /// Counts a znode that was made, and takes note if it speaks of a quota.
    pub(crate) fn quota_created(&mut self, parent: &str, name: &str, path: &str, bytes: usize) {
        if let Some(governed) = governed_path(parent) {
            match name {
                LIMITS => self.governed.insert(governed),
                STATS => self.recount(governed),
                _ => {}
            }
        }
        self.account(path, to_i64(bytes), 1);
    }

    /// Counts a change of data.
    pub(crate) fn quota_changed(&mut self, path: &str, old_bytes: usize, new_bytes: usize) {
        self.account(path, to_i64(new_bytes) - to_i64(old_bytes), 0);
    }

    /// Counts a znode that was deleted, and takes note if it spoke of a quota.
    pub(crate) fn quota_deleted(&mut self, path: &str, bytes: usize) {
        if let Some((parent, LIMITS)) = path.rsplit_once('/')
            && let Some(governed) = governed_path(parent)
        {
            self.governed.remove(governed);
        }
        self.account(path, -to_i64(bytes), -i64::from(!is_on(Mutant::Q02)));
    }

    /// Finds the quotas of a tree that was just loaded. Limits that have children do not count.
    pub(crate) fn rebuild_quotas(&mut self) {
        let mut found = Vec::new();
        for id in self
            .resolve(path::QUOTA)
            .into_iter()
            .flat_map(|top| self.subtree(top))
        {
            if self.name(id) == LIMITS && self.child_ids(id).is_empty() {
                let path = self.path_of(id);
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                found.extend(governed_path(parent).map(str::to_owned));
            }
        }
        for governed in found {
            self.governed.insert(&governed);
            self.recount(&governed);
        }
    }

    fn account(&mut self, path: &str, bytes: i64, count: i64) {
        let Some(governed) = self.governed.governing(path) else {
            return;
        };
        let Some(id) = self.resolve(&stats_path(governed)) else {
            return; // Limits without stats: nothing is counted.
        };
        match self.nodes[id].blob.data().and_then(StatsTrack::parse) {
            Some(mut usage) => {
                usage.count = usage.count.wrapping_add(count);
                usage.bytes = usage.bytes.wrapping_add(bytes);
                self.replace_data(id, Some(usage.to_string().as_bytes()));
            }
            None => {
                let governed = governed.to_owned();
                self.recount(&governed);
            }
        }
    }

    fn recount(&mut self, governed: &str) {
        if let Some(id) = self.resolve(&stats_path(governed)) {
            let usage = self.usage(governed);
            self.replace_data(id, Some(usage.to_string().as_bytes()));
        }
    }

    /// What is at a path and below it.
    fn usage(&self, path: &str) -> StatsTrack {
        let mut usage = StatsTrack {
            count: 0,
            bytes: 0,
            ..StatsTrack::default()
        };
        for id in self
            .resolve(path)
            .into_iter()
            .flat_map(|top| self.subtree(top))
        {
            usage.count += 1;
            usage.bytes += to_i64(self.data_len(id));
        }
        usage
    }

    /// Whether hard limits allow this change, seen from what is committed. `bytes_delta` is the
    /// growth of the data, `count_delta` 1 for a create. Refuses with `QuotaExceeded`, and with
    /// `MarshallingError` where the limits cannot be read.
    pub fn check_quota(
        &self,
        path: &str,
        bytes_delta: i64,
        count_delta: i64,
    ) -> Result<(), ErrorCode> {
        match self.quota_breach(path, bytes_delta, count_delta)? {
            Some(breach) if breach.is_hard => Err(ErrorCode::QuotaExceeded),
            Some(_) | None => Ok(()),
        }
    }

    /// The limit that this change would pass: a hard one if there is, else a soft one, which is
    /// only worth a line in the log. Where a hard limit is set the soft one does not count.
    pub fn quota_breach(
        &self,
        path: &str,
        bytes_delta: i64,
        count_delta: i64,
    ) -> Result<Option<QuotaBreach>, ErrorCode> {
        let Some(governed) = self.governed.governing(path) else {
            return Ok(None);
        };
        let Some(limits) = self.resolve(&limits_path(governed)) else {
            return Ok(None);
        };
        let limits = self.nodes[limits].blob.data().and_then(StatsTrack::parse);
        let limits = limits.ok_or(ErrorCode::MarshallingError)?;
        let Some(stats) = self.resolve(&stats_path(governed)) else {
            return Ok(None);
        };
        let usage = self.nodes[stats].blob.data().and_then(StatsTrack::parse);
        // Junk is counted anew at the next change, not here: a refused request must stay cheap.
        let usage = usage.unwrap_or_default();
        let breach = |what, hard: Option<i64>, soft, used: i64, delta| {
            let hard = hard.filter(|limit| *limit > -1);
            let limit = hard.unwrap_or(soft);
            let current = used.wrapping_add(delta);
            (delta != 0 && limit > -1 && current > limit).then(|| QuotaBreach {
                path: governed.to_owned(),
                what,
                current,
                limit,
                is_hard: hard.is_some(),
            })
        };
        let count = breach(
            "Count",
            limits.count_hard_limit,
            limits.count,
            usage.count,
            count_delta,
        );
        let bytes = breach(
            "Byte",
            limits.byte_hard_limit,
            limits.bytes,
            usage.bytes,
            bytes_delta,
        );
        let (hard, soft): (Vec<_>, Vec<_>) = count
            .into_iter()
            .chain(bytes)
            .partition(|breach| breach.is_hard);
        Ok(hard.into_iter().chain(soft).next())
    }

    /// Every path with limits, except where limits or usage are missing or cannot be read.
    pub fn quotas(&self) -> impl Iterator<Item = Quota<'_>> {
        self.governed.iter().filter_map(|path| {
            let track = |path: String| {
                self.nodes[self.resolve(&path)?]
                    .blob
                    .data()
                    .and_then(StatsTrack::parse)
            };
            Some(Quota {
                path,
                limits: track(limits_path(path))?,
                usage: track(stats_path(path))?,
            })
        })
    }
}

/// Sizes of what is in memory.
fn to_i64(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("less than 2^63 bytes")
}

#[cfg(test)]
mod tests;
