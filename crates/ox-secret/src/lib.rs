//! Text that nobody may see.
//!
//! Invariant: no way of printing shows it, comparing it takes the same time whatever differs, and
//! its memory is wiped when it goes.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes charge of a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for whoever needs it to open something.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True for the text of no characters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_and_not_shown() {
        let secret = Secret::new("canary");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret, Secret::new("canary"));
        assert_ne!(secret, Secret::new("canarz"));
        assert_ne!(secret, Secret::new("canar"));
    }
}
