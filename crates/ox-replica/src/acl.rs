//! The acl of a create or a setACL: checked, and `auth` replaced by whoever asks.
//!
//! Source: `PrepRequestProcessor.fixupACL`; client-protocol.md 9.3.

use ox_proto::{Acl, ErrorCode, Id, RawAcl};

use crate::auth::AuthSettings;

/// The list to store for what a client with `ids` sent.
pub(crate) fn resolve(
    settings: &AuthSettings,
    sent: Option<&[RawAcl]>,
    ids: &[Id],
) -> Result<Vec<Acl>, ErrorCode> {
    let mut acl = Vec::new();
    for entry in sent.unwrap_or_default() {
        let scheme = entry.scheme.as_deref().ok_or(ErrorCode::InvalidAcl)?;
        match (scheme, entry.id.as_deref()) {
            ("world", None) => return Err(ErrorCode::MarshallingError),
            ("world", Some("anyone")) => push(&mut acl, Acl::world(entry.perms)),
            ("auth", _) => {
                let mut proven = ids.iter().filter(|id| AuthSettings::is_authenticated(id));
                let first = proven.next().ok_or(ErrorCode::InvalidAcl)?;
                for id in [first].into_iter().chain(proven) {
                    push(
                        &mut acl,
                        Acl {
                            perms: entry.perms,
                            id: id.clone(),
                        },
                    );
                }
            }
            (scheme, Some(id)) if settings.is_valid_acl_id(scheme, id) => {
                push(
                    &mut acl,
                    Acl {
                        perms: entry.perms,
                        id: Id::new(scheme, id),
                    },
                );
            }
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    if acl.is_empty() {
        Err(ErrorCode::InvalidAcl)
    } else {
        Ok(acl)
    }
}

/// Exact duplicates are dropped, order is kept.
fn push(acl: &mut Vec<Acl>, entry: Acl) {
    if !acl.contains(&entry) {
        acl.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::DigestAlgorithm;

    #[track_caller]
    fn check(
        sent: &[(i32, Option<&str>, Option<&str>)],
        ids: &[Id],
        stored: Result<&[Acl], ErrorCode>,
    ) {
        let settings = AuthSettings {
            digest: Some(DigestAlgorithm::Sha1),
            ..AuthSettings::default()
        };
        let sent: Vec<_> = sent
            .iter()
            .map(|(perms, scheme, id)| RawAcl {
                perms: *perms,
                scheme: scheme.map(str::to_owned),
                id: id.map(str::to_owned),
            })
            .collect();
        assert_eq!(
            resolve(&settings, Some(&sent), ids).as_deref(),
            stored.as_ref().copied()
        );
    }

    #[test]
    fn an_empty_or_missing_list_is_invalid() {
        check(&[], &[], Err(ErrorCode::InvalidAcl));
        assert_eq!(
            resolve(&AuthSettings::default(), None, &[]),
            Err(ErrorCode::InvalidAcl)
        );
    }

    #[test]
    fn duplicates_go_and_perms_stay_as_they_are() {
        let world = (-1, Some("world"), Some("anyone"));
        check(&[world, world], &[], Ok(&[Acl::world(-1)]));
    }

    #[test]
    fn auth_stands_for_the_proven_identities() {
        let ids = [
            Id::new("ip", "127.0.0.1"),
            Id::new("digest", "a:b"),
            Id::new("super", ""),
        ];
        let own = Acl {
            perms: 31,
            id: Id::new("digest", "a:b"),
        };
        check(&[(31, Some("auth"), Some("whatever"))], &ids, Ok(&[own]));
        check(
            &[(31, Some("auth"), None)],
            &ids[..1],
            Err(ErrorCode::InvalidAcl),
        );
    }

    #[test]
    fn malformed_entries_are_invalid_and_a_world_without_id_is_worse() {
        for entry in [
            (31, None, Some("anyone")),
            (31, Some("world"), Some("nobody")),
            (31, Some("digest"), Some("user")),
            (31, Some("super"), Some("")),
            (31, Some("sasl"), Some("u")),
            (31, Some("ip"), None),
        ] {
            check(&[entry], &[], Err(ErrorCode::InvalidAcl));
        }
        check(
            &[(31, Some("world"), None)],
            &[],
            Err(ErrorCode::MarshallingError),
        );
    }
}
