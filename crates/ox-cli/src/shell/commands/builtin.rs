//! Commands about the shell and its session.

use bytes::Bytes;

use super::{Failure, Outcome, Parsed, Shell};

/// What `version` tells: first the release whose shell this one stands in for.
const VERSION: &str = concat!("3.9.5-oxkeeper-", env!("CARGO_PKG_VERSION"));

pub(super) async fn add_auth(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let [scheme, rest @ ..] = &parsed.args[..] else {
        return Err(Failure::Usage);
    };
    let auth = rest.first().map(|auth| Bytes::from(auth.clone()));
    shell.add_auth(scheme, auth).await
}

pub(super) async fn connect(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    shell.connect(parsed.arg(0)).await;
    Ok(())
}

pub(super) async fn close(shell: &mut Shell) -> Outcome {
    shell.alive()?;
    shell.close().await;
    Ok(())
}

pub(super) async fn quit(shell: &mut Shell) -> Outcome {
    shell.close().await;
    shell.quits = true;
    // The shell ends with the exit code of the command before.
    Err(Failure::Silent)
}

/// The last eleven lines, this one included. A command run once has no lines, and Java's shell
/// then shows a null.
pub(super) fn history(shell: &Shell) -> Outcome {
    const SHOWN: usize = 11;
    if shell.history.is_empty() {
        shell.console.out("0 - null");
    }
    let first = shell.history.len().saturating_sub(SHOWN);
    for (place, line) in shell.history.iter().enumerate().skip(first) {
        shell.console.out(&format!("{place} - {line}"));
    }
    Ok(())
}

/// Runs an earlier line; it then stands in the history in place of this one.
pub(super) async fn redo(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let Some(place) = parsed.arg(0) else {
        return Ok(());
    };
    let Ok(place) = place.parse::<i64>() else {
        return Err(Failure::Text(format!("redo: {place} is not a number")));
    };
    let Some((this, earlier)) = shell.history.split_last_mut() else {
        return Err(out_of_range());
    };
    let line = usize::try_from(place)
        .ok()
        .and_then(|place| earlier.get(place))
        .ok_or_else(out_of_range)?;
    let words = crate::shell::line::words(line);
    if words.first().is_some_and(|name| name == "redo") {
        return Err(Failure::Text("No redoing redos".into()));
    }
    this.clone_from(line);
    Box::pin(shell.run(&words)).await;
    Err(Failure::Silent)
}

fn out_of_range() -> Failure {
    Failure::Text("Command index out of range".into())
}

pub(super) fn print_watches(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    match parsed.arg(0) {
        Some(word) => shell.prints_watches = word == "on",
        None => {
            let state = if shell.prints_watches { "on" } else { "off" };
            shell.console.out(&format!("printwatches is {state}"));
        }
    }
    Ok(())
}

pub(super) fn version(shell: &Shell) -> Outcome {
    shell.alive()?;
    shell
        .console
        .out(&format!("ZooKeeper CLI version: {}", VERSION));
    Ok(())
}

pub(super) async fn who_am_i(shell: &mut Shell) -> Outcome {
    let client = shell.client().await?;
    let ids = client
        .who_am_i()
        .await
        .map_err(|error| Failure::Request { error, path: None })?;
    shell.console.out("Auth scheme: User");
    for id in ids {
        shell
            .console
            .out(&format!("{}: {}", id.auth_scheme, id.user));
    }
    Ok(())
}
