//! Commands about watches.

use ox_client::Error;
use ox_proto::{AddWatchMode, ErrorCode, WatcherType};

use super::{Failure, Outcome, Parsed, Shell};
use crate::shell::{format, paths};

pub(super) async fn add(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = parsed.arg(0).ok_or(Failure::Usage)?;
    let mode = match parsed.value("m").map(str::to_uppercase).as_deref() {
        Some("PERSISTENT") => AddWatchMode::Persistent,
        Some("PERSISTENT_RECURSIVE") | None => AddWatchMode::PersistentRecursive,
        Some(_) => return Err(Failure::Usage),
    };
    paths::check(path)?;
    let client = shell.client_for(path).await?;
    client
        .add_watch(path, mode)
        .await
        .map_err(Failure::about(path))?;
    let paths = match mode {
        AddWatchMode::Persistent => &mut shell.watches.persistent,
        AddWatchMode::PersistentRecursive => &mut shell.watches.recursive,
    };
    paths.insert(path.to_owned());
    Ok(())
}

pub(super) async fn remove(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = parsed.arg(0).ok_or(Failure::Usage)?;
    let kind = [
        ("c", WatcherType::Children),
        ("d", WatcherType::Data),
        ("p", WatcherType::Persistent),
        ("r", WatcherType::PersistentRecursive),
    ]
    .into_iter()
    .find(|(option, _)| parsed.has(option))
    .map_or(WatcherType::Any, |(_, kind)| kind);
    paths::check(path)?;
    let client = shell.client_for(path).await?;
    if !shell.watches.contains(path, kind) {
        return Err(Failure::about(path)(Error::Server(ErrorCode::NoWatcher)));
    }
    match client.remove_watches(path, kind).await {
        Ok(()) => {}
        // Whatever the server did, here they are gone.
        Err(_) if parsed.has("l") => {}
        Err(error) => return Err(Failure::about(path)(error)),
    }
    for event in shell.watches.remove(path, kind) {
        shell.tell(&format::removed(event, path));
    }
    Ok(())
}
