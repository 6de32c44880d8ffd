//! Requests to change the members of the ensemble, and the configuration that the tree shows.
//!
//! Invariant: `/zookeeper/config` holds the text of the configuration in force whenever clients are
//! served. Source: `PrepRequestProcessor.pRequest2Txn`, case `reconfig`,
//! `QuorumPeer.initConfigInZKDatabase`; quorum.md 11.1 and 11.2.

use ox_proto::{
    EnsembleConfig, ErrorCode, Id, ReconfigError, ReconfigRequest, SessionId, Txn, path,
};
use ox_tree::DataTree;

use crate::core::{Core, Now, Origin};
use crate::database::Database;

impl Core {
    /// Proposes what a client asks for, or its refusal. `allowed` says whether its session may write.
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the parts of a transaction"
    )]
    pub(crate) fn reconfig(
        &mut self,
        now: Now,
        database: &Database,
        session: SessionId,
        cxid: i32,
        ids: &[Id],
        origin: Option<Origin>,
        allowed: Result<(), ErrorCode>,
        request: &ReconfigRequest,
    ) {
        let planned = self.plan_reconfig(now, request);
        // Java looks at the session behind this and in front of all else.
        let allowed = match planned {
            Err(ReconfigError::Disabled) => Ok(()),
            _ => allowed,
        };
        if let (Ok(()), Err(error)) = (allowed, &planned) {
            tracing::warn!(%session, "Reconfig failed - {error}");
        }
        self.propose(now, database, session, cxid, ids, origin, |prep, cx| {
            allowed?;
            let config = planned.map_err(|error| error.code())?;
            prep.reconfig(cx, config)
        });
    }

    fn plan_reconfig(
        &self,
        now: Now,
        request: &ReconfigRequest,
    ) -> Result<EnsembleConfig, ReconfigError> {
        if !self.settings.reconfig_enabled {
            return Err(ReconfigError::Disabled);
        }
        if self.peer.is_alone() {
            return Err(ReconfigError::Standalone);
        }
        self.peer.plan_reconfig(now.monotonic_ms, request)
    }
}

/// The configuration that a transaction puts in the place of the present one.
pub(crate) fn config_of(txn: &Txn) -> Option<EnsembleConfig> {
    let Txn::Reconfig(txn) = txn else {
        return None;
    };
    parse(txn.data.as_deref().unwrap_or_default())
}

/// The configuration that the tree shows, if a reconfiguration or a start of an ensemble has put it
/// there: then its version is the znode's.
pub(crate) fn config_in(tree: &DataTree) -> Option<EnsembleConfig> {
    let node = tree.node(path::CONFIG)?;
    let config = parse(node.data()?)?;
    (config.version == node.stat().mzxid && config.voters().count() > 0).then_some(config)
}

fn parse(text: &[u8]) -> Option<EnsembleConfig> {
    EnsembleConfig::parse(std::str::from_utf8(text).ok()?).ok()
}
