//! Commands that look at znodes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ox_client::{Client, Error};
use ox_proto::{ErrorCode, path};
use tokio::time::{Duration, timeout};

use super::{Failure, Outcome, Parsed, Shell, note_deprecated};
use crate::shell::{format, paths};

pub(super) async fn get(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let (path, old) = path_and_more(parsed)?;
    if old {
        note_deprecated(shell, "get path [watch]", "get [-s] [-w] path");
    }
    paths::check(path)?;
    let watch = old || parsed.has("w");
    let client = shell.client_for(path).await?;
    let node = client
        .data(path, watch)
        .await
        .map_err(Failure::about(path))?;
    if watch {
        shell.watches.data.insert(path.to_owned());
    }
    // A znode without data shows as this word, in whichever form.
    let data = node.data.as_deref().unwrap_or(b"null");
    let text = if parsed.has("b") {
        STANDARD.encode(data)
    } else if parsed.has("x") {
        format::hex_dump(data)
    } else {
        String::from_utf8_lossy(data).into_owned()
    };
    shell.console.out(&text);
    if parsed.has("s") {
        shell.print_stat(&node.stat);
    }
    Ok(())
}

pub(super) async fn stat(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let (path, old) = path_and_more(parsed)?;
    if old {
        note_deprecated(shell, "stat path [watch]", "stat [-w] path");
    }
    paths::check(path)?;
    let watch = old || parsed.has("w");
    let client = shell.client_for(path).await?;
    let stat = client
        .exists(path, watch)
        .await
        .map_err(Failure::about(path))?;
    if watch {
        let watches = &mut shell.watches;
        let paths = match stat {
            Some(_) => &mut watches.data,
            None => &mut watches.exist,
        };
        paths.insert(path.to_owned());
    }
    match stat {
        Some(stat) => {
            shell.print_stat(&stat);
            Ok(())
        }
        None => Err(Failure::about(path)(Error::Server(ErrorCode::NoNode))),
    }
}

pub(super) async fn ls(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let (path, old) = path_and_more(parsed)?;
    if old {
        note_deprecated(shell, "ls path [watch]", "ls [-w] path");
    }
    paths::check(path)?;
    let watch = old || parsed.has("w");
    let client = shell.client_for(path).await?;
    if parsed.has("R") {
        return list_subtree(shell, &client, path, watch).await;
    }
    let listing = client
        .children(path, watch)
        .await
        .map_err(Failure::about(path))?;
    if watch {
        shell.watches.child.insert(path.to_owned());
    }
    let mut children = listing.children;
    children.sort();
    shell.console.out(&format::list(&children));
    if parsed.has("s") {
        shell.print_stat(&listing.stat);
    }
    Ok(())
}

/// A path a line: of each znode all its children, then what is below the first of them, and so on.
async fn list_subtree(shell: &mut Shell, client: &Client, top: &str, watch: bool) -> Outcome {
    let mut pending = vec![top.to_owned()];
    while let Some(parent) = pending.pop() {
        let listing = match client.children(&parent, watch).await {
            Ok(listing) => listing,
            // It went away meanwhile.
            Err(Error::Server(ErrorCode::NoNode)) if parent != top => continue,
            Err(error) => return Err(Failure::about(top)(error)),
        };
        if watch {
            shell.watches.child.insert(parent.clone());
        }
        if parent == top {
            shell.console.out(top);
        }
        let mut children: Vec<_> = listing
            .children
            .iter()
            .map(|name| path::child(&parent, name))
            .collect();
        children.sort();
        for child in &children {
            shell.console.out(child);
        }
        pending.extend(children.into_iter().rev());
    }
    Ok(())
}

pub(super) async fn sync(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    const PATIENCE: Duration = Duration::from_secs(30);
    let (path, _) = path_and_more(parsed)?;
    paths::check(path)?;
    let client = shell.client_for(path).await?;
    match timeout(PATIENCE, client.sync(path)).await {
        Ok(Ok(())) => shell.console.out("Sync is OK"),
        Ok(Err(error)) => {
            let code = error.code().unwrap_or(ErrorCode::SystemError).code();
            shell.console.out(&format!("Sync has failed. rc={code}"));
        }
        Err(_) => {
            return Err(Failure::Text(format!(
                "Sync of {path} has not been answered within {} s",
                PATIENCE.as_secs()
            )));
        }
    }
    Ok(())
}

pub(super) async fn ephemerals(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = parsed.arg(0).unwrap_or(path::ROOT);
    paths::check(path)?;
    let client = shell.client_for(path).await?;
    let found = client
        .ephemerals(path)
        .await
        .map_err(Failure::about(path))?;
    shell.console.out(&format::list(&found));
    Ok(())
}

pub(super) async fn all_children_number(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let (path, _) = path_and_more(parsed)?;
    paths::check(path)?;
    let client = shell.client_for(path).await?;
    let number = client
        .all_children_number(path)
        .await
        .map_err(Failure::about(path))?;
    shell.console.out(&number.to_string());
    Ok(())
}

/// The path, and whether something follows it: once that asked for a watch.
fn path_and_more(parsed: &Parsed) -> Result<(&str, bool), Failure> {
    match &parsed.args[..] {
        [] => Err(Failure::Usage),
        [path] => Ok((path, false)),
        [path, ..] => Ok((path, true)),
    }
}
