//! Commands about quotas: znodes below `/zookeeper/quota` whose text the server goes by.
//!
//! Source: `org.apache.zookeeper.StatsTrack`, `SetQuotaCommand`, `DelQuotaCommand`;
//! client-protocol.md chapter 10.

use std::fmt;

use bytes::Bytes;
use ox_client::{Client, Creation, Error};
use ox_proto::{ErrorCode, path};

use super::{Failure, Outcome, Parsed, Shell};
use crate::shell::paths;

const LIMITS: &str = "zookeeper_limits";
const USAGE: &str = "zookeeper_stats";

/// A limit that is none, or a number that is not told.
const NONE: i64 = -1;

/// The four limits of a path, or what is in use, in that text's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Track {
    count: i64,
    bytes: i64,
    hard_bytes: i64,
    hard_count: i64,
}

impl Track {
    const UNLIMITED: Self = Self {
        count: NONE,
        bytes: NONE,
        hard_bytes: NONE,
        hard_count: NONE,
    };

    /// Any run of commas and semicolons ends a part; a part is a key, `=`, and perhaps a value.
    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.split([',', ';'])
                .filter_map(|part| part.split_once('='))
                .find(|(name, _)| *name == key)
                .and_then(|(_, value)| value.trim_end_matches('=').parse().ok())
                .unwrap_or(NONE)
        };
        Self {
            count: value("count"),
            bytes: value("bytes"),
            hard_bytes: value("byteHardLimit"),
            hard_count: value("countHardLimit"),
        }
    }

    fn limit(&mut self, option: &str) -> Option<&mut i64> {
        match option {
            "n" => Some(&mut self.count),
            "b" => Some(&mut self.bytes),
            "N" => Some(&mut self.hard_count),
            "B" => Some(&mut self.hard_bytes),
            _ => None,
        }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            bytes,
            hard_bytes,
            hard_count,
        } = self;
        write!(
            f,
            "count={count},bytes={bytes}=;byteHardLimit={hard_bytes};countHardLimit={hard_count}"
        )
    }
}

const OPTIONS: [&str; 4] = ["n", "b", "N", "B"];

pub(super) async fn set(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = parsed.arg(0).ok_or(Failure::Usage)?;
    if path.starts_with(path::QUOTA) {
        let text = format!("cannot set a quota under the path: {}", path::QUOTA);
        shell.console.err(&text);
        return Ok(());
    }
    let mut wanted = Track::UNLIMITED;
    for (option, text) in OPTIONS
        .into_iter()
        .filter_map(|option| Some((option, parsed.value(option)?)))
    {
        // Java's shell tells these and calls it a success.
        match limit(option, text) {
            Ok(value) => {
                if let Some(limit) = wanted.limit(option) {
                    *limit = value;
                }
            }
            Err(refusal) => {
                shell.console.err(refusal);
                return Ok(());
            }
        }
    }
    create(shell, path, wanted).await
}

/// The number that an option carries.
fn limit(option: &str, text: &str) -> Result<i64, &'static str> {
    let value: i64 = text
        .parse()
        .map_err(|_| "NumberFormatException happens when parsing the option value")?;
    match option {
        "n" | "N" if value <= 0 => Err("the num quota must be greater than zero"),
        "b" | "B" if value < 0 => Err("the bytes quota must be greater than or equal to zero"),
        _ => Ok(value),
    }
}

async fn create(shell: &mut Shell, path: &str, wanted: Track) -> Outcome {
    paths::check(path)?;
    let quota = format!("{}{path}", path::QUOTA);
    paths::check(&quota)?;
    let client = shell.client_for(path).await?;
    if client
        .exists(path, false)
        .await
        .map_err(Failure::about(path))?
        .is_none()
    {
        return Err(Failure::Text(format!("{path} does not exist.")));
    }
    refuse_quota_below(&client, path, &quota).await?;
    refuse_quota_above(&client, path).await?;
    make_path(&client, &quota).await?;

    let limits = format!("{quota}/{LIMITS}");
    let merged = match data(&client, &limits).await? {
        None => {
            make(&client, &limits, Some(wanted.to_string())).await?;
            make(
                &client,
                &format!("{quota}/{USAGE}"),
                Some("count=0,bytes=0".into()),
            )
            .await?;
            wanted
        }
        Some(text) => {
            let merged = merge(Track::parse(&text), wanted);
            let text = merged.to_string();
            client
                .set_data(&limits, Some(text.into()), -1)
                .await
                .map_err(Failure::about(&limits))?;
            merged
        }
    };
    warn(shell, &client, &quota, merged).await
}

/// What was set stays where nothing else is wanted.
fn merge(old: Track, wanted: Track) -> Track {
    let pick = |old, new| if new == NONE { old } else { new };
    Track {
        count: pick(old.count, wanted.count),
        bytes: pick(old.bytes, wanted.bytes),
        hard_bytes: pick(old.hard_bytes, wanted.hard_bytes),
        hard_count: pick(old.hard_count, wanted.hard_count),
    }
}

/// A quota may hold no other.
async fn refuse_quota_below(client: &Client, path: &str, quota: &str) -> Outcome {
    let mut pending = vec![quota.to_owned()];
    while let Some(parent) = pending.pop() {
        for child in children(client, &parent).await? {
            match child.as_str() {
                LIMITS if parent == quota => {}
                LIMITS => {
                    let owner = parent.strip_prefix(path::QUOTA).unwrap_or(&parent);
                    let text = format!("{path} has a child {owner} which has a quota");
                    return Err(Failure::Text(text));
                }
                USAGE => {}
                name => pending.push(path::child(&parent, name)),
            }
        }
    }
    Ok(())
}

async fn refuse_quota_above(client: &Client, path: &str) -> Outcome {
    for (end, _) in path.match_indices('/').skip(1) {
        let above = &path[..end];
        let limits = format!("{}{above}/{LIMITS}", path::QUOTA);
        if data(client, &limits).await?.is_some() {
            let text = format!("{path} has a parent {above} which has a quota");
            return Err(Failure::Text(text));
        }
    }
    Ok(())
}

/// Makes what is missing of the path down to `quota`.
async fn make_path(client: &Client, quota: &str) -> Outcome {
    for (end, _) in quota.match_indices('/').skip(1) {
        make(client, &quota[..end], None).await?;
    }
    make(client, quota, None).await
}

async fn make(client: &Client, path: &str, text: Option<String>) -> Outcome {
    let creation = Creation {
        data: text.map(Bytes::from),
        ..Creation::new(path, "")
    };
    match client.create(creation).await {
        Ok(_) | Err(Error::Server(ErrorCode::NodeExists)) => Ok(()),
        Err(error) => Err(Failure::about(path)(error)),
    }
}

/// Tells of limits that are passed already.
async fn warn(shell: &Shell, client: &Client, quota: &str, limits: Track) -> Outcome {
    let Some(text) = data(client, &format!("{quota}/{USAGE}")).await? else {
        return Ok(());
    };
    let used = Track::parse(&text);
    let passed = |used: i64, soft, hard| {
        [soft, hard]
            .iter()
            .any(|&limit| limit != NONE && limit < used)
    };
    if passed(used.count, limits.count, limits.hard_count) {
        shell.console.out(&format!(
            "[Warning]: the count quota you create is less than the existing count:{}",
            used.count
        ));
    }
    if passed(used.bytes, limits.bytes, limits.hard_bytes) {
        shell.console.out(&format!(
            "[Warning]: the bytes quota you create is less than the existing bytes:{}",
            used.bytes
        ));
    }
    Ok(())
}

pub(super) async fn list(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = parsed.arg(0).ok_or(Failure::Usage)?;
    let limits = format!("{}{path}/{LIMITS}", path::QUOTA);
    shell.console.err(&format!("absolute path is {limits}"));
    paths::check(&limits)?;
    let client = shell.client_for(path).await?;
    let Some(text) = data(&client, &limits).await? else {
        shell
            .console
            .err(&format!("quota for {path} does not exist."));
        return Ok(());
    };
    shell
        .console
        .out(&format!("Output quota for {path} {text}"));
    let usage = format!("{}{path}/{USAGE}", path::QUOTA);
    if let Some(text) = data(&client, &usage).await? {
        shell.console.out(&format!("Output stat for {path} {text}"));
    }
    Ok(())
}

pub(super) async fn delete(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = parsed.arg(0).ok_or(Failure::Usage)?;
    let quota = format!("{}{path}", path::QUOTA);
    let limits = format!("{quota}/{LIMITS}");
    paths::check(&limits)?;
    let client = shell.client_for(path).await?;
    let Some(text) = data(&client, &limits).await? else {
        shell
            .console
            .out(&format!("Quota does not exist for {path}"));
        return Ok(());
    };
    let mut track = Track::parse(&text);
    let chosen: Vec<_> = OPTIONS
        .into_iter()
        .filter(|option| parsed.has(option))
        .collect();
    if chosen.is_empty() {
        return delete_whole(&client, &quota).await;
    }
    for option in chosen {
        if let Some(limit) = track.limit(option) {
            *limit = NONE;
        }
    }
    client
        .set_data(&limits, Some(track.to_string().into()), -1)
        .await
        .map_err(Failure::about(&limits))?;
    Ok(())
}

/// Deletes the quota and the path above it as far as nothing else needs it.
async fn delete_whole(client: &Client, quota: &str) -> Outcome {
    for name in children(client, quota).await? {
        if name == LIMITS || name == USAGE {
            let child = path::child(quota, &name);
            client
                .delete(&child, -1)
                .await
                .map_err(Failure::about(&child))?;
        }
    }
    let mut empty = quota;
    while empty != path::QUOTA && children(client, empty).await?.is_empty() {
        client
            .delete(empty, -1)
            .await
            .map_err(Failure::about(empty))?;
        empty = path::parent(empty);
    }
    Ok(())
}

/// The text of a znode, if it is there.
async fn data(client: &Client, path: &str) -> Result<Option<String>, Failure> {
    match client.data(path, false).await {
        Ok(node) => {
            let bytes = node.data.unwrap_or_default();
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Err(Error::Server(ErrorCode::NoNode)) => Ok(None),
        Err(error) => Err(Failure::about(path)(error)),
    }
}

/// The children of a znode; none if it is not there.
async fn children(client: &Client, path: &str) -> Result<Vec<String>, Failure> {
    match client.children(path, false).await {
        Ok(listing) => Ok(listing.children),
        Err(Error::Server(ErrorCode::NoNode)) => Ok(Vec::new()),
        Err(error) => Err(Failure::about(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_in_their_old_and_new_forms_and_written_in_the_new() {
        let new = "count=5,bytes=-1=;byteHardLimit=200;countHardLimit=6";
        let track = Track::parse(new);
        assert_eq!(
            track,
            Track {
                count: 5,
                bytes: -1,
                hard_bytes: 200,
                hard_count: 6
            }
        );
        assert_eq!(track.to_string(), new);
        assert_eq!(
            Track::parse("count=2,bytes=3"),
            Track {
                count: 2,
                bytes: 3,
                ..Track::UNLIMITED
            }
        );
        assert_eq!(Track::parse("nonsense"), Track::UNLIMITED);
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        for (option, text, good) in [
            ("n", "1", true),
            ("n", "0", false),
            ("N", "-1", false),
            ("b", "0", true),
            ("B", "-1", false),
            ("B", "x", false),
        ] {
            assert_eq!(limit(option, text).is_ok(), good, "-{option} {text}");
        }
    }
}
