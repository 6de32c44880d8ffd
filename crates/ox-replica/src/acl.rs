//! The acl of a create or a setACL: checked, and `auth` replaced by whoever asks.
//!
//! Source: `PrepRequestProcessor.fixupACL`; client-protocol.md 9.3.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ox_proto::{Acl, ErrorCode, Id, RawAcl};

use crate::auth::AuthSettings;

/// What an entry takes in a record besides its two strings.
const OVERHEAD: usize = 12;

/// The list to store for what a client with `ids` sent; it takes no more than about `max_size`
/// bytes in a record, however many identities stand behind each `auth`.
pub(crate) fn resolve(
    settings: &AuthSettings,
    sent: Option<&[RawAcl]>,
    ids: &[Id],
    max_size: usize,
) -> Result<Vec<Acl>, ErrorCode> {
    let mut acl = Vec::new();
    let mut size = 0;
    let mut push = |acl: &mut Vec<Acl>, entry: Acl| {
        size += OVERHEAD + entry.id.scheme.len() + entry.id.id.len();
        acl.push(entry);
        match size <= max_size {
            true => Ok(()),
            false => Err(ErrorCode::MarshallingError),
        }
    };
    let sent = sent.unwrap_or_default();
    if compares_null(sent) {
        return Err(ErrorCode::MarshallingError);
    }
    for entry in sent {
        let scheme = entry.scheme.as_deref().ok_or(ErrorCode::InvalidAcl)?;
        match (scheme, entry.id.as_deref()) {
            ("world", None) => return Err(ErrorCode::MarshallingError),
            ("world", Some("anyone")) => push(&mut acl, Acl::world(entry.perms))?,
            ("auth", _) => {
                let mut proven = ids.iter().filter(|id| settings.is_authenticated(id));
                let first = proven.next().ok_or(ErrorCode::InvalidAcl)?;
                for id in [first].into_iter().chain(proven) {
                    push(
                        &mut acl,
                        Acl {
                            perms: entry.perms,
                            id: id.clone(),
                        },
                    )?;
                }
            }
            (scheme, Some(id)) if settings.is_valid_acl_id(scheme, id) => {
                push(
                    &mut acl,
                    Acl {
                        perms: entry.perms,
                        id: Id::new(scheme, id),
                    },
                )?;
            }
            // A provider is asked, and Java's do not expect null.
            (scheme, None) if settings.has_provider(scheme) => {
                return Err(ErrorCode::MarshallingError);
            }
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    if acl.is_empty() {
        Err(ErrorCode::InvalidAcl)
    } else {
        drop_duplicates(&mut acl);
        Ok(acl)
    }
}

/// True where Java, looking for duplicates, compares a null with what an earlier entry has in its
/// place: perms come first, then the scheme, then the id.
fn compares_null(sent: &[RawAcl]) -> bool {
    let (mut perms, mut schemes) = (BTreeSet::new(), BTreeSet::new());
    sent.iter().any(|entry| {
        let scheme = (entry.perms, entry.scheme.as_deref());
        let null = match (&entry.scheme, &entry.id) {
            (None, _) => perms.contains(&entry.perms),
            (Some(_), None) => schemes.contains(&scheme),
            (Some(_), Some(_)) => false,
        };
        perms.insert(entry.perms);
        schemes.insert(scheme);
        null
    })
}

/// What long acls have answered to one client: a request may meet the same one many thousand times.
/// Lists are told apart by where they lie in memory, so none may go while this is in use.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(BTreeMap<(usize, i32), bool>);

impl Verdicts {
    /// Entries from which on a list is long.
    const LONG: usize = 16;

    /// Forgets everything: another client asks, or lists may have gone.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// As [`AuthSettings::permits`].
    pub(crate) fn permits(
        &mut self,
        settings: &AuthSettings,
        acl: &Arc<[Acl]>,
        perms: i32,
        ids: &[Id],
    ) -> bool {
        if acl.len() < Self::LONG {
            return settings.permits(acl, perms, ids);
        }
        let place = acl.as_ptr().addr();
        let verdict = self.0.entry((place, perms));
        *verdict.or_insert_with(|| settings.permits(acl, perms, ids))
    }
}

/// Exact duplicates are dropped, order is kept.
fn drop_duplicates(acl: &mut Vec<Acl>) {
    if acl.len() < 2 {
        return;
    }
    let mut seen = BTreeSet::new();
    let mut is_new = Vec::with_capacity(acl.len());
    for Acl { perms, id } in acl.iter() {
        is_new.push(seen.insert((*perms, id.scheme.as_str(), id.id.as_str())));
    }
    let mut is_new = is_new.into_iter();
    acl.retain(|_| is_new.next() == Some(true));
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
            resolve(&settings, Some(&sent), ids, 1000).as_deref(),
            stored.as_ref().copied()
        );
    }

    #[test]
    fn an_empty_or_missing_list_is_invalid() {
        check(&[], &[], Err(ErrorCode::InvalidAcl));
        assert_eq!(
            resolve(&AuthSettings::default(), None, &[], 1000),
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
    fn a_list_that_grows_beyond_a_record_is_refused() {
        let ids: Vec<_> = (0..20)
            .map(|n| Id::new("digest", format!("u{n}:h")))
            .collect();
        let auth = (31, Some("auth"), None);
        let own = |id: &Id| Acl {
            perms: 31,
            id: id.clone(),
        };
        let all: Vec<_> = ids.iter().map(own).collect();
        check(&[auth], &ids, Ok(&all));
        let four = [1, 2, 3, 4].map(|perms| (perms, Some("auth"), None));
        check(&four, &ids, Err(ErrorCode::MarshallingError));
    }

    #[test]
    fn long_acls_are_told_apart_by_list_and_by_permission() {
        let settings = AuthSettings::default();
        let ids = [Id::new("digest", "u:h")];
        let list = |length, id: &str| -> Arc<[Acl]> {
            let id = Id::new("digest", id);
            let perms = Acl::READ;
            vec![Acl { perms, id }; length].into()
        };
        let (own, other, short) = (list(20, "u:h"), list(20, "v:h"), list(1, "u:h"));
        let mut verdicts = Verdicts::default();
        for _ in 0..2 {
            for (acl, perms, verdict) in [
                (&own, Acl::READ, true),
                (&own, Acl::WRITE, false),
                (&other, Acl::READ, false),
                (&short, Acl::READ, true),
            ] {
                assert_eq!(verdicts.permits(&settings, acl, perms, &ids), verdict);
            }
        }
        verdicts.clear();
        assert!(!verdicts.permits(&settings, &own, Acl::READ, &[]));
    }

    #[test]
    fn malformed_entries_are_invalid() {
        for entry in [
            (31, None, Some("anyone")),
            (31, Some("world"), Some("nobody")),
            (31, Some("digest"), Some("user")),
            (31, Some("super"), Some("")),
            (31, Some("sasl"), Some("u")),
            (31, Some("sasl"), None),
        ] {
            check(&[entry], &[], Err(ErrorCode::InvalidAcl));
        }
    }

    #[test]
    fn a_null_that_java_comes_across_is_worse_than_invalid() {
        let worse = Err(ErrorCode::MarshallingError);
        for scheme in ["world", "digest", "ip"] {
            check(&[(31, Some(scheme), None)], &[], worse);
        }
        let world = (31, Some("world"), Some("anyone"));
        let auth = (31, Some("auth"), None);
        check(&[world, (31, None, Some("x"))], &[], worse);
        check(&[auth, auth], &[], worse);
        // Perms that differ end the comparison, and so does a scheme.
        check(
            &[world, (1, None, Some("x"))],
            &[],
            Err(ErrorCode::InvalidAcl),
        );
        check(&[world, auth], &[], Err(ErrorCode::InvalidAcl));
    }
}
