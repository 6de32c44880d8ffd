//! From a connect string to an open session.
//!
//! Source: client-protocol.md chapter 2; `org.apache.zookeeper.client.ConnectStringParser`.

use std::convert::Infallible;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ox_jute::{Frames, Jute, end_frame, start_frame};
use ox_proto::{ConnectRequest, ConnectResponse, SessionId, Zxid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Error;

/// Where the servers are, and which part of the tree is meant: `host:port,host:port/chroot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// Each `host:port`.
    pub hosts: Vec<String>,
    /// Put before every path; empty for the whole tree.
    pub chroot: String,
}

impl FromStr for Servers {
    type Err = Infallible;

    /// Any text will do; a host that is none fails when it is looked up.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (hosts, chroot) = match text.find('/') {
            Some(start) => text.split_at(start),
            None => (text, ""),
        };
        Ok(Self {
            hosts: hosts.split(',').map(with_port).collect(),
            chroot: chroot.trim_end_matches('/').to_owned(),
        })
    }
}

/// Adds the default port to a host without one. Colons of a bare IPv6 address need brackets.
fn with_port(host: &str) -> String {
    let host = host.trim();
    match host.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && !port.ends_with(']') => host.to_owned(),
        _ => format!("{}:2181", host.trim_end_matches(':')),
    }
}

/// What to ask of the server.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The session timeout asked for; the server may grant another.
    pub timeout: Duration,
    /// Whether a read-only server will do.
    pub read_only: bool,
    /// The session to go on with; `None` begins a new one.
    pub session: Option<Session>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            read_only: false,
            session: None,
        }
    }
}

/// A session as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Its password.
    pub password: [u8; 16],
    /// The timeout granted.
    pub timeout: Duration,
    /// True if the server is read-only.
    pub read_only: bool,
    /// The highest zxid in a reply so far.
    pub last_zxid: Zxid,
}

/// Tries the hosts in turn until one takes the session or says that it is over.
pub(crate) async fn connect(
    servers: &Servers,
    options: &ConnectOptions,
) -> Result<(TcpStream, Session, BytesMut), Error> {
    let hosts = u32::try_from(servers.hosts.len().max(1)).unwrap_or(u32::MAX);
    let patience = options.timeout / hosts;
    let mut error = Error::Connect(io::ErrorKind::InvalidInput.into());
    for host in &servers.hosts {
        match timeout(patience, open(host, options)).await {
            Ok(Err(Error::Connect(cause))) => error = Error::Connect(cause),
            Ok(outcome) => return outcome,
            Err(_) => error = Error::Connect(io::ErrorKind::TimedOut.into()),
        }
        tracing::debug!(host, %error, "next server");
    }
    Err(error)
}

async fn open(
    host: &str,
    options: &ConnectOptions,
) -> Result<(TcpStream, Session, BytesMut), Error> {
    let mut stream = TcpStream::connect(host).await.map_err(Error::Connect)?;
    stream.set_nodelay(true).map_err(Error::Connect)?;
    let mut request = Vec::new();
    let start = start_frame(&mut request);
    connect_request(options).encode(&mut request);
    end_frame(&mut request, start);
    stream.write_all(&request).await.map_err(Error::Connect)?;

    let mut input = BytesMut::new();
    let response = loop {
        if stream.read_buf(&mut input).await.map_err(Error::Connect)? == 0 {
            return Err(Error::Connect(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(response) = connect_response(&mut input)? {
            break response;
        }
    };
    match u64::try_from(response.timeout_ms) {
        Ok(granted) if granted > 0 => {
            let session = Session {
                id: response.session_id,
                password: response.password,
                timeout: Duration::from_millis(granted),
                read_only: response.read_only.unwrap_or(false),
                last_zxid: last_zxid(options),
            };
            Ok((stream, session, input))
        }
        _ => Err(Error::SessionExpired),
    }
}

fn connect_request(options: &ConnectOptions) -> ConnectRequest {
    let session = options.session.as_ref();
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: last_zxid(options),
        timeout_ms: i32::try_from(options.timeout.as_millis()).unwrap_or(i32::MAX),
        session_id: session.map_or(SessionId::NONE, |session| session.id),
        password: Some(Bytes::copy_from_slice(
            &session.map_or([0; 16], |session| session.password),
        )),
        read_only: Some(options.read_only),
    }
}

fn last_zxid(options: &ConnectOptions) -> Zxid {
    options
        .session
        .as_ref()
        .map_or(Zxid::ZERO, |session| session.last_zxid)
}

/// The response, once it is there whole. What follows it stays in `input`.
fn connect_response(input: &mut BytesMut) -> Result<Option<ConnectResponse>, Error> {
    /// More than any response holds.
    const LIMIT: usize = 1024;
    let mut frames = Frames::new(input, LIMIT);
    let not_a_server = |_| Error::Connect(io::ErrorKind::InvalidData.into());
    let Some(frame) = frames.next_frame().map_err(not_a_server)? else {
        return Ok(None);
    };
    let response = ox_jute::decode(frame)?;
    let used = 4 + frame.len();
    input.advance(used);
    Ok(Some(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, hosts: &[&str], chroot: &str) {
        let Ok(servers) = text.parse::<Servers>();
        assert_eq!(servers.hosts, hosts);
        assert_eq!(servers.chroot, chroot);
    }

    #[test]
    fn a_connect_string_is_hosts_and_a_chroot() {
        check("a:1", &["a:1"], "");
        check("a:1, b", &["a:1", "b:2181"], "");
        check("a:1,b:2/x/y", &["a:1", "b:2"], "/x/y");
        check("a:1/", &["a:1"], "");
        check("[::1]", &["[::1]:2181"], "");
        check("[::1]:5", &["[::1]:5"], "");
    }

    #[test]
    fn a_response_is_taken_once_it_is_whole_and_the_rest_stays() {
        let mut bytes = Vec::new();
        let start = start_frame(&mut bytes);
        ConnectResponse::refused(Some(false)).encode(&mut bytes);
        end_frame(&mut bytes, start);
        bytes.push(9);
        for end in 0..bytes.len() - 1 {
            let mut input = BytesMut::from(&bytes[..end]);
            assert!(matches!(connect_response(&mut input), Ok(None)), "{end}");
        }
        let mut input = BytesMut::from(&bytes[..]);
        assert!(matches!(connect_response(&mut input), Ok(Some(_))));
        assert_eq!(&input[..], [9]);
    }
}
