//! `cons`, and the lines of connections in `stat`; what a connection counts for them.
//!
//! Source: `ServerCnxn.dumpConnectionInfo`; operations.md 3.3 and 3.4.

use std::net::SocketAddr;

use ox_proto::{OpCode, SessionId, Zxid};

use super::java_text;

/// One connection at one moment.
#[derive(Clone, Debug)]
pub struct ConnectionReport {
    /// The client's address.
    pub peer: SocketAddr,
    /// What the server waits for on its socket: 1 to read, 4 to write, 0 for neither.
    pub interest: u8,
    /// Packets that wait to be written.
    pub queued: usize,
    /// The session, once there is one.
    pub session: Option<SessionReport>,
    /// What it has counted.
    pub stats: ConnectionStats,
}

/// The session of a connection.
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// Its id.
    pub id: SessionId,
    /// When the connection was made, in milliseconds since 1970.
    pub established_ms: i64,
    /// As negotiated on this connection.
    pub timeout_ms: i32,
}

/// What a connection counts of its requests and replies.
#[derive(Clone, Debug, Default)]
pub struct ConnectionStats {
    received: u64,
    sent: u64,
    last_cxid: Option<i32>,
    last: Option<Answered>,
    latency_min_ms: u64,
    latency_max_ms: u64,
    latency_sum_ms: u64,
    answered: u64,
}

/// A request that has had its reply.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// What was asked.
    pub op: OpCode,
    /// The client's number for it; a negative one is not shown.
    pub cxid: i32,
    /// The zxid in the reply.
    pub zxid: Zxid,
    /// When, in milliseconds of whatever clock does not go back.
    pub at_ms: u64,
    /// From arrival to reply.
    pub latency_ms: u64,
}

impl ConnectionStats {
    /// Counts packets that have come in.
    pub fn received(&mut self, packets: u64) {
        self.received += packets;
    }

    /// Counts packets that have gone out, replies and events.
    pub fn sent(&mut self, packets: u64) {
        self.sent += packets;
    }

    /// Notes the latest request that was answered.
    pub fn answered(&mut self, last: Answered) {
        if 0 <= last.cxid {
            self.last_cxid = Some(last.cxid);
        }
        self.latency_min_ms = match self.answered {
            0 => last.latency_ms,
            _ => self.latency_min_ms.min(last.latency_ms),
        };
        self.latency_max_ms = self.latency_max_ms.max(last.latency_ms);
        self.latency_sum_ms = self.latency_sum_ms.saturating_add(last.latency_ms);
        self.answered += 1;
        self.last = Some(last);
    }

    /// Starts anew: `crst`.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// The answer to `cons`.
pub fn cons(connections: &[ConnectionReport]) -> String {
    let mut out = String::new();
    for connection in connections {
        put_counts(&mut out, connection);
        if let Some(session) = &connection.session {
            put_session(&mut out, session, &connection.stats);
        }
        out += ")\n";
    }
    out + "\n"
}

/// The line of a connection in `stat`.
pub(super) fn put_brief(out: &mut String, connection: &ConnectionReport) {
    put_counts(out, connection);
    *out += ")\n";
}

fn put_counts(out: &mut String, connection: &ConnectionReport) {
    let ConnectionReport {
        peer,
        interest,
        queued,
        stats,
        ..
    } = connection;
    let (peer, received, sent) = (java_text::address(*peer), stats.received, stats.sent);
    *out += &format!(" {peer}[{interest:x}](queued={queued},recved={received},sent={sent}");
}

fn put_session(out: &mut String, session: &SessionReport, stats: &ConnectionStats) {
    let SessionReport {
        id,
        established_ms,
        timeout_ms,
    } = session;
    let op = stats.last.map_or("NA", |last| operation(last.op));
    *out += &format!(",sid={id},lop={op},est={established_ms},to={timeout_ms}");
    if let Some(cxid) = stats.last_cxid {
        *out += &format!(",lcxid={cxid:#x}");
    }
    // Minus one: no reply yet.
    let zxid = stats.last.map_or(Zxid(-1), |last| last.zxid);
    let at = stats.last.map_or(0, |last| last.at_ms);
    let latency = stats.last.map_or(0, |last| last.latency_ms);
    let average = stats
        .latency_sum_ms
        .checked_div(stats.answered)
        .unwrap_or(0);
    let (min, max) = (stats.latency_min_ms, stats.latency_max_ms);
    *out += &format!(",lzxid={zxid},lresp={at},llat={latency}");
    *out += &format!(",minlat={min},avglat={average},maxlat={max}");
}

/// How `cons` abbreviates an operation.
fn operation(op: OpCode) -> &'static str {
    match op {
        OpCode::Ping => "PING",
        OpCode::CreateSession => "SESS",
        OpCode::CloseSession => "CLOS",
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::SetData => "SETD",
        OpCode::SetAcl => "SETA",
        OpCode::Reconfig => "RECO",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        OpCode::Check => "CHEC",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::GetAcl => "GETA",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::GetEphemerals => "GETE",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::AddWatch => "ADDW",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::Sync => "SYNC",
        OpCode::WhoAmI => "HOMI",
        // These never come this far.
        OpCode::Auth | OpCode::Sasl | OpCode::Error | OpCode::Notification => "NA",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(cxid: i32, latency_ms: u64) -> Answered {
        Answered {
            op: OpCode::Sync,
            cxid,
            zxid: Zxid(0x37),
            at_ms: 9,
            latency_ms,
        }
    }

    #[track_caller]
    fn check(stats: ConnectionStats, expected: &str) {
        let session = SessionReport {
            id: SessionId(-1),
            established_ms: 5,
            timeout_ms: 4000,
        };
        let peer = "10.0.0.1:7".parse().unwrap();
        let report = ConnectionReport {
            peer,
            interest: 5,
            queued: 2,
            session: Some(session),
            stats,
        };
        let session = "sid=0xffffffffffffffff";
        let start = format!(" /10.0.0.1:7[5](queued=2,recved=0,sent=0,{session},");
        assert_eq!(cons(&[report]), format!("{start}{expected})\n\n"));
    }

    #[test]
    fn before_the_first_reply_there_is_little_to_tell() {
        let tail = "lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,maxlat=0";
        check(
            ConnectionStats::default(),
            &format!("lop=NA,est=5,to=4000,{tail}"),
        );
    }

    #[test]
    fn the_last_number_of_the_clients_own_is_kept_and_the_average_cut_off() {
        let mut stats = ConnectionStats::default();
        for request in [answered(26, 4), answered(-2, 1), answered(-8, 3)] {
            stats.answered(request);
        }
        let tail = "lzxid=0x37,lresp=9,llat=3,minlat=1,avglat=2,maxlat=4";
        check(
            stats.clone(),
            &format!("lop=SYNC,est=5,to=4000,lcxid=0x1a,{tail}"),
        );
        stats.reset();
        stats.answered(answered(-2, 6));
        let tail = "lzxid=0x37,lresp=9,llat=6,minlat=6,avglat=6,maxlat=6";
        check(stats, &format!("lop=SYNC,est=5,to=4000,{tail}"));
    }
}
