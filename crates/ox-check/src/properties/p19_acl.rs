//! Nobody is shown data, stat, name or acl of what he may not read: by the acls the log makes, and
//! by bytes that stand in protected znodes only.
//!
//! Source: reliability.md 3.2 P19 and 5; client-protocol.md 7.5, 9.4 and 9.5.

use crate::access::{ADMIN, Identities, READ};
use crate::case::Case;
use crate::history::{Event, EventKind, OpId, Operation, Secret};
use crate::report::{Property, Report};
use crate::request::{Answer, Outcome, Request};
use crate::watches;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    for (id, operation) in &case.replies {
        if !operation.request.is_write() && 0 < operation.zxid {
            may_read(
                case,
                *id,
                operation,
                &operation.request,
                &operation.outcome,
                report,
            );
        }
        for secret in secrets(case, operation.session) {
            if holds(&operation.outcome, &secret.tag) {
                let text = format!("{:?} shows a secret", operation.request);
                report.add(Property::Acl, &[*id], text);
            }
        }
    }
    for event in &case.history.events {
        let connection = &case.history.connections[event.connection.index()];
        let stamp = event.stamp;
        if !may_hear(case, event, Identities { connection, stamp }) {
            let text = format!("session {:#x} hears of {}", connection.session, event.path);
            report.add(Property::Acl, &[], text);
        }
        for secret in secrets(case, connection.session) {
            if contains(event.path.as_bytes(), &secret.tag) {
                let text = format!("an event shows a secret to {:#x}", connection.session);
                report.add(Property::Acl, &[], text);
            }
        }
    }
}

fn may_read(
    case: &Case<'_>,
    id: OpId,
    operation: &Operation,
    request: &Request,
    outcome: &Outcome,
    report: &mut Report,
) {
    if let (Request::MultiRead(parts), Outcome::Ok(Answer::Multi(outcomes))) = (request, outcome) {
        for (part, outcome) in parts.iter().zip(outcomes) {
            may_read(case, id, operation, part, outcome, report);
        }
        return;
    }
    let perms = match request {
        Request::GetAcl { .. } => READ | ADMIN,
        Request::GetData { .. }
        | Request::Exists { .. }
        | Request::GetChildren { .. }
        | Request::GetAllChildrenNumber { .. } => READ,
        _ => return,
    };
    let (Some(path), Outcome::Ok(answer)) = (request.path(), outcome) else {
        return;
    };
    let identities = case.identities(operation);
    let last = case.count(operation.zxid);
    // Where reads are not exact, the acl may be that of the next state.
    let next = (last + usize::from(!case.options.exact_reads)).min(case.txns.len());
    let denied = |count| {
        let node = case.model.node_at(path, count);
        node.is_some_and(|node| !identities.may(&node.acl, perms))
    };
    if denied(last) && denied(next) {
        let text = format!("{request:?} is answered by {answer:?}");
        report.add(Property::Acl, &[id], text);
    }
    if let (Answer::Acl(shown, _), Some(node)) = (answer, case.model.node_at(path, last)) {
        let hash =
            |entry: &&crate::AclEntry| &*entry.scheme == "digest" && !entry.id.ends_with(":x");
        let full = shown
            .iter()
            .find(hash)
            .filter(|entry| node.acl.contains(entry));
        if let Some(entry) = full.filter(|_| !identities.may(&node.acl, ADMIN)) {
            let text = format!("{request:?} shows the hash of {entry:?}");
            report.add(Property::Acl, &[id], text);
        }
    }
}

fn may_hear(case: &Case<'_>, event: &Event, identities: Identities<'_>) -> bool {
    let Some(index) = event.zxid.and_then(|zxid| case.find(zxid)) else {
        return true;
    };
    // Within one transaction a znode can be made, deleted and made again by other acls.
    let mut acls = watches::acls_of(case, index, event.kind, &event.path).peekable();
    if acls.peek().is_some() {
        return acls.any(|acl| identities.may(&acl, READ));
    }
    let count = match event.kind {
        EventKind::Deleted => index,
        EventKind::Created | EventKind::DataChanged | EventKind::ChildrenChanged => index + 1,
    };
    let node = case.model.node_at(&event.path, count);
    node.is_none_or(|node| identities.may(&node.acl, READ))
}

fn secrets<'a>(case: &Case<'a>, session: i64) -> impl Iterator<Item = &'a Secret> {
    let all = case.history.secrets.iter();
    all.filter(move |secret| !secret.readers.contains(&session))
}

/// Whether an answer holds these bytes anywhere.
fn holds(outcome: &Outcome, tag: &[u8]) -> bool {
    let Outcome::Ok(answer) = outcome else {
        return false;
    };
    match answer {
        Answer::Done | Answer::Stat(_) | Answer::Number(_) => false,
        Answer::Path(path) | Answer::Created(path, _) => contains(path.as_bytes(), tag),
        Answer::Data(data, _) => contains(data.as_deref().unwrap_or_default(), tag),
        Answer::Children(names, _) | Answer::Paths(names) => {
            names.iter().any(|name| contains(name.as_bytes(), tag))
        }
        Answer::Acl(acl, _) => acl.iter().any(|entry| contains(entry.id.as_bytes(), tag)),
        Answer::Multi(parts) => parts.iter().any(|part| holds(part, tag)),
    }
}

fn contains(bytes: &[u8], tag: &[u8]) -> bool {
    !tag.is_empty() && bytes.windows(tag.len()).any(|window| window == tag)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::history::ConnectionId;
    use crate::request::{AclEntry, CreateMode, Stat};
    use crate::testing::{World, children, create, delete, get, set};

    fn own() -> Arc<[AclEntry]> {
        let all = AclEntry::new(31, "digest", "a:hash");
        [all, AclEntry::new(READ, "digest", "c:hash")].into()
    }

    /// The first session has made `/own`, which the second may not read, and the third only read.
    fn world() -> (World, [ConnectionId; 3]) {
        let mut world = World::new();
        let [a, b, c] = [1, 2, 3].map(|session| world.connect(session));
        world.history.authenticated(a, "digest", "a:hash");
        world.history.authenticated(c, "digest", "c:hash");
        world.history.secret(*b"tag", vec![1, 3]);
        world.write(
            a,
            Request::Create {
                path: "/own".into(),
                data: Some(b"the tag".as_slice().into()),
                acl: own(),
                mode: CreateMode::Persistent,
            },
        );
        world.read(a, get("/own"));
        world.read(c, get("/own"));
        (world, [a, b, c])
    }

    #[test]
    fn who_may_not_read_is_shown_nothing() {
        let (mut world, [_, b, c]) = world();
        let read = world.read(b, get("/own"));
        world.operation(read).outcome = Outcome::Error(-102);
        let acl = world.read(
            c,
            Request::GetAcl {
                path: "/own".into(),
            },
        );
        let masked = |entry: &AclEntry| {
            let user = &entry.id[..1];
            AclEntry::new(entry.perms, "digest", &format!("{user}:x"))
        };
        match &mut world.operation(acl).outcome {
            Outcome::Ok(Answer::Acl(acl, _)) => *acl = own().iter().map(masked).collect(),
            outcome => panic!("{outcome:?}"),
        }
        let refused = world.write(b, set("/own", "1"));
        assert_eq!(world.operation(refused).outcome, Outcome::Error(-102));
        world.check_good();
    }

    #[test]
    fn data_shown_to_strangers_is_seen() {
        let (mut world, [_, b, _]) = world();
        world.history.secrets.clear();
        world.read(b, get("/own"));
        world.check_breaks(Property::Acl);
    }

    #[test]
    fn a_hash_shown_without_admin_is_seen() {
        let (mut world, [_, _, c]) = world();
        world.read(
            c,
            Request::GetAcl {
                path: "/own".into(),
            },
        );
        world.check_breaks(Property::Acl);
    }

    #[test]
    fn a_secret_in_any_answer_is_seen() {
        let (mut world, [a, b, _]) = world();
        world.write(a, create("/open"));
        let leaks = [
            Answer::Data(Some(b"a tag!".as_slice().into()), Stat::default()),
            Answer::Children(vec!["tag".into()], None),
            Answer::Path("/tag".into()),
        ];
        for leak in leaks {
            let read = world.read(b, children("/open"));
            world.operation(read).outcome = Outcome::Ok(leak);
            world.check_breaks(Property::Acl);
            world.operation(read).outcome = Outcome::Ok(Answer::Done);
            world.check_good();
        }
    }

    #[test]
    fn an_event_of_a_hidden_znode_is_seen() {
        let (mut world, [a, b, _]) = world();
        world.history.secrets.clear();
        world.write(a, set("/own", "1"));
        world.event(b, EventKind::DataChanged, "/own");
        world.check_breaks(Property::Acl);
    }

    #[test]
    fn each_part_of_a_multi_has_the_acl_of_its_own_moment() {
        let (mut world, [a, b, _]) = world();
        world.history.secrets.clear();
        let path: Arc<str> = "/".into();
        let recursive = true;
        world.read(b, Request::AddWatch { path, recursive });
        let mut hidden = create("/n");
        if let Request::Create { acl, .. } = &mut hidden {
            *acl = own();
        }
        world.write(a, Request::Multi(vec![create("/n"), delete("/n"), hidden]));
        world.event(b, EventKind::Created, "/n");
        world.event(b, EventKind::Deleted, "/n");
        world.check_good();
        world.write(a, set("/n", "1"));
        world.event(b, EventKind::DataChanged, "/n");
        world.check_breaks(Property::Acl);
    }
}
