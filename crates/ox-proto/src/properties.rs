//! The syntax of configuration texts: `java.util.Properties.load` (operations.md 1.1).
//!
//! Invariant: every entry keeps the number of the line it starts on, so that a complaint can name
//! it. Any bytes are accepted; only a malformed `\uXXXX` is an error.

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_while, take_while_m_n};
use nom::character::complete::{char, none_of, one_of};
use nom::combinator::{map, map_opt, opt, value};
use nom::multi::fold_many0;
use nom::sequence::preceded;
use nom::{IResult, Parser};

/// One `key=value` of a file, escapes resolved, both sides trimmed as ZooKeeper trims them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The line it starts on, from 1.
    pub line: usize,
    /// Empty if the line begins with its separator.
    pub key: String,
    /// Empty if nothing follows the key.
    pub value: String,
}

/// A file's entries in order of appearance, duplicates included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Later ones win over earlier ones of the same key; that is the caller's to do.
    pub entries: Vec<Entry>,
    /// Lines with a `\u` that four hex digits do not follow; Java refuses the whole file.
    pub malformed: Vec<usize>,
    /// First line with a character outside ASCII, when the file is UTF-8. Java reads Latin-1.
    pub utf8_line: Option<usize>,
}

/// Reads a whole file. Bytes that are not UTF-8 are read as ISO-8859-1, as Java reads all of them.
pub fn parse(bytes: &[u8]) -> Properties {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let utf8_line = text.lines().position(|line| !line.is_ascii());
            Properties {
                utf8_line: utf8_line.map(|index| index + 1),
                ..parse_text(text)
            }
        }
        Err(_) => parse_text(
            &bytes
                .iter()
                .map(|&byte| char::from(byte))
                .collect::<String>(),
        ),
    }
}

/// Reads a text.
pub fn parse_text(text: &str) -> Properties {
    let mut properties = Properties::default();
    for (line, logical) in logical_lines(text) {
        match entry(&logical) {
            Ok((_, (key, value))) => {
                let (key, value) = (java_trim(&key).to_owned(), java_trim(&value).to_owned());
                properties.entries.push(Entry { line, key, value });
            }
            Err(_) => properties.malformed.push(line),
        }
    }
    properties
}

/// A file without the entries of some keys. Comments stay, and so does the order; each line ends in
/// a newline.
pub fn without(bytes: &[u8], is_removed: impl Fn(&str) -> bool) -> Vec<u8> {
    // Whatever stands in it goes out as it came in.
    let text = std::str::from_utf8(bytes).map(str::to_owned);
    let is_utf8 = text.is_ok();
    let text = text.unwrap_or_else(|_| bytes.iter().map(|&byte| char::from(byte)).collect());
    let entries = parse_text(&text).entries;
    let removed = entries.iter().filter(|entry| is_removed(&entry.key));
    let mut removed = removed.map(|entry| entry.line).peekable();
    let mut kept = String::new();
    let mut goes_on = false;
    for (index, natural) in natural_lines(&text).enumerate() {
        let begins = removed.next_if_eq(&(index + 1)).is_some();
        let backslashes = natural.len() - natural.trim_end_matches('\\').len();
        if begins || goes_on {
            goes_on = backslashes % 2 == 1;
        } else {
            kept.push_str(natural);
            kept.push('\n');
        }
    }
    match is_utf8 {
        true => kept.into_bytes(),
        false => kept.chars().filter_map(|c| u8::try_from(c).ok()).collect(),
    }
}

/// `String.trim` of Java: everything up to and including the blank goes, Unicode blanks stay.
fn java_trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// Natural lines joined over trailing odd backslashes; comments and blank lines are gone.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut joined: Option<(usize, String)> = None;
    for (index, natural) in natural_lines(text).enumerate() {
        let natural = natural.trim_start_matches(is_blank);
        let nothing_yet = joined.as_ref().is_none_or(|(_, text)| text.is_empty());
        if nothing_yet && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            joined = None;
            continue;
        }
        let (start, mut text) = joined.take().unwrap_or((index + 1, String::new()));
        let backslashes = natural.len() - natural.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            text.push_str(&natural[..natural.len() - 1]);
            joined = Some((start, text));
        } else {
            text.push_str(natural);
            lines.push((start, text));
        }
    }
    lines.extend(joined.filter(|(_, text)| !text.is_empty()));
    lines
}

fn natural_lines(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = text.find(['\r', '\n']).unwrap_or(text.len());
        let line = &text[..end];
        text = &text[end..];
        text = text
            .strip_prefix("\r\n")
            .or_else(|| text.get(1..))
            .unwrap_or("");
        Some(line)
    })
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// `key`, a separator (blanks, at most one of `=` and `:`, blanks), `value`.
fn entry(input: &str) -> IResult<&str, (String, String)> {
    let separator = (
        take_while(is_blank),
        opt(one_of("=:")),
        take_while(is_blank),
    );
    map(
        (text_without("=: \t\x0c"), separator, text_without("")),
        |(key, _, value)| (key, value),
    )
    .parse(input)
}

/// Text with its escapes resolved, up to the first unescaped character of `end`.
fn text_without(end: &'static str) -> impl FnMut(&str) -> IResult<&str, String> {
    move |input| {
        let stop = format!("{end}\\");
        // UTF-16, so that a surrogate pair written as two escapes becomes one character.
        let (rest, units) = fold_many0(
            alt((
                preceded(char('\\'), escape).map(Piece::Unit),
                map(is_not(stop.as_str()), Piece::Plain),
            )),
            Vec::new,
            |mut units: Vec<u16>, piece| {
                match piece {
                    Piece::Unit(Escape::Code(unit)) => units.push(unit),
                    Piece::Unit(Escape::Literal(c)) => {
                        units.extend(c.encode_utf16(&mut [0; 2]).iter())
                    }
                    Piece::Plain(text) => units.extend(text.encode_utf16()),
                }
                units
            },
        )
        .parse(input)?;
        if rest.starts_with('\\') {
            // An escape that does not parse: the only error this grammar knows.
            return Err(nom::Err::Failure(nom::error::Error::new(
                rest,
                nom::error::ErrorKind::Escaped,
            )));
        }
        Ok((rest, String::from_utf16_lossy(&units)))
    }
}

enum Piece<'a> {
    Unit(Escape),
    Plain(&'a str),
}

#[derive(Clone)]
enum Escape {
    Code(u16),
    Literal(char),
}

/// What follows a backslash. One before any other character stands for that character.
fn escape(input: &str) -> IResult<&str, Escape> {
    let hex = take_while_m_n(4, 4, |c: char| c.is_ascii_hexdigit());
    alt((
        map_opt(preceded(tag("u"), hex), |digits| {
            u16::from_str_radix(digits, 16).ok().map(Escape::Code)
        }),
        value(Escape::Literal('\t'), char('t')),
        value(Escape::Literal('\n'), char('n')),
        value(Escape::Literal('\r'), char('r')),
        value(Escape::Literal('\x0c'), char('f')),
        map(none_of("u"), Escape::Literal),
    ))
    .parse(input)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(usize, &str, &str)]) {
        let entries = parse(text.as_bytes()).entries;
        let found: Vec<_> = entries
            .iter()
            .map(|e| (e.line, e.key.as_str(), e.value.as_str()))
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn entries_are_taken_out_and_all_else_stays() {
        let text = "# server.1 is here\nserver.1=a\\\n  b\n\nserver.2 c\r\ntickTime=2\\\n00\nx=é";
        let removed = |key: &str| key.starts_with("server.");
        assert_eq!(
            String::from_utf8(without(text.as_bytes(), removed)).unwrap(),
            "# server.1 is here\n\ntickTime=2\\\n00\nx=é\n"
        );
        assert_eq!(without(b"a=\xe9\nserver.1=b", removed), b"a=\xe9\n");
    }

    #[test]
    fn a_separator_is_blanks_around_at_most_one_sign() {
        check(
            "a b\na=b\na:b\na : b\n a\t=\x0cb",
            &[
                (1, "a", "b"),
                (2, "a", "b"),
                (3, "a", "b"),
                (4, "a", "b"),
                (5, "a", "b"),
            ],
        );
        check("a = = b", &[(1, "a", "= b")]);
        check("server.1=h:2888:3888", &[(1, "server.1", "h:2888:3888")]);
        check("server.1:h:2888", &[(1, "server.1", "h:2888")]);
        check("clientPort", &[(1, "clientPort", "")]);
        check("=x", &[(1, "", "x")]);
    }

    #[test]
    fn comments_start_lines_and_do_not_end_them() {
        check(
            "# a=b \\\nc=d\n  ! e\n\ntickTime=2000 # x",
            &[(2, "c", "d"), (5, "tickTime", "2000 # x")],
        );
    }

    #[test]
    fn an_odd_number_of_backslashes_joins_lines() {
        check(
            "a=b\\\n   c\nd=e\\\\\nf=g",
            &[(1, "a", "bc"), (3, "d", "e\\"), (4, "f", "g")],
        );
        check("a=b\\\r\n# c", &[(1, "a", "b# c")]);
        check("a=b\\\n\nc=d", &[(1, "a", "b"), (3, "c", "d")]);
        check("\\\n# comment\na=b", &[(3, "a", "b")]);
        check("a=b\\", &[(1, "a", "b")]);
    }

    #[test]
    fn every_line_end_counts_one_line() {
        check(
            "a=1\rb=2\r\nc=3\nd=4",
            &[(1, "a", "1"), (2, "b", "2"), (3, "c", "3"), (4, "d", "4")],
        );
    }

    #[test]
    fn escapes_are_resolved_and_unknown_ones_lose_the_backslash() {
        check(r"p=C:\zk\data", &[(1, "p", "C:zkdata")]);
        check(r"p=C:\\zk\\data", &[(1, "p", r"C:\zk\data")]);
        check(r"a\ b\=c=d\te", &[(1, "a b=c", "d\te")]);
        check(r"k=\u00e9\ud83d\ude00", &[(1, "k", "\u{e9}\u{1f600}")]);
    }

    #[test]
    fn both_sides_are_trimmed_also_of_escaped_blanks() {
        check("a= b  \t", &[(1, "a", "b")]);
        check(r"a=\tb\ ", &[(1, "a", "b")]);
    }

    #[test]
    fn a_short_unicode_escape_is_named_by_its_line() {
        let properties = parse(b"a=1\nb=\\u12x4\nc=\\uDEAD\nd\\u1=2");
        assert_eq!(properties.malformed, [2, 4]);
        assert_eq!(properties.entries.len(), 2);
    }

    #[test]
    fn utf8_is_taken_as_such_and_reported_and_other_bytes_are_latin_1() {
        let utf8 = parse("a=1\nb=\u{e9}".as_bytes());
        assert_eq!(
            (utf8.entries[1].value.as_str(), utf8.utf8_line),
            ("\u{e9}", Some(2))
        );
        let latin = parse(b"b=\xe9");
        assert_eq!(
            (latin.entries[0].value.as_str(), latin.utf8_line),
            ("\u{e9}", None)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            parse(&bytes);
        }

        #[test]
        fn any_mix_of_special_characters_is_read_without_a_panic(text in r"[\\ =:#!\r\n\tuaf0-9\u{e9}\x0c]{0,120}") {
            parse(text.as_bytes());
        }

        #[test]
        fn what_is_written_with_every_character_escaped_is_read_back(
            key in "[!-~]{1,12}", value in "[!-~]{0,12}",
        ) {
            let escape = |text: &str| -> String {
                text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
            };
            let properties = parse(format!("{}={}", escape(&key), escape(&value)).as_bytes());
            prop_assert_eq!(properties.entries, [Entry { line: 1, key, value }]);
        }
    }
}
