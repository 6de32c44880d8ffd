//! Reads stores again when they have changed, or when SIGHUP asks for it.
//!
//! New connections have what was read last; those that are there stay as they are. Source:
//! `FileChangeWatcher.java`, `QuorumPeerMain`; operations.md 7.7.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ox_proto::EnsembleConfig;
use ox_tls::{Context, Hosts, LoadError, QuorumTls};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::shared::Shared;

/// Between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(1);

/// TLS between servers, as configured.
pub(crate) fn quorum_tls(config: &Config) -> Result<Option<Arc<QuorumTls>>, LoadError> {
    let (Some(tls), Some(ensemble)) = (&config.tls.quorum, &config.ensemble) else {
        return Ok(None);
    };
    let reconfig = ensemble.reconfig.as_ref();
    let proposed = reconfig.and_then(|reconfig| reconfig.proposed.as_ref());
    Ok(Some(Arc::new(QuorumTls {
        context: Arc::new(Context::load(tls.settings.clone())?),
        dials_tls: tls.dials_tls,
        takes_plain: tls.takes_plain,
        detection: tls.detection,
        hosts: Hosts::new(hosts([Some(&ensemble.members), proposed])),
    })))
}

/// Where the servers of some configurations are.
pub(crate) fn hosts<'a>(
    configs: impl IntoIterator<Item = Option<&'a EnsembleConfig>>,
) -> impl Iterator<Item = String> {
    let members = configs.into_iter().flatten();
    let members = members.flat_map(|config| config.members.values());
    let addresses = members.flat_map(|member| &member.addresses);
    let hosts: BTreeSet<_> = addresses.map(|address| address.host.clone()).collect();
    hosts.into_iter()
}

/// Looks after the stores until the server stops.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let client = shared
        .door
        .iter()
        .map(|door| ("clients", Arc::clone(&door.context)));
    let quorum = shared
        .quorum_tls
        .iter()
        .map(|tls| ("servers", Arc::clone(&tls.context)));
    let contexts: Vec<_> = client.chain(quorum).collect();
    if contexts.is_empty() {
        return;
    }
    let mut hang_up = match signal(SignalKind::hangup()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::error!(%error, "SIGHUP cannot be heard: stores are not read again");
            return;
        }
    };
    loop {
        let asked = tokio::select! {
            () = stop.cancelled() => return,
            _ = hang_up.recv() => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        for (whose, context) in &contexts {
            reload(whose, Arc::clone(context), asked).await;
        }
    }
}

async fn reload(whose: &'static str, context: Arc<Context>, asked: bool) {
    match spawn_blocking(move || context.reload(asked)).await {
        Ok(Ok(false)) => {}
        Ok(Ok(true)) => tracing::info!("keys and certificates for {whose} have been read again"),
        Ok(Err(error)) => tracing::error!(
            "keys and certificates for {whose} cannot be read again, those from before stay: {error}"
        ),
        // The runtime is shutting down.
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_in_force_and_those_proposed() {
        let config = |text| EnsembleConfig::parse(text).unwrap();
        let committed = config("server.1=a:1:2|b:1:2\nserver.2=c:1:2:observer");
        let proposed = config("server.1=a:1:2\nserver.3=d:1:2");
        let found: Vec<_> = hosts([Some(&committed), Some(&proposed)]).collect();
        assert_eq!(found, ["a", "b", "c", "d"]);
        assert_eq!(
            hosts([Some(&proposed), None]).collect::<Vec<_>>(),
            ["a", "d"]
        );
    }
}
