//! How ZooKeeper reads a value's text (operations.md 1.1): Java's own number and boolean parsers.

use std::time::Duration;

/// `Integer.parseInt`: a sign and decimal digits, 32 bits, nothing else.
pub(super) fn int(text: &str) -> Option<i32> {
    text.parse().ok()
}

/// `Integer.decode` and `Long.decode`: a sign, then `0x`, `0X`, `#` (hex), a leading `0` (octal) or
/// decimal digits.
pub(super) fn decode(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let hex = ["0x", "0X", "#"]
        .iter()
        .find_map(|prefix| digits.strip_prefix(prefix));
    let (radix, digits) = match (hex, digits.strip_prefix('0')) {
        (Some(digits), _) => (16, digits),
        (None, Some(octal)) if !octal.is_empty() => (8, octal),
        (None, _) => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// The parser's own boolean: `true` or `false` in any case, everything else is an error.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A time in milliseconds; a negative one is none.
pub(super) fn millis(ms: impl Into<i64>) -> Duration {
    Duration::from_millis(u64::try_from(ms.into()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_int_is_a_sign_and_decimal_digits() {
        for (text, expected) in [
            ("2181", Some(2181)),
            ("+7", Some(7)),
            ("-1", Some(-1)),
            ("007", Some(7)),
            ("0x10", None),
            ("1 ", None),
            ("", None),
            ("2147483648", None),
        ] {
            assert_eq!(int(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_property_number_may_be_hex_or_octal() {
        for (text, expected) in [
            ("100", Some(100)),
            ("0x10", Some(16)),
            ("-0X10", Some(-16)),
            ("#ff", Some(255)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("08", None),
            ("0x", None),
            ("--1", None),
            ("0x-1", None),
            ("", None),
            ("10m", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
        ] {
            assert_eq!(decode(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_boolean_is_one_of_two_words_in_any_case() {
        assert_eq!(boolean("TRUE"), Some(true));
        assert_eq!(boolean("False"), Some(false));
        assert_eq!(boolean("yes"), None);
    }
}
