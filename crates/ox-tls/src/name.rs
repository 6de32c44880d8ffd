//! The name of a certificate's subject, as Java writes it.
//!
//! It stands in acls, so every character counts. Source: `X500Principal.getName()`,
//! `sun.security.x509.AVA.toRFC2253String`; operations.md 7.2.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, FromDer, Tag, ToDer};
use x509_parser::prelude::{AttributeTypeAndValue, X509Certificate, X509Name};

/// The attributes that have a name of their own in RFC 2253.
const KEYWORDS: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// The subject of a certificate: `CN=zk1,OU=servers,O=example`, last part first. `None` for bytes
/// that are no certificate.
pub fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(text(certificate.subject()))
}

/// The common name, where there is one: the last of them.
pub(crate) fn common_name(name: &X509Name<'_>) -> Option<String> {
    let last = name.iter_common_name().last()?;
    last.as_str().ok().map(str::to_owned)
}

fn text(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let parts = parts.into_iter().rev().map(|part| {
        let values: Vec<_> = part.iter().map(attribute).collect();
        values.join("+")
    });
    parts.collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let value = attribute.attr_value();
    let keyword = KEYWORDS.iter().find(|(known, _)| *known == oid);
    match keyword {
        Some((_, keyword)) if is_text(value) => {
            format!(
                "{keyword}={}",
                escaped(&String::from_utf8_lossy(value.data))
            )
        }
        Some((_, keyword)) => format!("{keyword}=#{}", hex(value)),
        None => format!("{oid}=#{}", hex(value)),
    }
}

fn is_text(value: &Any<'_>) -> bool {
    [
        Tag::PrintableString,
        Tag::T61String,
        Tag::Ia5String,
        Tag::GeneralString,
        Tag::BmpString,
        Tag::Utf8String,
    ]
    .contains(&value.tag())
}

fn hex(value: &Any<'_>) -> String {
    let mut out = String::new();
    for byte in value.to_der_vec().unwrap_or_default() {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => out.extend(['\\', c]),
            '\0' => out.push_str("\\00"),
            c => out.push(c),
        }
    }
    let is_blank = |c| c == ' ' || c == '\r';
    let inner = out.trim_start_matches(is_blank);
    let (lead, inner) = (out.len() - inner.len(), inner.trim_end_matches(is_blank));
    let trail = lead + inner.len();
    let blanks = |blanks: &str| blanks.chars().flat_map(|c| ['\\', c]).collect::<String>();
    format!("{}{inner}{}", blanks(&out[..lead]), blanks(&out[trail..]))
}

#[cfg(test)]
mod tests;
