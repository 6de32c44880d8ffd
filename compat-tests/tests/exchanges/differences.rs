//! The one table of intended differences: where Oxkeeper does not answer as the capture has it.
//!
//! Oxkeeper answers as 3.9.5 does; so the captures of 3.8.0 differ where the two versions do. And
//! some answers of both are not worth having (the protocol's "do not mimic").

use std::collections::BTreeMap;

use compat_tests::server::Kind;
use compat_tests::suite::say;

use crate::Item;
use crate::reply::Expectation;

/// One exchange whose outcome is meant to differ from the capture.
pub(crate) struct Difference {
    pub(crate) item: &'static str,
    why: &'static str,
    outcome: Outcome,
    /// (first captured zxid that is moved, by how much): what is not executed takes no zxid, and
    /// so all later ones come earlier.
    pub(crate) moves: &'static [(i64, i64)],
}

/// What has to come instead.
enum Outcome {
    /// The bytes of the same exchange with 3.9.5, whose zxids lie this far from this run's.
    As395(i64),
    /// Nothing, and the connection is closed.
    Closed,
    /// One header-only reply with this xid, zxid and error.
    Header {
        xid: i32,
        zxid: i64,
        error: i32,
        closes: bool,
    },
}

const EVENT_ZXID: &str = "since 3.9.0 an event carries the zxid of its transaction";
const INTERNAL: &str = "an internal opcode: refused from clients, and the connection is closed";

/// The captured answer is a header where a connect response belongs, on a connection that is no use.
const NO_SESSION: &str =
    "do not mimic: without local sessions a read-only server has none to give, and closes";

/// -6, with the zxid of a request that never entered the pipeline, and close.
const UNIMPLEMENTED: Outcome = Outcome::Header {
    xid: 1,
    zxid: -1,
    error: -6,
    closes: true,
};

pub(crate) const DIFFERENCES: &[Difference] = &[
    version(
        "multi_ok",
        "since 3.9.0 a create2 inside a multi is answered with its Stat",
        0,
    ),
    version("event_node_data_changed", EVENT_ZXID, 0),
    version("event_created_and_children_changed", EVENT_ZXID, 0),
    version("event_deleted_coalesced", EVENT_ZXID, 0),
    version("create_own_watch_order", EVENT_ZXID, 0),
    version("events_persistent", EVENT_ZXID, 0),
    version("events_persistent_recursive", EVENT_ZXID, 0),
    version("events_after_close_session", EVENT_ZXID, 0x6f - 0x75),
    Difference {
        item: "exists_no_auth_380",
        why: "since 3.9.2 exists needs READ: NoAuth",
        outcome: Outcome::Header {
            xid: 73,
            zxid: 77,
            error: -102,
            closes: false,
        },
        moves: &[],
    },
    Difference {
        item: "err_check_toplevel_380",
        why: "do not mimic: 3.8.0 applies it and never answers; since 3.9.3 as an unknown opcode",
        outcome: UNIMPLEMENTED,
        moves: &[],
    },
    // The request and the closeSession that follows it on the same connection take no zxid.
    Difference {
        item: "delete_container_client_380",
        why: INTERNAL,
        outcome: UNIMPLEMENTED,
        moves: &[(101, -1), (102, -1)],
    },
    Difference {
        item: "create_session_client",
        why: INTERNAL,
        outcome: UNIMPLEMENTED,
        moves: &[(104, -1), (105, -1)],
    },
    Difference {
        item: "delete_container_client_395",
        why: INTERNAL,
        outcome: UNIMPLEMENTED,
        moves: &[(106, -1), (107, -1)],
    },
    Difference {
        item: "create_session_client_395",
        why: INTERNAL,
        outcome: UNIMPLEMENTED,
        moves: &[(109, -1), (110, -1)],
    },
    Difference {
        item: "err_ro_connect_no_local_sessions",
        why: NO_SESSION,
        outcome: Outcome::Closed,
        moves: &[],
    },
    Difference {
        item: "err_ro_connect_no_local_sessions_395",
        why: NO_SESSION,
        outcome: Outcome::Closed,
        moves: &[],
    },
];

const fn version(item: &'static str, why: &'static str, zxids_off_by: i64) -> Difference {
    Difference {
        item,
        why,
        outcome: Outcome::As395(zxids_off_by),
        moves: &[],
    }
}

/// The difference an item is meant to have, if any. The real 3.9.5 has those of the versions only.
pub(crate) fn intended(item: &str) -> Option<&'static Difference> {
    let ours = Kind::under_test() == Kind::Oxkeeper;
    DIFFERENCES
        .iter()
        .find(|difference| difference.item == item && (ours || !difference.is_ours()))
}

/// Prints the table.
pub(crate) fn print(items: &BTreeMap<&str, &Item>) {
    for Difference { item, why, .. } in DIFFERENCES {
        assert!(items.contains_key(item), "{item} is not an exchange");
        say(format!("   intended difference: {item}: {why}"));
    }
}

impl Difference {
    /// Whether 3.9.5 does not answer like that either.
    fn is_ours(&self) -> bool {
        [INTERNAL, NO_SESSION].contains(&self.why)
    }

    pub(crate) fn expectation(&self, items: &BTreeMap<&str, &Item>) -> Expectation {
        match self.outcome {
            Outcome::As395(zxids_off_by) => {
                let item = items[format!("{}_395", self.item).as_str()];
                let captured = Expectation::captured(&item.received_hex, item.server_closes);
                Expectation {
                    zxids_off_by,
                    ..captured
                }
            }
            Outcome::Closed => Expectation {
                frames: Vec::new(),
                closes: true,
                zxids_off_by: 0,
            },
            Outcome::Header {
                xid,
                zxid,
                error,
                closes,
            } => {
                let mut frame = xid.to_be_bytes().to_vec();
                frame.extend(zxid.to_be_bytes());
                frame.extend(error.to_be_bytes());
                Expectation {
                    frames: vec![frame],
                    closes,
                    zxids_off_by: 0,
                }
            }
        }
    }
}
