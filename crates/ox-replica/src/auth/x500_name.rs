//! Whether a text is the name of a certificate's subject, as acls of the scheme x509 hold it.
//!
//! Only whether: what an acl says is compared character by character. Source:
//! `javax.security.auth.x500.X500Principal`, `sun.security.x509.AVA`, which read more than they
//! write.

/// What Java knows by name, in any case. Everything else needs numbers.
const KEYWORDS: &[&str] = &[
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];

/// True for `CN=zk1,OU=servers`, and for nothing at all.
pub(super) fn is_name(text: &str) -> bool {
    text.is_empty() || attributes(text).is_some_and(|all| all.into_iter().all(is_attribute))
}

/// Parts between separators that are neither quoted nor behind a backslash.
fn attributes(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' | ';' | '+' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!quoted && !escaped).then_some(parts)
}

fn is_attribute(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(key, value)| is_key(key.trim()) && is_value(value.trim_start()))
}

fn is_key(key: &str) -> bool {
    let numbers = match key.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("OID.") => &key[4..],
        _ => key,
    };
    KEYWORDS.iter().any(|known| known.eq_ignore_ascii_case(key)) || is_oid(numbers)
}

/// At least two numbers; the first is 0, 1 or 2, and below 2 the second is less than 40.
fn is_oid(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<_> = text.split('.').collect();
    let [first, second, ..] = parts[..] else {
        return false;
    };
    let first_fits = match first {
        "0" | "1" => second.parse().is_ok_and(|number: u8| number < 40),
        "2" => true,
        _ => false,
    };
    first_fits && parts.iter().all(|part| is_number(part))
}

fn is_value(value: &str) -> bool {
    if let Some(digits) = value.strip_prefix('#') {
        return is_der(digits.trim_end());
    }
    match value.strip_prefix('"') {
        Some(quoted) => {
            let end = end_of_quotes(quoted);
            end.is_some_and(|end| {
                is_escaped_well(&quoted[..end], "") && quoted[end + 1..].trim().is_empty()
            })
        }
        None => is_escaped_well(value, "<>\""),
    }
}

fn end_of_quotes(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.char_indices().find_map(|(at, c)| match c {
        _ if escaped => {
            escaped = false;
            None
        }
        '\\' => {
            escaped = true;
            None
        }
        '"' => Some(at),
        _ => None,
    })
}

/// Behind a backslash stands a special character or two hexadecimal digits; what is `forbidden`
/// stands nowhere else.
fn is_escaped_well(value: &str, forbidden: &str) -> bool {
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            if forbidden.contains(c) {
                return false;
            }
            continue;
        }
        match characters.next() {
            Some(c) if ",=\n+<>#;\\\" ".contains(c) => {}
            Some(c) if c.is_ascii_hexdigit() => {
                if !characters.next().is_some_and(|c| c.is_ascii_hexdigit()) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

/// Digits of one whole element: type, length, and so many bytes.
fn is_der(digits: &str) -> bool {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes = digits.len() / 2;
    let byte = |at: usize| usize::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok();
    is_hex
        && digits.len().is_multiple_of(2)
        && 2 <= bytes
        && match byte(1) {
            Some(length) if length < 0x80 => length + 2 == bytes,
            Some(0x81) if 3 <= bytes => byte(2).is_some_and(|length| length + 3 == bytes),
            Some(0x82) if 4 <= bytes => {
                let length = byte(2).zip(byte(3)).map(|(high, low)| high << 8 | low);
                length.is_some_and(|length| length + 4 == bytes)
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What JDK 17 says of each.
    const JAVA: &[(&str, bool)] = &[
        ("", true),
        ("CN=a", true),
        ("cn=a", true),
        ("CN=a,", false),
        ("CN=a,,O=b", false),
        (",CN=a", false),
        ("CN", false),
        ("=a", false),
        ("CN=", true),
        ("CN=,O=b", true),
        ("CN=a,O=b", true),
        ("CN=a;O=b", true),
        ("CN=a+OU=b", true),
        ("CN=a, O=b", true),
        ("CN = a , O = b", true),
        ("X=a", false),
        ("1.2.3=a", true),
        ("OID.1.2.3=a", true),
        ("oid.1.2.3=#0c0161", true),
        ("1.2.3=#0c0161", true),
        ("1.2.3=#0c016", false),
        ("1.2.3=#", false),
        ("1.2.3=#zz", false),
        ("CN=\"a,b\"", true),
        ("CN=\"a", false),
        ("CN=\"a\"b", false),
        ("CN=\"a\" ,O=b", true),
        ("CN=a\"b", false),
        ("CN=a\\", false),
        ("CN=a\\,b", true),
        ("CN=a\\2Cb", true),
        ("CN=a\\zb", false),
        ("CN=a<b", false),
        ("CN=a>b", false),
        ("CN=a#b", true),
        ("CN=a=b", true),
        ("CN=#a", false),
        ("CN=#", false),
        ("EMAILADDRESS=a@b", true),
        ("E=a", false),
        ("EMAIL=a", true),
        ("T=x", true),
        ("TITLE=x", false),
        ("IP=1", true),
        ("S=x", true),
        ("SN=x", false),
        ("SURNAME=x", true),
        ("DNQ=x", true),
        ("UID=x", true),
        ("SERIALNUMBER=1", true),
        ("GIVENNAME=a", true),
        ("user:password", false),
        ("   ", false),
        (" CN=a", true),
        ("CN=a ", true),
        ("CN=ä", true),
        ("CN=a\\ ", true),
        ("CN=\\ a", true),
        ("CN=a+", false),
        ("+CN=a", false),
        ("CN=a+,O=b", false),
        ("1.2=a", true),
        ("1=a", false),
        ("3.1=a", false),
        ("1.2.3.=a", false),
        (".1.2=a", false),
        ("1..2=a", false),
        ("CN=a\nb", true),
        ("CN=a\\\nb", true),
        ("C N=a", false),
        ("CN =a", true),
        ("CN=\"a\\\"b\"", true),
        ("CN=\"a\\b\"", false),
        ("CN=\"\"", true),
        ("STREET=a", true),
        ("DC=a", true),
        ("L=a", true),
        ("GENERATION=a", true),
        ("INITIALS=a", true),
        ("DNQUALIFIER=a", true),
        ("C=Germany", true),
        ("CN=a\0b", true),
        ("1.40=a", false),
        ("2.999=a", true),
        ("CN=a,O=b;OU=c", true),
        ("CN=\"a\\,b\"", true),
        (" ,", false),
        ("CN=a , ", false),
        ("CN=\\#a", true),
    ];

    #[test]
    fn names_are_those_that_java_reads() {
        for (text, expected) in JAVA {
            assert_eq!(is_name(text), *expected, "{text:?}");
        }
    }
}
