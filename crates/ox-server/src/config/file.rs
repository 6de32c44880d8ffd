//! The settings of one file: `zoo.cfg`, or the dynamic file it names.
//!
//! Source: `QuorumPeerConfig.parse`; operations.md 1.1 and 1.2.

use std::collections::BTreeMap;
use std::path::Path;

use ox_proto::properties;

use super::problem::Origin;
use super::reader::{Reader, Setting};

/// Reads the file at `path`, which `key` at `origin` has named. The last line of a key counts.
///
/// `None` if it cannot be read, which is a problem then. Malformed lines are problems too, repeated
/// keys are warned of.
pub(super) fn read(
    reader: &mut Reader,
    path: &Path,
    origin: Origin,
    key: &str,
) -> Option<BTreeMap<String, Setting>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let reason = format!("Error processing {}: {error}", path.display());
            reader.problem(origin, key, reason, "a file that can be read");
            return None;
        }
    };
    let parsed = properties::parse(&bytes);
    let at = |line| Origin::Line(path.to_owned(), line);
    let mut settings: BTreeMap<String, Setting> = BTreeMap::new();
    for properties::Entry { line, key, value } in parsed.entries {
        let origin = at(line);
        let setting = Setting { value, origin };
        if let Some(earlier) = settings.insert(key.clone(), setting) {
            let text = format!("given before in {}, this one counts", earlier.origin);
            reader.warn(at(line), &key, text);
        }
    }
    for line in parsed.malformed {
        let reason = "Malformed \\uxxxx encoding.";
        reader.problem(at(line), "", reason, "four hex digits after \\u");
    }
    if let Some(line) = parsed.utf8_line {
        let text = "read as UTF-8; Java reads ISO-8859-1, write \\uXXXX for both";
        reader.warn(at(line), "", text);
    }
    Some(settings)
}
