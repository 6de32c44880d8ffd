//! What an operator asks the server for: the four-letter words, and the numbers behind them.
//!
//! Every function here is a pure one, from a value that the server fills in to the text that goes
//! out, except those that say "of this process". Invariant: the texts are those of ZooKeeper, byte
//! for byte, and `mntr` has the keys everybody wants in its first 2 KiB, for there are tools that
//! read no further. Source: operations.md chapter 3.
//!
//! | word | text |
//! | --- | --- |
//! | `ruok` `srst` `crst` | [`RUOK`], [`SRST`], [`CRST`] |
//! | `isro` | [`ISRO`], [`ISRO_READ_ONLY`] or [`ISRO_NOT_SERVING`] |
//! | `gtmk` `stmk` | [`trace_mask`] |
//! | `srvr` `stat` `mntr` | [`srvr`], [`stat`], [`mntr`] |
//! | `conf` `cons` `dump` `dirs` | [`conf()`], [`cons`], [`dump()`], [`dirs`] |
//! | `wchs` `wchc` `wchp` `hash` | [`wchs`], [`wchc`], [`wchp`], [`hash`] |
//! | `envi` | [`envi`] |
//! | any, refused | [`Word::refusal`], [`Word::not_serving`] |

mod conf;
mod connections;
mod dump;
mod environment;
mod java_text;
pub mod metrics;
mod process;
mod server;
mod watches;
mod word;

pub use conf::{ConfReport, DirectorySizes, MemberReport, conf, dirs};
pub use connections::{Answered, ConnectionReport, ConnectionStats, SessionReport, cons};
pub use dump::{GlobalSessions, SessionDump, dump, hash};
pub use environment::{Environment, envi};
pub use process::{directory_size, max_open_files, open_files};
pub use server::{LeaderReport, PeerReport, Report, mntr, srvr, stat};
pub use watches::{wchc, wchp, wchs};
pub use word::{
    CRST, DEFAULT_TRACE_MASK, ISRO, ISRO_NOT_SERVING, ISRO_READ_ONLY, RUOK, SRST, Word, trace_mask,
};

/// The version, as `srvr`, `stat`, `envi` and `mntr` tell it: first the release of ZooKeeper that
/// this server takes the place of, for the sake of clients that read it, then our own, then the
/// date of its release.
pub const VERSION: &str = concat!(
    "3.9.5-oxkeeper-",
    env!("CARGO_PKG_VERSION"),
    ", built on 2026-11-23 00:00 UTC"
);
