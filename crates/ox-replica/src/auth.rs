//! Who a connection is: the schemes and the identities that they give.
//!
//! Source: `DigestAuthenticationProvider.java`, `IPAuthenticationProvider.java`,
//! `X509AuthenticationProvider.java`, `SASLAuthenticationProvider.java`;
//! client-protocol.md 9.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ox_jute::decode_text;
use ox_proto::{Acl, ClientInfo, Id};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};
use subtle::ConstantTimeEq as _;

mod x500_name;

/// The scheme whose holder passes every check.
const SUPER: &str = "super";
const DIGEST: &str = "digest";
const IP: &str = "ip";
const SASL: &str = "sasl";
const X509: &str = "x509";

/// How identities are made and what they are worth.
#[derive(Clone, Default)]
pub struct AuthSettings {
    /// The hash of the digest scheme; `None` where the scheme is switched off.
    pub digest: Option<DigestAlgorithm>,
    /// `user:hash` of the digest identity that is also super.
    pub super_digest: Option<String>,
    /// Every check passes (`zookeeper.skipACL`).
    pub skip_acl: bool,
    /// A connection needs an identity of one of these schemes; empty asks for nothing
    /// (`zookeeper.enforce.auth.schemes`).
    pub required_schemes: Vec<String>,
    /// The scheme sasl is there. Without it a connection may have its identities, and they are good
    /// for nothing.
    pub sasl: bool,
    /// The sasl identities that are also super (`superUser`, `superUser.*`).
    pub sasl_super_users: Vec<String>,
    /// The scheme x509 is there: its identities are the subjects of clients' certificates.
    pub x509: bool,
    /// The subject that is also super (`X509AuthenticationProvider.superUser`).
    pub x509_super_user: Option<String>,
}

/// Without what nobody may see.
impl std::fmt::Debug for AuthSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthSettings")
            .field("digest", &self.digest)
            .field("super_digest", &self.super_digest.as_ref().map(|_| "***"))
            .field("skip_acl", &self.skip_acl)
            .field("required_schemes", &self.required_schemes)
            .field("sasl", &self.sasl)
            .field("sasl_super_users", &self.sasl_super_users)
            .field("x509", &self.x509)
            .field("x509_super_user", &self.x509_super_user)
            .finish()
    }
}

/// Hashes for the digest scheme, by the names that Java's security providers have for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the hashes say it")]
pub enum DigestAlgorithm {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
}

impl DigestAlgorithm {
    /// The names that [`from_name`](Self::from_name) knows.
    pub const NAMES: &'static str = "SHA1, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512, SHA3-224, \
                                     SHA3-256, SHA3-384, SHA3-512";

    /// The hash that Java knows by this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA" | "SHA1" | "SHA-1" => Self::Sha1,
            "SHA-224" => Self::Sha224,
            "SHA-256" => Self::Sha256,
            "SHA-384" => Self::Sha384,
            "SHA-512" => Self::Sha512,
            "SHA3-224" => Self::Sha3_224,
            "SHA3-256" => Self::Sha3_256,
            "SHA3-384" => Self::Sha3_384,
            "SHA3-512" => Self::Sha3_512,
            _ => return None,
        })
    }

    /// The hash of `credentials` in Base64.
    fn hash(self, credentials: &[u8]) -> String {
        match self {
            Self::Sha1 => STANDARD.encode(Sha1::digest(credentials)),
            Self::Sha224 => STANDARD.encode(Sha224::digest(credentials)),
            Self::Sha256 => STANDARD.encode(Sha256::digest(credentials)),
            Self::Sha384 => STANDARD.encode(Sha384::digest(credentials)),
            Self::Sha512 => STANDARD.encode(Sha512::digest(credentials)),
            Self::Sha3_224 => STANDARD.encode(Sha3_224::digest(credentials)),
            Self::Sha3_256 => STANDARD.encode(Sha3_256::digest(credentials)),
            Self::Sha3_384 => STANDARD.encode(Sha3_384::digest(credentials)),
            Self::Sha3_512 => STANDARD.encode(Sha3_512::digest(credentials)),
        }
    }
}

/// The outcome of an auth packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// The connection has these identities from now on, besides those it had.
    Granted(Vec<Id>),
    /// No such scheme, or not these credentials.
    Failed,
}

impl AuthSettings {
    /// The identity that every connection from `address` has.
    pub fn address_id(address: &str) -> Id {
        Id::new(IP, address)
    }

    /// Checks an auth packet of a connection from `address`.
    pub fn authenticate(
        &self,
        scheme: Option<&str>,
        credentials: Option<&[u8]>,
        address: &str,
    ) -> Authentication {
        match (scheme, self.digest, credentials) {
            (Some(IP), _, _) => Authentication::Granted(vec![Self::address_id(address)]),
            (Some(DIGEST), Some(algorithm), Some(credentials)) => {
                Authentication::Granted(self.digest_ids(algorithm, credentials))
            }
            _ => Authentication::Failed,
        }
    }

    fn digest_ids(&self, algorithm: DigestAlgorithm, credentials: &[u8]) -> Vec<Id> {
        // Java makes a string of them first, and hashes that: so damage has the hash of U+FFFD.
        let text = decode_text(credentials);
        let user = text.split(':').next().unwrap_or_default();
        let id = format!("{user}:{}", algorithm.hash(text.as_bytes()));
        // How much of it is right must not be told by the time that it takes.
        let is_super = self
            .super_digest
            .as_ref()
            .is_some_and(|digest| digest.as_bytes().ct_eq(id.as_bytes()).into());
        let super_id = is_super.then(|| Id::new(SUPER, ""));
        super_id.into_iter().chain([Id::new(DIGEST, id)]).collect()
    }

    /// The identities of a client whose certificate, which is trusted, has this subject.
    pub fn certificate_ids(&self, subject: &str) -> Vec<Id> {
        let is_super = !subject.is_empty() && self.x509_super_user.as_deref() == Some(subject);
        let super_id = is_super.then(|| Id::new(SUPER, subject));
        let id = self.x509.then(|| Id::new(X509, subject));
        super_id
            .into_iter()
            .filter(|_| self.x509)
            .chain(id)
            .collect()
    }

    /// The identities of a client that has proved to be this user (`ZooKeeperServer.processSasl`).
    pub fn sasl_ids(&self, user: &str) -> Vec<Id> {
        let is_super = !user.is_empty() && self.sasl_super_users.iter().any(|known| known == user);
        let super_id = is_super.then(|| Id::new(SUPER, ""));
        [Id::new(SASL, user)].into_iter().chain(super_id).collect()
    }

    /// True if a connection needs an identity of the scheme sasl.
    pub fn requires_sasl(&self) -> bool {
        self.required_schemes.iter().any(|scheme| scheme == SASL)
    }

    /// True for the scheme whose identities come from the handshake and not from a packet.
    pub fn is_of_certificates(scheme: Option<&str>) -> bool {
        scheme == Some(X509)
    }

    /// True if `ids` hold what this server requires of a connection.
    pub fn satisfied_by(&self, ids: &[Id]) -> bool {
        self.required_schemes.is_empty()
            || ids
                .iter()
                .any(|id| self.required_schemes.contains(&id.scheme))
    }

    /// True if `ids` may do one of the operations in `perms` under `acl`.
    pub(crate) fn permits(&self, acl: &[Acl], perms: i32, ids: &[Id]) -> bool {
        if self.skip_acl {
            return true;
        }
        // An entry of a scheme that is not there matches nobody.
        if !self.sasl && ids.iter().any(|id| id.scheme == SASL) {
            let others: Vec<Id> = ids.iter().filter(|id| id.scheme != SASL).cloned().collect();
            return ox_tree::acl::permits(acl, perms, &others);
        }
        ox_tree::acl::permits(acl, perms, ids)
    }

    /// True if an acl may name `id` of `scheme`.
    pub(crate) fn is_valid_acl_id(&self, scheme: &str, id: &str) -> bool {
        match scheme {
            DIGEST => self.digest.is_some() && is_digest_id(id),
            IP => ox_tree::acl::is_ip_id(id),
            SASL => self.sasl && is_kerberos_name(id),
            X509 => self.x509 && x500_name::is_name(id),
            _ => false,
        }
    }

    /// True for schemes of which somebody here judges ids.
    pub(crate) fn has_provider(&self, scheme: &str) -> bool {
        match scheme {
            DIGEST => self.digest.is_some(),
            IP => true,
            X509 => self.x509,
            SASL => self.sasl,
            _ => false,
        }
    }

    /// True for identities that somebody proved: those that the acl scheme `auth` stands for.
    pub(crate) fn is_authenticated(&self, id: &Id) -> bool {
        match id.scheme.as_str() {
            DIGEST | X509 => true,
            SASL => self.sasl,
            _ => false,
        }
    }

    /// What whoAmI tells of an identity.
    pub(crate) fn client_info(id: &Id) -> ClientInfo {
        let user = match id.scheme.as_str() {
            DIGEST => id.id.split(':').next().unwrap_or_default(),
            SUPER => "",
            _ => &id.id,
        };
        ClientInfo {
            auth_scheme: id.scheme.clone(),
            user: user.to_owned(),
        }
    }
}

/// Two parts between colons, empty parts at the end not counted, as Java's `String.split` has it.
fn is_digest_id(id: &str) -> bool {
    let id = id.trim_end_matches(':');
    id.split(':').count() == 2
}

/// `name`, or `[service][/host]@realm` with neither sign in any part (`KerberosName`).
fn is_kerberos_name(id: &str) -> bool {
    match id.split_once('@') {
        None => true,
        Some((name, realm)) => name.matches('/').count() <= 1 && !realm.contains(['/', '@']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> AuthSettings {
        AuthSettings {
            digest: Some(DigestAlgorithm::Sha1),
            super_digest: Some("super:lK75jTNcA+U9vtVEw5vB51mj/w4=".into()),
            ..AuthSettings::default()
        }
    }

    #[track_caller]
    fn check(scheme: Option<&str>, credentials: Option<&[u8]>, ids: Option<&[(&str, &str)]>) {
        let outcome = settings().authenticate(scheme, credentials, "127.0.0.1");
        let expected = ids.map_or(Authentication::Failed, |ids| {
            Authentication::Granted(ids.iter().map(|(s, i)| Id::new(*s, *i)).collect())
        });
        assert_eq!(outcome, expected);
    }

    #[test]
    fn digest_is_the_user_and_a_hash_of_all_that_was_sent() {
        let digest = "user:smGaoVKd/cQkjm7b88GyorAUz20=";
        check(
            Some("digest"),
            Some(b"user:pass"),
            Some(&[("digest", digest)]),
        );
        check(
            Some("digest"),
            Some(b""),
            Some(&[("digest", ":2jmj7l5rSw0yVb/vlWAYkK/YBwk=")]),
        );
        check(Some("digest"), None, None);
        check(
            Some("digest"),
            Some(b"u:\xed\xa0\xbd"),
            Some(&[("digest", "u:NP+S9gihaPOxs49p+sWDO0/R0ac=")]),
        );
    }

    #[test]
    fn the_super_digest_makes_super_first() {
        let digest = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
        check(
            Some("digest"),
            Some(b"super:secret"),
            Some(&[("super", ""), ("digest", digest)]),
        );
    }

    #[test]
    fn ip_needs_no_credentials_and_no_other_scheme_is_there() {
        check(Some("ip"), None, Some(&[("ip", "127.0.0.1")]));
        for scheme in [
            None,
            Some("world"),
            Some("auth"),
            Some("super"),
            Some("sasl"),
        ] {
            check(scheme, Some(b"x:y"), None);
        }
    }

    #[test]
    fn a_certificate_gives_its_subject_and_one_subject_is_super() {
        let ids = |x509, subject| {
            let x509_super_user = Some("CN=root".to_owned());
            let settings = AuthSettings {
                x509,
                x509_super_user,
                ..settings()
            };
            settings.certificate_ids(subject)
        };
        assert_eq!(ids(true, "CN=a"), [Id::new("x509", "CN=a")]);
        let both = [Id::new("super", "CN=root"), Id::new("x509", "CN=root")];
        assert_eq!(ids(true, "CN=root"), both);
        assert_eq!(ids(false, "CN=root"), []);
        let nameless = AuthSettings {
            x509: true,
            x509_super_user: Some(String::new()),
            ..settings()
        };
        assert_eq!(nameless.certificate_ids(""), [Id::new("x509", "")]);
    }

    #[test]
    fn an_acl_may_name_subjects_where_there_are_such() {
        let with = AuthSettings {
            x509: true,
            ..settings()
        };
        assert!(with.is_valid_acl_id("x509", "CN=a,O=b"));
        assert!(!with.is_valid_acl_id("x509", "a"));
        assert!(!settings().is_valid_acl_id("x509", "CN=a,O=b"));
    }

    #[test]
    fn a_sasl_user_is_an_identity_and_some_are_super() {
        let with = AuthSettings {
            sasl: true,
            sasl_super_users: vec!["root".into(), String::new()],
            ..settings()
        };
        assert_eq!(with.sasl_ids("bob"), [Id::new("sasl", "bob")]);
        assert_eq!(with.sasl_ids(""), [Id::new("sasl", "")]);
        let both = [Id::new("sasl", "root"), Id::new("super", "")];
        assert_eq!(with.sasl_ids("root"), both);
        for (id, valid) in [
            ("bob", true),
            ("bob/host", true),
            ("a/b/c", true),
            ("", true),
            ("bob@REALM", true),
            ("bob/host@REALM", true),
            ("@", true),
            ("a/b/c@REALM", false),
            ("bob@A@B", false),
            ("bob@A/B", false),
        ] {
            assert_eq!(with.is_valid_acl_id("sasl", id), valid, "{id}");
            assert!(!settings().is_valid_acl_id("sasl", id), "{id}");
        }
    }

    #[test]
    fn without_the_scheme_sasl_its_identities_are_good_for_nothing() {
        let id = Id::new("sasl", "bob");
        let acl = [Acl {
            perms: 31,
            id: id.clone(),
        }];
        let sasl = |sasl| AuthSettings { sasl, ..settings() };
        let ids = [id.clone()];
        assert!(sasl(true).permits(&acl, 1, &ids) && sasl(true).is_authenticated(&id));
        assert!(!sasl(false).permits(&acl, 1, &ids) && !sasl(false).is_authenticated(&id));
        assert!(sasl(false).permits(&acl, 1, &[id, Id::new("super", "")]));
    }

    #[test]
    fn what_is_printed_does_not_tell_the_super_digest() {
        let text = format!("{:?}", settings());
        assert!(!text.contains("lK75jTNc"), "{text}");
    }

    #[test]
    fn digest_ids_have_two_parts() {
        for id in ["u:h", ":h", "u:h:"] {
            assert!(is_digest_id(id), "{id}");
        }
        for id in ["", "u", "u:", "a:b:c"] {
            assert!(!is_digest_id(id), "{id}");
        }
    }

    #[test]
    fn a_required_scheme_is_missed_until_it_is_there() {
        let required = vec!["digest".to_owned()];
        let settings = AuthSettings {
            required_schemes: required,
            ..settings()
        };
        assert!(!settings.satisfied_by(&[Id::new("ip", "127.0.0.1")]));
        assert!(settings.satisfied_by(&[Id::new("digest", "a:b")]));
        assert!(self::settings().satisfied_by(&[]));
    }
}
