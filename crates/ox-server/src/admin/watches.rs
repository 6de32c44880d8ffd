//! `wchs`, `wchc` and `wchp`: the watches on data, counted, by session and by path.
//!
//! Source: operations.md 3.4.

use ox_proto::SessionId;
use ox_session::WatchCounts;

/// The answer to `wchs`.
pub fn wchs(counts: WatchCounts) -> String {
    let WatchCounts {
        clients,
        paths,
        watches,
    } = counts;
    format!("{clients} connections watching {paths} paths\nTotal watches:{watches}\n")
}

/// The answer to `wchc`: what each session watches.
pub fn wchc<'a, P>(sessions: impl IntoIterator<Item = (SessionId, P)>) -> String
where
    P: IntoIterator<Item = &'a str>,
{
    let mut out = String::new();
    for (session, paths) in sessions {
        out += &format!("{session}\n");
        for path in paths {
            out += &format!("\t{path}\n");
        }
    }
    out + "\n"
}

/// The answer to `wchp`: who watches each path.
pub fn wchp<'a, S>(paths: impl IntoIterator<Item = (&'a str, S)>) -> String
where
    S: IntoIterator<Item = SessionId>,
{
    let mut out = String::new();
    for (path, sessions) in paths {
        out += &format!("{path}\n");
        for session in sessions {
            out += &format!("\t{session}\n");
        }
    }
    out + "\n"
}
