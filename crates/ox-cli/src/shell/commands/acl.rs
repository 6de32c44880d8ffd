//! Commands about acls.

use ox_client::Error;
use ox_proto::{Acl, ErrorCode, Id, path};

use super::{Failure, Outcome, Parsed, Shell, version};
use crate::shell::{format, paths};

pub(super) async fn get(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = parsed.arg(0).ok_or(Failure::Usage)?;
    paths::check(path)?;
    let client = shell.client_for(path).await?;
    let found = client.acl(path).await.map_err(Failure::about(path))?;
    shell.console.out(&format::acl(&found.acl));
    if parsed.has("s") {
        shell.print_stat(&found.stat);
    }
    Ok(())
}

pub(super) async fn set(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let [path, text, ..] = &parsed.args[..] else {
        return Err(Failure::Usage);
    };
    let acl = parse_acl(shell, text);
    let version = version(parsed)?;
    paths::check(path)?;
    if acl.is_empty() {
        return Err(Failure::Request {
            error: Error::Server(ErrorCode::InvalidAcl),
            path: None,
        });
    }
    let client = shell.client_for(path).await?;
    let mut pending = vec![path.clone()];
    while let Some(next) = pending.pop() {
        let stat = client
            .set_acl(&next, acl.clone(), version)
            .await
            .map_err(Failure::about(path))?;
        if !parsed.has("R") {
            if parsed.has("s") {
                shell.print_stat(&stat);
            }
            return Ok(());
        }
        let listing = client
            .children(&next, false)
            .await
            .map_err(Failure::about(path))?;
        let children = listing.children.iter();
        pending.extend(children.map(|name| path::child(&next, name)));
    }
    Ok(())
}

/// The entries of `scheme:id:perms,..`. What is no entry, and letters that are no permission, are
/// told and passed over.
pub(super) fn parse_acl(shell: &Shell, text: &str) -> Vec<Acl> {
    // A comma at the end is nothing; an empty text is one entry, and a bad one.
    let mut entries = Vec::new();
    for entry in text.trim_end_matches(',').split(',') {
        match parse_entry(entry) {
            Some((acl, unknown)) => {
                for letter in unknown {
                    shell.console.err(&format!("Unknown perm type: {letter}"));
                }
                entries.push(acl);
            }
            None => shell
                .console
                .err(&format!("{entry} does not have the form scheme:id:perm")),
        }
    }
    entries
}

/// An entry and the letters in it that mean nothing. The id may hold colons.
fn parse_entry(entry: &str) -> Option<(Acl, Vec<char>)> {
    let (scheme, rest) = entry.split_once(':')?;
    let (id, letters) = rest.rsplit_once(':')?;
    let mut perms = 0;
    let mut unknown = Vec::new();
    for letter in letters.chars() {
        match format::permission(letter) {
            Some(bit) => perms |= bit,
            None => unknown.push(letter),
        }
    }
    let id = Id::new(scheme, id);
    Some((Acl { perms, id }, unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entry: &str, parsed: Option<(i32, &str, &str, &[char])>) {
        let expected = parsed.map(|(perms, scheme, id, unknown)| {
            let id = Id::new(scheme, id);
            (Acl { perms, id }, unknown.to_vec())
        });
        assert_eq!(parse_entry(entry), expected);
    }

    #[test]
    fn an_entry_is_scheme_id_and_letters() {
        check("world:anyone:r", Some((1, "world", "anyone", &[])));
        check("digest:u:h=:cdrwa", Some((31, "digest", "u:h=", &[])));
        check("auth::rx", Some((1, "auth", "", &['x'])));
        check("world:anyone:", Some((0, "world", "anyone", &[])));
        check("world:anyone", None);
        check("", None);
    }
}
