//! Java's strings: UTF-8 that forgives when it is read, and surrogates one by one when written.
//!
//! Invariant: reading never fails and never yields more than three times the bytes it was given.
//! Source: client-protocol.md 1.2 (`BinaryInputArchive.readString`, `BinaryOutputArchive.stringToByteBuffer`).

/// Reads bytes as Java does: malformed sequences become U+FFFD.
pub fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => lossy(bytes),
    }
}

/// As `String::from_utf8_lossy`, but a surrogate in three bytes is one U+FFFD, not three, and so are
/// the first two of its bytes alone.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                break;
            }
            Err(error) => {
                let (valid, damaged) = rest.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                text.push(char::REPLACEMENT_CHARACTER);
                let skip = match damaged {
                    [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
                    [0xed, 0xa0..=0xbf, ..] => 2,
                    _ => error.error_len().unwrap_or(damaged.len()),
                };
                rest = &damaged[skip..];
            }
        }
    }
    text
}

/// Length of `text` as Java writes it.
pub(crate) fn encoded_len(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars()
        .map(|c| if c.len_utf8() == 4 { 6 } else { c.len_utf8() })
        .sum()
}

/// Writes `text` as Java does: a character above U+FFFF as two surrogates of three bytes each.
pub(crate) fn encode(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for c in text.chars() {
        let mut units = [0_u16; 2];
        match c.encode_utf16(&mut units) {
            [high, low] => {
                for unit in [*high, *low] {
                    let [top, bottom] = unit.to_be_bytes();
                    out.push(0xe0 | (top >> 4));
                    out.push(0x80 | ((top & 0x0f) << 2) | (bottom >> 6));
                    out.push(0x80 | (bottom & 0x3f));
                }
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], text: &str) {
        assert_eq!(decode(bytes), text);
    }

    #[test]
    fn damage_becomes_replacement_characters_as_in_java() {
        check(b"/\xff\xfe", "/\u{fffd}\u{fffd}");
        check(b"\xed\xa0\xbd\xed\xb8\x80", "\u{fffd}\u{fffd}");
        check(b"a\xe2\x82", "a\u{fffd}");
        check(b"\xed\xa0", "\u{fffd}");
        check(b"\xed\xa0:\xed", "\u{fffd}:\u{fffd}");
        check(b"\xf0\x9f\x98\x80", "\u{1f600}");
    }

    #[test]
    fn supplementary_characters_leave_as_two_surrogates() {
        let mut out = Vec::new();
        encode("/\u{1f600}\u{e9}", &mut out);
        assert_eq!(out, b"/\xed\xa0\xbd\xed\xb8\x80\xc3\xa9");
        assert_eq!(encoded_len("/\u{1f600}\u{e9}"), out.len());
    }
}
