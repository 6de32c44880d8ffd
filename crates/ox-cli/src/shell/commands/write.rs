//! Commands that make, change and delete znodes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ox_client::{Client, Creation, Error, OpResult};
use ox_proto::{Acl, CreateMode, DeleteRequest, ErrorCode, MultiOp, path};

use super::acl::parse_acl;
use super::{Failure, Outcome, Parsed, Shell, note_deprecated, number, version};
use crate::shell::failure::code_message;
use crate::shell::paths;

/// The longest time to live that a TTL node can have, in milliseconds.
const MAX_TTL: i64 = (1 << 40) - 1;

pub(super) async fn create(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let (mode, ttl_ms) = mode(parsed)?;
    let path = parsed.arg(0).ok_or(Failure::Usage)?;
    let acl = match parsed.arg(2) {
        Some(text) => parse_acl(shell, text),
        None => vec![Acl::world(Acl::ALL)],
    };
    // A number will follow, so the path may end with a slash.
    match mode.is_sequential() {
        true => paths::check(&format!("{path}1"))?,
        false => paths::check(path)?,
    }
    if acl.is_empty() {
        return Err(invalid_acl(shell, None));
    }
    let creation = Creation {
        path: path.to_owned(),
        data: parsed.arg(1).map(|data| Bytes::from(data.to_owned())),
        acl,
        mode,
        ttl_ms,
    };
    let client = shell.client_for(path).await?;
    match client.create(creation).await {
        Ok((created, _)) => {
            shell.console.err(&format!("Created {created}"));
            Ok(())
        }
        Err(Error::Server(ErrorCode::InvalidAcl)) => Err(invalid_acl(shell, Some(path))),
        Err(error) => Err(Failure::about(path)(error)),
    }
}

/// This one failure is told twice.
fn invalid_acl(shell: &Shell, path: Option<&str>) -> Failure {
    let error = Error::Server(ErrorCode::InvalidAcl);
    shell.console.err(&code_message(&error, path));
    Failure::Request {
        error,
        path: path.map(str::to_owned),
    }
}

/// The mode that the options ask for, and the time to live.
fn mode(parsed: &Parsed) -> Result<(CreateMode, i64), Failure> {
    let refuse = |text: &str| Err(Failure::Text(text.to_owned()));
    let (ephemeral, sequential) = (parsed.has("e"), parsed.has("s"));
    let container = parsed.has("c");
    if container && (ephemeral || sequential) {
        return refuse(
            "-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.",
        );
    }
    let Some(ttl) = number(parsed, "t", "a long")? else {
        let mode = match (ephemeral, sequential) {
            _ if container => CreateMode::Container,
            (false, false) => CreateMode::Persistent,
            (false, true) => CreateMode::PersistentSequential,
            (true, false) => CreateMode::Ephemeral,
            (true, true) => CreateMode::EphemeralSequential,
        };
        return Ok((mode, -1));
    };
    if ephemeral {
        return refuse("TTLs cannot be used with Ephemeral znodes");
    }
    if container {
        return refuse("TTLs cannot be used with Container znodes");
    }
    if !(1..=MAX_TTL).contains(&ttl) {
        return Err(Failure::Text(format!(
            "ttl must be positive and cannot be larger than: {MAX_TTL}"
        )));
    }
    let mode = match sequential {
        true => CreateMode::PersistentSequentialWithTtl,
        false => CreateMode::PersistentWithTtl,
    };
    Ok((mode, ttl))
}

pub(super) async fn set(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let [path, data, ..] = &parsed.args[..] else {
        return Err(Failure::Usage);
    };
    let data = match parsed.has("b") {
        true => STANDARD
            .decode(data)
            .map_err(|error| Failure::Text(format!("-b needs data in base64: {error}")))?,
        false => data.clone().into_bytes(),
    };
    let version = version(parsed)?;
    paths::check(path)?;
    let client = shell.client_for(path).await?;
    let stat = client
        .set_data(path, Some(data.into()), version)
        .await
        .map_err(Failure::about(path))?;
    if parsed.has("s") {
        shell.print_stat(&stat);
    }
    Ok(())
}

pub(super) async fn delete(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let [path, rest @ ..] = &parsed.args[..] else {
        return Err(Failure::Usage);
    };
    // The version of the old form is not looked at, as in Java's shell.
    if !rest.is_empty() {
        note_deprecated(shell, "delete path [version]", "delete [-v version] path");
    }
    let version = version(parsed)?;
    paths::check(path)?;
    let client = shell.client_for(path).await?;
    client
        .delete(path, version)
        .await
        .map_err(Failure::about(path))
}

pub(super) async fn delete_all(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    const BATCH: usize = 1000;
    let path = parsed.arg(0).ok_or(Failure::Usage)?;
    let batch = match number::<i32>(parsed, "b", "an int")? {
        // Without a useful size there is one batch.
        Some(size) => usize::try_from(size)
            .ok()
            .filter(|&size| 0 < size)
            .unwrap_or(usize::MAX),
        None => BATCH,
    };
    paths::check(path)?;
    let client = shell.client_for(path).await?;
    let mut doomed = subtree(&client, path).await?;
    // Breadth first, backwards: nothing goes before what is below it.
    doomed.reverse();
    for paths in doomed.chunks(batch) {
        let ops: Vec<_> = paths
            .iter()
            .map(|path| {
                MultiOp::Delete(DeleteRequest {
                    path: client.absolute(path),
                    version: -1,
                })
            })
            .collect();
        let results = client.multi(&ops).await.map_err(Failure::about(path))?;
        if results
            .iter()
            .any(|result| matches!(result, OpResult::Error(_)))
        {
            return Err(Failure::Text(
                "Failed to delete some node(s) in the subtree!".into(),
            ));
        }
    }
    Ok(())
}

/// `top` and everything below it, breadth first.
async fn subtree(client: &Client, top: &str) -> Result<Vec<String>, Failure> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while let Some(parent) = found.get(next).cloned() {
        next += 1;
        match client.children(&parent, false).await {
            Ok(listing) => {
                let children = listing.children.iter();
                found.extend(children.map(|name| path::child(&parent, name)));
            }
            // It went away meanwhile.
            Err(Error::Server(ErrorCode::NoNode)) if parent != top => {}
            Err(error) => return Err(Failure::about(&parent)(error)),
        }
    }
    Ok(found)
}
