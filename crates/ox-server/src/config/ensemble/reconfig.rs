//! What a server needs to know whose ensemble may be changed while it runs.
//!
//! Source: `QuorumPeerConfig.parse`; operations.md 1.11, quorum.md 11.2.

use std::io::ErrorKind;
use std::path::PathBuf;

use ox_proto::{EnsembleConfig, ReconfigRules, ServerId};
use ox_store::ConfigFiles;

use super::super::problem::Origin;
use super::super::reader::{Place, Reader};

/// `reconfigEnabled` in an ensemble.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconfig {
    /// Where the members are written down when they change.
    pub files: ConfigFiles,
    /// The members stand in the static file itself, which no change has come to yet.
    pub in_static_file: bool,
    /// What was proposed and not in force when this server stopped.
    pub proposed: Option<EnsembleConfig>,
    /// What may be asked for.
    pub rules: ReconfigRules,
}

impl Reconfig {
    /// `None` where it is off, or where there is no file to change.
    pub(super) fn read(reader: &mut Reader, own: ServerId, rules: ReconfigRules) -> Option<Self> {
        let Origin::File(path) = reader.whole.clone() else {
            return None;
        };
        if !reader.boolean("reconfigEnabled", false) {
            return None;
        }
        let files = ConfigFiles { path, own };
        Some(Self {
            proposed: proposed(reader, files.next_path()),
            in_static_file: reader.text("dynamicConfigFile", Place::File).is_none(),
            files,
            rules,
        })
    }
}

/// As in Java a file that cannot be read is none.
fn proposed(reader: &mut Reader, path: PathBuf) -> Option<EnsembleConfig> {
    let reason = match std::fs::read_to_string(&path) {
        Ok(text) => match EnsembleConfig::parse(&text) {
            Ok(config) => return Some(config),
            Err(error) => error.to_string(),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => error.to_string(),
    };
    reader.warn(
        Origin::File(path),
        "",
        format!("not taken into account: {reason}"),
    );
    None
}
