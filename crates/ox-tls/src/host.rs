//! Whether a certificate is one for a host.
//!
//! By the alternative names where it has any, else by its common name. Nothing is looked up here.
//! Source: `ZKHostnameVerifier.java`.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::name::common_name;

/// True if the certificate is for `host`, a name or an address.
pub(crate) fn is_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let address: Option<IpAddr> = host.parse().ok();
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let mut has_names = false;
    for name in names {
        let matches = match (name, address) {
            (GeneralName::DNSName(pattern), None) => is_name(pattern, host),
            (GeneralName::IPAddress(bytes), Some(address)) => is_address(bytes, address),
            (GeneralName::DNSName(_) | GeneralName::IPAddress(_), _) => false,
            _ => continue,
        };
        if matches {
            return true;
        }
        has_names = true;
    }
    !has_names
        && common_name(certificate.subject()).is_some_and(|pattern| match address {
            Some(_) => pattern == host,
            None => is_name(&pattern, host),
        })
}

/// A star stands for the whole of the first part, where two more follow.
fn is_name(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.trim_end_matches('.'), host.trim_end_matches('.'));
    match pattern.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(first, rest)| {
            !first.is_empty() && domain.contains('.') && rest.eq_ignore_ascii_case(domain)
        }),
        None => !host.is_empty() && pattern.eq_ignore_ascii_case(host),
    }
}

fn is_address(bytes: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => bytes == address.octets(),
        IpAddr::V6(address) => bytes == address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(common_name: &str, names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[track_caller]
    fn check(certificate: &CertificateDer<'_>, hosts: &[&str], others: &[&str]) {
        for host in hosts {
            assert!(is_for(certificate, host), "{host}");
        }
        for host in others {
            assert!(!is_for(certificate, host), "{host}");
        }
    }

    #[test]
    fn alternative_names_count_and_then_the_common_name_does_not() {
        let names = [
            "zk1.example.org",
            "*.pods.example.org",
            "10.0.0.1",
            "fd00::1",
        ];
        check(
            &certificate("other", &names),
            &[
                "ZK1.example.org",
                "a.pods.example.org",
                "10.0.0.1",
                "[fd00::1]",
                "zk1.example.org.",
            ],
            &[
                "other",
                "a.b.pods.example.org",
                "pods.example.org",
                "10.0.0.2",
                "",
                "10.0.0.1.x",
            ],
        );
    }

    #[test]
    fn without_alternative_names_the_common_name_counts() {
        check(
            &certificate("zk1", &[]),
            &["zk1", "ZK1"],
            &["zk2", "zk1.example.org", ""],
        );
        check(&certificate("10.0.0.1", &[]), &["10.0.0.1"], &["10.0.0.2"]);
        check(&certificate("*.org", &[]), &[], &["example.org", "*.org.x"]);
    }

    #[test]
    fn what_is_no_certificate_is_for_nobody() {
        check(&CertificateDer::from(vec![1, 2, 3]), &[], &["", "zk1"]);
    }
}
