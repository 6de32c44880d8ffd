//! Protocol versions and cipher suites by Java's names.

use rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion};

/// A version of TLS that is spoken here; older ones are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// `TLSv1.2`.
    Tls12,
    /// `TLSv1.3`.
    Tls13,
}

impl Protocol {
    /// The version that Java knows by this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "TLSv1.2" => Some(Self::Tls12),
            "TLSv1.3" => Some(Self::Tls13),
            _ => None,
        }
    }

    pub(crate) fn version(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls12 => &TLS12,
            Self::Tls13 => &TLS13,
        }
    }
}

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite(CipherSuite);

impl Suite {
    /// The suite that Java knows by this name, if it is one of those that are spoken here.
    pub fn from_name(name: &str) -> Option<Self> {
        ALL_CIPHER_SUITES
            .iter()
            .map(SupportedCipherSuite::suite)
            .find(|&suite| java_name(suite) == name)
            .map(Self)
    }

    /// The names of all suites that are spoken here, with commas between them.
    pub fn names() -> String {
        let suites = ALL_CIPHER_SUITES.iter().map(SupportedCipherSuite::suite);
        suites.map(java_name).collect::<Vec<_>>().join(", ")
    }

    /// Whether it is one of that version.
    pub fn is_of(self, protocol: Protocol) -> bool {
        self.supported().version() == protocol.version()
    }

    pub(crate) fn supported(self) -> SupportedCipherSuite {
        let mut all = ALL_CIPHER_SUITES.iter();
        let found = all.find(|suite| suite.suite() == self.0);
        *found.expect("it came from this list")
    }
}

/// `TLS_AES_128_GCM_SHA256`, `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`.
fn java_name(suite: CipherSuite) -> String {
    let name = suite.as_str().unwrap_or_default();
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_javas_names() {
        for (name, protocol) in [
            ("TLS_AES_256_GCM_SHA384", Protocol::Tls13),
            ("TLS_CHACHA20_POLY1305_SHA256", Protocol::Tls13),
            ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Protocol::Tls12),
            (
                "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                Protocol::Tls12,
            ),
        ] {
            let suite = Suite::from_name(name).unwrap_or_else(|| panic!("{name}"));
            assert!(suite.is_of(protocol), "{name}");
            assert!(Suite::names().contains(name));
        }
        for name in [
            "TLS13_AES_256_GCM_SHA384",
            "TLS_RSA_WITH_AES_128_CBC_SHA",
            "",
        ] {
            assert_eq!(Suite::from_name(name), None, "{name}");
        }
    }
}
