//! An interactive line, split into words.
//!
//! Words end at white space; `"a b"` and `'a b'` are one word each, and there are no escapes. A
//! quote that is never closed counts as nothing. Source: `ZooKeeperMain.MyCommandOptions`.

/// The words of `line`.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let (word, next) = match first {
            '"' | '\'' => match after.split_once(first) {
                Some((word, next)) => (Some(word), next),
                None => (None, after),
            },
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
        };
        words.extend(word.map(str::to_owned));
        rest = next.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_white_space_and_quotes_keep_it() {
        for (line, expected) in [
            ("ls /", &["ls", "/"][..]),
            ("  ls\t /  ", &["ls", "/"]),
            (r#"create "/a b" 'c d'"#, &["create", "/a b", "c d"]),
            (r#"create /a "b 'c' d""#, &["create", "/a", "b 'c' d"]),
            (r#"get "/em"p"#, &["get", "/em", "p"]),
            (r#"get a"b c"#, &["get", "a\"b", "c"]),
            (r#"ls "/"#, &["ls", "/"]),
            (r#"ls """#, &["ls", ""]),
            ("", &[]),
            ("   ", &[]),
        ] {
            assert_eq!(words(line), expected, "{line:?}");
        }
    }
}
