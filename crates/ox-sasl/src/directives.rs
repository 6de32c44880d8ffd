//! Lists of `key=value`, as challenges and responses are written.
//!
//! Source: `DigestMD5Base.parseDirectives`, which takes more than RFC 2831 has: blanks around `=`
//! and instead of commas, empty elements, a key at the end without a value.

use crate::Refusal;

/// The longest response that is looked at, in bytes, as RFC 2831 has it.
pub const MAX_RESPONSE: usize = 4096;

/// The same of a challenge.
pub(crate) const MAX_CHALLENGE: usize = 2048;

/// What is wrong with a list. Values are not shown: a password may have come into one by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveError {
    /// `key,`
    #[error("a key without a value")]
    CommaInKey,
    /// `=value`
    #[error("a value without a key")]
    EmptyKey,
    /// `key=` at the end.
    #[error("a key without a value at the end")]
    NoValue,
    /// `key other`
    #[error("no = behind a key")]
    NoEquals,
    /// `key="val`
    #[error("quotes that do not end")]
    OpenQuote,
    /// `key="value"more`
    #[error("neither comma nor blank behind quotes")]
    NoSeparator,
}

/// The directives of one token, in their order.
pub(crate) struct Directives(Vec<Directive>);

/// Key and value.
type Directive = (Vec<u8>, Vec<u8>);

impl Directives {
    /// Reads a token in which none of `once` comes twice. No longer than `limit`.
    pub(crate) fn parse(
        token: &[u8],
        limit: usize,
        once: &[&'static str],
    ) -> Result<Self, Refusal> {
        if limit < token.len() {
            let length = token.len();
            return Err(Refusal::TooLong { length, limit });
        }
        let found = Self(Cursor { rest: token }.list()?);
        for &key in once {
            if 1 < found.all(key).count() {
                return Err(Refusal::Twice(key));
            }
        }
        Ok(found)
    }

    /// The values of a key, which is known in any case.
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(key.as_bytes()))
            .map(|(_, value)| &value[..])
    }

    /// The value of a key, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.all(key).next()
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&self, key: &'static str) -> Result<&[u8], Refusal> {
        self.get(key).ok_or(Refusal::Missing(key))
    }
}

/// Text as Java reads it.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A value within quotes.
pub(crate) fn quoted(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in value {
        let is_blank = matches!(byte, b'\t' | b'\n' | b'\r');
        if matches!(byte, b'"' | b'\\' | 127) || (byte < 32 && !is_blank) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn list(mut self) -> Result<Vec<Directive>, DirectiveError> {
        let mut list = Vec::new();
        loop {
            self.skip_blanks();
            match self.rest {
                [] => return Ok(list),
                [b',', ..] => {
                    self.next();
                    continue;
                }
                _ => {}
            }
            let Some(key) = self.key()? else {
                return Ok(list);
            };
            // Java takes a key at the very end for one with an empty value.
            if self.rest.is_empty() {
                list.push((key, Vec::new()));
                return Ok(list);
            }
            self.next();
            self.skip_blanks();
            let value = match self.rest {
                [] => return Err(DirectiveError::NoValue),
                [b'"', ..] => self.quoted()?,
                _ => self.bare(),
            };
            list.push((key, value));
            // The separator.
            self.next();
        }
    }

    /// Up to the `=`, or to the end.
    fn key(&mut self) -> Result<Option<Vec<u8>>, DirectiveError> {
        let mut key = Vec::new();
        loop {
            match self.rest {
                [b'=', ..] if key.is_empty() => return Err(DirectiveError::EmptyKey),
                [] | [b'=', ..] => return Ok(Some(key).filter(|key| !key.is_empty())),
                [b',', ..] => return Err(DirectiveError::CommaInKey),
                [blank, ..] if is_blank(*blank) => {
                    self.skip_blanks();
                    match self.rest {
                        [b'=', ..] => {}
                        _ => return Err(DirectiveError::NoEquals),
                    }
                }
                _ => key.extend(self.next()),
            }
        }
    }

    fn quoted(&mut self) -> Result<Vec<u8>, DirectiveError> {
        self.next();
        let mut value = Vec::new();
        loop {
            match self.next().ok_or(DirectiveError::OpenQuote)? {
                b'\\' => value.push(self.next().ok_or(DirectiveError::OpenQuote)?),
                b'"' => break,
                byte => value.push(byte),
            }
        }
        match self.rest {
            [] | [b',', ..] => Ok(value),
            [blank, ..] if is_blank(*blank) => Ok(value),
            _ => Err(DirectiveError::NoSeparator),
        }
    }

    fn bare(&mut self) -> Vec<u8> {
        let mut value = Vec::new();
        while let [byte, ..] = self.rest
            && *byte != b','
            && !is_blank(*byte)
        {
            value.extend(self.next());
        }
        value
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip_blanks(&mut self) {
        while let [blank, rest @ ..] = self.rest
            && is_blank(*blank)
        {
            self.rest = rest;
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
