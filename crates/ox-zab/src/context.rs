//! What a role works with besides its own state.

use std::collections::VecDeque;
use std::sync::Arc;

use ox_proto::{EnsembleConfig, PacketType, QuorumPacket, Zxid};

use crate::configs::{Activated, Configs};
use crate::event::{DiskRequest, LinkId, Output};
use crate::history::History;
use crate::settings::ZabSettings;

/// The epochs that are on stable storage.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Epochs {
    /// The newest epoch that this server has promised to.
    pub accepted: u32,
    /// The epoch whose initial history this server holds; `None` on a server that must not vote
    /// until it has been synchronized.
    pub current: Option<u32>,
}

impl Epochs {
    /// The last epoch whose zxids are not negative.
    pub(crate) const LAST: u32 = 0x7fff_ffff;

    /// The current epoch as packets and votes carry it; -1 is none.
    pub(crate) fn current_code(self) -> i64 {
        self.current.map_or(-1, i64::from)
    }
}

/// The surroundings of one call.
pub(crate) struct Context<'a> {
    /// Monotonic milliseconds.
    pub(crate) now: i64,
    pub(crate) settings: &'a ZabSettings,
    pub(crate) configs: &'a mut Configs,
    pub(crate) epochs: Epochs,
    /// Our log could not be cut where a leader wanted it.
    pub(crate) wants_state: bool,
    pub(crate) history: &'a mut History,
    pub(crate) outputs: &'a mut VecDeque<Output>,
    /// Requests that the disk has not answered.
    pub(crate) disk_requests: &'a mut usize,
}

impl Context<'_> {
    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn disk(&mut self, request: DiskRequest) {
        *self.disk_requests += 1;
        self.output(Output::Disk(request));
    }

    /// Notes a configuration that was proposed, or that a new leader goes by.
    pub(crate) fn see(&mut self, config: EnsembleConfig) {
        if !self.configs.see(config) {
            return;
        }
        let config = Arc::clone(self.configs.last_seen());
        if self.configs.is_pending() {
            tracing::info!("configuration {:x} is proposed", config.version);
            self.disk(DiskRequest::NoteConfig(config));
        } else {
            tracing::info!(
                "what was proposed instead of configuration {:x} is void",
                config.version
            );
            // With that the note goes.
            self.disk(DiskRequest::EnterConfig(config));
        }
        self.tell_members();
    }

    /// Puts a configuration in force. `None` if that changes nothing but its version.
    pub(crate) fn activate(&mut self, config: &Arc<EnsembleConfig>) -> Option<Activated> {
        let activated = self.configs.activate(config)?;
        tracing::info!("configuration {:x} is in force:\n{config}", config.version);
        self.disk(DiskRequest::EnterConfig(Arc::clone(config)));
        self.tell_members();
        activated.differs(config).then_some(activated)
    }

    /// Says where the members are.
    pub(crate) fn tell_members(&mut self) {
        let committed = Arc::clone(self.configs.committed());
        let last_seen = Arc::clone(self.configs.last_seen());
        self.output(Output::Members {
            committed,
            last_seen,
        });
    }

    pub(crate) fn send(&mut self, link: LinkId, packet: QuorumPacket) {
        self.output(Output::Send { link, packet });
    }

    pub(crate) fn send_bare(&mut self, link: LinkId, r#type: PacketType, zxid: Zxid) {
        self.send(link, QuorumPacket::bare(r#type, zxid));
    }

    pub(crate) fn close(&mut self, link: LinkId) {
        self.output(Output::Close { link });
    }
}
