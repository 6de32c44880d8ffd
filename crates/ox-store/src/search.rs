//! Whether the log on disk can bring a learner up to what the leader has in memory.
//!
//! Source: `ZKDatabase.getProposalsFromTxnLog`; quorum.md 6.4.

use ox_proto::Zxid;
use ox_txnlog::{DataDirs, LogCursor, SnapshotError, newest_snapshot_size};
use ox_zab::LogSearch;

use crate::settings::StoreSettings;

/// Looks for `zxid`, and for all behind it up to `to`.
pub fn search(dirs: &DataDirs, settings: &StoreSettings, zxid: Zxid, to: Zxid) -> LogSearch {
    let found = look(dirs, settings, zxid, to).inspect_err(|error| {
        tracing::warn!("cannot read the log for a learner, which gets a snapshot: {error}");
    });
    found.ok().flatten().unwrap_or(LogSearch::Unusable)
}

fn look(
    dirs: &DataDirs,
    settings: &StoreSettings,
    zxid: Zxid,
    to: Zxid,
) -> Result<Option<LogSearch>, SnapshotError> {
    let member = settings.member.as_ref();
    let Some(factor) = member.and_then(|member| member.snapshot_size_factor) else {
        return Ok(None);
    };
    let Some(mut cursor) = LogCursor::open(dirs, zxid, settings.max_record)? else {
        return Ok(None);
    };
    if !is_worth_it(
        cursor.remaining_bytes()?,
        newest_snapshot_size(dirs)?,
        factor,
    ) {
        return Ok(None);
    }
    let Some((before, _)) = cursor.next_record()? else {
        return Ok(None);
    };
    let Some((behind, _)) = cursor.next_record()? else {
        return Ok(None);
    };
    // What is sent begins here and must reach what is in memory.
    let mut last = behind;
    while last < to {
        match cursor.next_record()? {
            Some((next, _)) => last = next,
            None => return Ok(None),
        }
    }
    Ok(Some(match before == zxid {
        true => LogSearch::Found,
        false => LogSearch::Between { before, behind },
    }))
}

/// Whether so many bytes of log are better than a snapshot. Without a size to compare with they
/// are.
fn is_worth_it(bytes: u64, snapshot: Option<u64>, factor: f64) -> bool {
    #[expect(
        clippy::cast_precision_loss,
        reason = "sizes of files are compared by a rough factor"
    )]
    let limit = snapshot.unwrap_or(0) as f64 * factor;
    #[expect(
        clippy::cast_precision_loss,
        reason = "sizes of files are compared by a rough factor"
    )]
    let bytes = bytes as f64;
    limit == 0.0 || bytes <= limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_used_up_to_a_part_of_the_size_of_a_snapshot() {
        assert!(is_worth_it(33, Some(100), 0.33));
        assert!(!is_worth_it(34, Some(100), 0.33));
        assert!(is_worth_it(34, None, 0.33));
        assert!(is_worth_it(1 << 40, Some(100), 0.0));
    }
}
