//! Paths of znodes: what may be one, and its parts.
//!
//! The root is `/` here and everywhere inside the server; some of Java's files and requests call
//! it the empty string. Source: `org.apache.zookeeper.common.PathUtils`; client-protocol.md 4.4.

/// The root.
pub const ROOT: &str = "/";
/// Holds what the server keeps about itself.
pub const ZOOKEEPER: &str = "/zookeeper";
/// Limits and usage by path.
pub const QUOTA: &str = "/zookeeper/quota";
/// The members of the ensemble.
pub const CONFIG: &str = "/zookeeper/config";

/// True for the four znodes that nobody can delete.
pub fn is_reserved(path: &str) -> bool {
    matches!(path, ROOT | ZOOKEEPER | QUOTA | CONFIG)
}

/// The first of the two checks: what create and delete look at before the parent.
pub fn passes_quick_check(path: &str) -> bool {
    path.contains('/') && !path.contains('\0')
}

/// The whole check: the names that a znode may have.
pub fn is_valid(path: &str) -> bool {
    let Some(names) = path.strip_prefix('/') else {
        return false;
    };
    names.is_empty() || names.split('/').all(is_valid_name)
}

fn is_valid_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.chars().all(is_valid_char)
}

fn is_valid_char(c: char) -> bool {
    !matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// The path above: everything before the last `/`, or the root. The root is its own parent.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => ROOT,
        Some(end) => &path[..end],
    }
}

/// The last element; empty for the root.
pub fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The path of the child `name` of `parent`.
pub fn child(parent: &str, name: &str) -> String {
    match parent {
        ROOT | "" => format!("/{name}"),
        _ => format!("{parent}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn these_are_paths() {
        for path in [
            "/",
            "/a",
            "/a b",
            "/a..b",
            "/.a",
            "/\u{a0}",
            "/\u{f900}",
            "/\u{ffef}",
            "/a/b",
        ] {
            assert!(is_valid(path), "{path:?}");
        }
    }

    #[test]
    fn these_are_not() {
        for path in [
            "",
            "a",
            "a/b",
            "/a/",
            "//",
            "/a//b",
            "/.",
            "/a/..",
            "/\u{0}",
            "/\u{1f}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{ffff}",
            "/\u{1f600}",
        ] {
            assert!(!is_valid(path), "{path:?}");
        }
    }

    #[test]
    fn a_path_is_its_parent_and_its_name() {
        for (path, above, last) in [
            ("/", "/", ""),
            ("/a", "/", "a"),
            ("/a/b", "/a", "b"),
            ("/a/", "/a", ""),
            ("", "/", ""),
        ] {
            assert_eq!((parent(path), name(path)), (above, last), "{path:?}");
        }
        assert_eq!(child("/", "a"), "/a");
        assert_eq!(child("/a", "b"), "/a/b");
    }
}
