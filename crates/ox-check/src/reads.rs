//! What a read must answer from a given state.
//!
//! Source: client-protocol.md 4.5.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::access::{ADMIN, Identities, READ};
use crate::case::Case;
use crate::history::Operation;
use crate::model::Node;
use crate::request::{Answer, Outcome, Request, error};

/// Why an answer does not fit a state.
pub(crate) type Misfit = String;

/// Codes that say nothing of the tree.
pub(crate) fn is_beside_the_tree(code: i32) -> bool {
    matches!(
        code,
        error::MARSHALLING_ERROR
            | error::UNIMPLEMENTED
            | error::BAD_ARGUMENTS
            | error::SESSION_EXPIRED
            | error::SESSION_MOVED
            | error::NOT_READ_ONLY
            | error::AUTH_REQUIRED
            | error::THROTTLED
    )
}

/// Whether a request's answer tells of the tree.
pub(crate) fn is_judged(request: &Request) -> bool {
    matches!(
        request,
        Request::GetData { .. }
            | Request::Exists { .. }
            | Request::GetChildren { .. }
            | Request::GetAcl { .. }
            | Request::GetAllChildrenNumber { .. }
            | Request::GetEphemerals { .. }
            | Request::MultiRead(_)
    )
}

/// Compares what a read has shown with the state behind so many transactions.
pub(crate) fn compare(case: &Case<'_>, operation: &Operation, count: usize) -> Result<(), Misfit> {
    let reader = Reader {
        case,
        session: operation.session,
        identities: case.identities(operation),
        count,
    };
    reader.compare(&operation.request, &operation.outcome)
}

struct Reader<'a> {
    case: &'a Case<'a>,
    session: i64,
    identities: Identities<'a>,
    count: usize,
}

impl<'a> Reader<'a> {
    fn compare(&self, request: &Request, outcome: &Outcome) -> Result<(), Misfit> {
        let answer = match outcome {
            Outcome::Unknown => return Ok(()),
            Outcome::Error(code) if is_beside_the_tree(*code) => return Ok(()),
            Outcome::Error(code) => return self.error(request, *code),
            Outcome::Ok(Answer::Done) => return Ok(()),
            Outcome::Ok(answer) => answer,
        };
        // Servers write there on their own.
        let path = request.path().map_or("", |path| path);
        if path.starts_with("/zookeeper") {
            return Ok(());
        }
        match (request, answer) {
            (Request::GetData { .. }, Answer::Data(data, stat)) => {
                let node = self.readable(path)?;
                equal("data", data, &node.data)?;
                equal("stat", stat, &node.stat())
            }
            (Request::Exists { .. }, Answer::Stat(stat)) => {
                equal("stat", stat, &self.readable(path)?.stat())
            }
            (Request::GetChildren { .. }, Answer::Children(names, stat)) => {
                let node = self.readable(path)?;
                self.children(path, node, names)?;
                stat.map_or(Ok(()), |stat| equal("stat", &stat, &node.stat()))
            }
            (Request::GetAcl { .. }, Answer::Acl(acl, stat)) => {
                let node = self.node(path)?;
                if !self.identities.may(&node.acl, READ | ADMIN) {
                    return Err(format!("the acl of {path} may not be read"));
                }
                equal("stat", stat, &node.stat())?;
                equal("acl", acl, &self.identities.shown(&node.acl))
            }
            (Request::GetAllChildrenNumber { .. }, Answer::Number(number)) => {
                self.readable(path)?;
                let found = self.case.model.below(path, self.count).count();
                equal(
                    "number",
                    &i64::from(*number),
                    &i64::try_from(found).unwrap_or(-1),
                )
            }
            (Request::GetEphemerals { prefix }, Answer::Paths(paths)) => {
                let mut all = self.case.model.ephemerals_at(self.session, self.count);
                all.retain(|path| path.starts_with(&**prefix));
                let shown: BTreeSet<&str> = paths.iter().map(|path| &**path).collect();
                equal("ephemerals", &shown, &all)
            }
            (Request::MultiRead(parts), Answer::Multi(outcomes)) => {
                equal("parts", &outcomes.len(), &parts.len())?;
                let mut pairs = parts.iter().zip(outcomes);
                pairs.try_for_each(|(part, outcome)| self.compare(part, outcome))
            }
            _ => Err("an answer to something else".to_owned()),
        }
    }

    fn error(&self, request: &Request, code: i32) -> Result<(), Misfit> {
        let Some(path) = request.path() else {
            return Ok(());
        };
        let perms = match request {
            Request::GetAcl { .. } => READ | ADMIN,
            _ => READ,
        };
        let expected = match self.case.model.node_at(path, self.count) {
            None => error::NO_NODE,
            Some(node) if !self.identities.may(&node.acl, perms) => error::NO_AUTH,
            Some(_) => 0,
        };
        equal("error", &code, &expected)
    }

    fn node(&self, path: &str) -> Result<&'a Node, Misfit> {
        let node = self.case.model.node_at(path, self.count);
        node.ok_or_else(|| format!("{path} is not there"))
    }

    fn readable(&self, path: &str) -> Result<&'a Node, Misfit> {
        let node = self.node(path)?;
        if self.identities.may(&node.acl, READ) {
            return Ok(node);
        }
        Err(format!("{path} may not be read"))
    }

    /// Each name is there, none is named twice, and there are no more.
    fn children(&self, path: &str, node: &Node, names: &[Arc<str>]) -> Result<(), Misfit> {
        let prefix = if path == "/" { "" } else { path };
        let unique: BTreeSet<&str> = names.iter().map(|name| &**name).collect();
        let strange = unique.iter().find(|name| {
            let path = format!("{prefix}/{name}");
            self.case.model.node_at(&path, self.count).is_none()
        });
        if let Some(name) = strange {
            return Err(format!("{path} has no child {name}"));
        }
        let shown = i64::try_from(unique.len()).unwrap_or(-1);
        equal("children", &shown, &i64::from(node.children))?;
        equal("names", &names.len(), &unique.len())
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    shown: &T,
    expected: &T,
) -> Result<(), Misfit> {
    if shown == expected {
        return Ok(());
    }
    Err(format!("{what} is {shown:?}, expected {expected:?}"))
}
