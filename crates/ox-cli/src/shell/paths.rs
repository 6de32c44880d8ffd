//! The check of a path before it is sent, and what the shell says of a bad one.
//!
//! Source: `org.apache.zookeeper.common.PathUtils`.

use super::Failure;

/// What is wrong with `path`, if something is. Places are counted in UTF-16 units.
pub(crate) fn check(path: &str) -> Result<(), Failure> {
    fault(path).map_or(Ok(()), |text| Err(Failure::Text(text)))
}

fn fault(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("Path length must be > 0".into());
    }
    if !path.starts_with('/') {
        return Some("Path must start with / character".into());
    }
    if path == "/" {
        return None;
    }
    if path.ends_with('/') {
        return Some("Path must not end with / character".into());
    }
    let units: Vec<u16> = path.encode_utf16().collect();
    (1..units.len()).find_map(|at| {
        unit_fault(&units, at)
            .map(|reason| format!("Invalid path string \"{path}\" caused by {reason} @{at}"))
    })
}

fn unit_fault(units: &[u16], at: usize) -> Option<&'static str> {
    const SLASH: u16 = b'/' as u16;
    const DOT: u16 = b'.' as u16;
    let ends_here = matches!(units.get(at + 1), None | Some(&SLASH));
    match units[..=at] {
        [.., 0] => Some("null character not allowed"),
        [.., SLASH, SLASH] => Some("empty node name specified"),
        [.., SLASH, DOT] | [.., SLASH, DOT, DOT] if ends_here => Some("relative paths not allowed"),
        [.., 0x01..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..] => Some("invalid character"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_paths_are_told_in_javas_words() {
        for (path, text) in [
            ("", "Path length must be > 0"),
            ("a", "Path must start with / character"),
            ("/a/", "Path must not end with / character"),
            (
                "/x//y",
                "Invalid path string \"/x//y\" caused by empty node name specified @3",
            ),
            (
                "/x/../y",
                "Invalid path string \"/x/../y\" caused by relative paths not allowed @4",
            ),
            (
                "/.",
                "Invalid path string \"/.\" caused by relative paths not allowed @1",
            ),
            (
                "/a\u{7f}",
                "Invalid path string \"/a\u{7f}\" caused by invalid character @2",
            ),
            (
                "/\u{1f600}",
                "Invalid path string \"/\u{1f600}\" caused by invalid character @1",
            ),
        ] {
            assert_eq!(fault(path).as_deref(), Some(text));
        }
    }

    #[test]
    fn good_paths_are_good() {
        for path in ["/", "/a", "/a b/..c/.d", "/ä\u{a0}"] {
            assert_eq!(fault(path), None, "{path}");
        }
    }
}
