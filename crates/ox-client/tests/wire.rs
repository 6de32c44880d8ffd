//! The client against a scripted server: what goes over the wire, in which order, and what the
//! caller is told when it breaks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use std::time::Duration;

use ox_client::{Client, ConnectOptions, Creation, Error, Events, Pipeline, Servers, Session};
use ox_jute::{Decoder, Jute, end_frame, start_frame};
use ox_proto::{
    ConnectRequest, ConnectResponse, ErrorCode, EventType, OpCode, ReadRequest, ReplyHeader,
    RequestHeader, SessionId, Stat, StatResponse, WatcherEvent, Xid, Zxid,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const TIMEOUT: Duration = Duration::from_secs(9);

/// The server's end of one connection.
struct Peer(TcpStream);

impl Peer {
    async fn frame(&mut self) -> Vec<u8> {
        let length = self.0.read_u32().await.unwrap();
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut frame).await.unwrap();
        frame
    }

    async fn request(&mut self) -> (RequestHeader, Vec<u8>) {
        let frame = self.frame().await;
        let mut decoder = Decoder::new(&frame);
        let header = RequestHeader::decode(&mut decoder).unwrap();
        (header, decoder.remaining().to_vec())
    }

    /// Sends the frames in one write.
    async fn send(&mut self, frames: &[Vec<u8>]) {
        let mut out = Vec::new();
        for frame in frames {
            let start = start_frame(&mut out);
            out.extend_from_slice(frame);
            end_frame(&mut out, start);
        }
        self.0.write_all(&out).await.unwrap();
    }

    async fn accept(listener: &TcpListener, timeout_ms: i32) -> (Self, ConnectRequest) {
        let mut peer = Self(listener.accept().await.unwrap().0);
        let request = ox_jute::decode(&peer.frame().await).unwrap();
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: SessionId(5),
            password: [6; 16],
            read_only: Some(false),
        };
        peer.send(&[encoded(&response)]).await;
        (peer, request)
    }
}

fn encoded(record: &impl Jute) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out);
    out
}

fn reply(xid: i32, zxid: i64, err: i32, record: &impl Jute) -> Vec<u8> {
    let mut out = encoded(&ReplyHeader {
        xid: Xid(xid),
        zxid: Zxid(zxid),
        err,
    });
    if err == 0 {
        record.encode(&mut out);
    }
    out
}

fn stat(version: i32) -> StatResponse {
    StatResponse {
        stat: Stat {
            version,
            ..Stat::default()
        },
    }
}

async fn listen() -> (TcpListener, Servers) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let Ok(servers) = listener.local_addr().unwrap().to_string().parse();
    (listener, servers)
}

async fn connected() -> (Client, Events, Peer) {
    let (listener, servers) = listen().await;
    let options = ConnectOptions::default();
    let (client, (peer, _)) = tokio::join!(
        Client::connect(&servers, &options),
        Peer::accept(&listener, 30_000)
    );
    let (client, events) = client.unwrap();
    (client, events, peer)
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_errors_belong_to_their_own() {
    let (client, _events, mut peer) = connected().await;
    let server = async {
        let mut xids = Vec::new();
        for _ in 0..3 {
            xids.push(peer.request().await.0.xid.0);
        }
        assert_eq!(xids, [1, 2, 3]);
        let frames = [
            reply(1, 7, 0, &stat(1)),
            reply(2, 8, -103, &stat(0)),
            reply(3, 9, 0, &stat(3)),
        ];
        peer.send(&frames).await;
    };
    let (a, b, c, ()) = tokio::join!(
        client.set_data("/a", None, -1),
        client.set_data("/b", None, -1),
        client.set_data("/c", None, -1),
        server
    );
    assert_eq!(a.unwrap().version, 1);
    assert!(matches!(b, Err(Error::Server(ErrorCode::BadVersion))));
    assert_eq!(c.unwrap().version, 3);
    assert_eq!(client.session().last_zxid, Zxid(9));
}

#[tokio::test]
async fn an_event_is_there_before_the_reply_that_followed_it() {
    let (client, mut events, mut peer) = connected().await;
    let server = async {
        peer.request().await;
        let event = WatcherEvent {
            r#type: 3,
            state: 3,
            path: "/a".into(),
        };
        let frames = [reply(-1, 7, 0, &event), reply(1, 7, 0, &stat(1))];
        peer.send(&frames).await;
    };
    let (set, ()) = tokio::join!(client.set_data("/a", None, -1), server);
    set.unwrap();
    let event = tokio::select! {
        biased;
        event = events.next() => event.unwrap(),
        () = std::future::ready(()) => panic!("the event has to be there"),
    };
    assert_eq!(
        (event.kind, event.path.as_str(), event.zxid),
        (EventType::NodeDataChanged, "/a", Zxid(7))
    );
}

#[tokio::test]
async fn whoever_waits_is_told_when_the_connection_ends() {
    let (client, mut events, mut peer) = connected().await;
    let server = async {
        peer.request().await;
        drop(peer);
    };
    let (answer, ()) = tokio::join!(client.data("/a", false), server);
    assert!(matches!(answer, Err(Error::ConnectionLoss)));
    assert_eq!(events.next().await, None);
    let later = client.data("/a", false).await;
    assert!(matches!(later, Err(Error::ConnectionLoss)));
}

#[tokio::test]
async fn a_reply_out_of_turn_ends_the_connection() {
    let (client, _events, mut peer) = connected().await;
    let server = async {
        peer.request().await;
        peer.send(&[reply(2, 1, 0, &stat(1))]).await;
    };
    let (answer, ()) = tokio::join!(client.set_data("/a", None, -1), server);
    assert!(matches!(answer, Err(Error::ConnectionLoss)));
}

#[tokio::test]
async fn reconnecting_goes_on_with_the_session_and_the_last_zxid() {
    let (listener, servers) = listen().await;
    let options = ConnectOptions::default();
    let (client, (mut peer, first)) = tokio::join!(
        Client::connect(&servers, &options),
        Peer::accept(&listener, 30_000)
    );
    let (client, _events) = client.unwrap();
    assert_eq!(first.session_id, SessionId::NONE);
    let server = async {
        peer.request().await;
        peer.send(&[reply(1, 0x77, 0, &stat(1))]).await;
    };
    let (set, ()) = tokio::join!(client.set_data("/a", None, -1), server);
    set.unwrap();
    let (again, (_peer, second)) =
        tokio::join!(client.reconnect(), Peer::accept(&listener, 30_000));
    again.unwrap();
    assert_eq!(second.session_id, SessionId(5));
    assert_eq!(second.password.as_deref(), Some(&[6; 16][..]));
    assert_eq!(second.last_zxid_seen, Zxid(0x77));
}

#[tokio::test]
async fn a_session_that_is_over_is_told_apart_from_a_server_that_is_not_there() {
    let (listener, servers) = listen().await;
    let session = Session {
        id: SessionId(5),
        password: [6; 16],
        timeout: TIMEOUT,
        read_only: false,
        last_zxid: Zxid(0),
    };
    let options = ConnectOptions {
        session: Some(session),
        ..ConnectOptions::default()
    };
    let (client, _peer) = tokio::join!(
        Client::connect(&servers, &options),
        Peer::accept(&listener, 0)
    );
    assert!(matches!(client, Err(Error::SessionExpired)));
    drop(listener);
    let client = Client::connect(&servers, &options).await;
    assert!(matches!(client, Err(Error::Connect(_))));
}

#[tokio::test]
async fn the_next_host_is_tried_when_one_does_not_answer() {
    let (gone, dead) = listen().await;
    drop(gone);
    let (listener, live) = listen().await;
    let servers = Servers {
        hosts: [dead.hosts, live.hosts].concat(),
        chroot: String::new(),
    };
    let options = ConnectOptions::default();
    let (client, _peer) = tokio::join!(
        Client::connect(&servers, &options),
        Peer::accept(&listener, 30_000)
    );
    client.unwrap();
}

#[tokio::test]
async fn a_chroot_is_put_before_paths_and_taken_off_answers() {
    let (listener, mut servers) = listen().await;
    servers.chroot = "/x".into();
    let options = ConnectOptions::default();
    let (client, (mut peer, _)) = tokio::join!(
        Client::connect(&servers, &options),
        Peer::accept(&listener, 30_000)
    );
    let (client, _events) = client.unwrap();
    let server = async {
        let (header, body) = peer.request().await;
        assert_eq!(header.r#type, OpCode::Create2.code());
        assert_eq!(Decoder::new(&body).string().unwrap(), "/x/a");
        let response = ox_proto::Create2Response {
            path: "/x/a".into(),
            stat: Stat::default(),
        };
        peer.send(&[reply(1, 1, 0, &response)]).await;
    };
    let (created, ()) = tokio::join!(client.create(Creation::new("/a", "")), server);
    assert_eq!(created.unwrap().0, "/a");
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_pings_and_gives_a_silent_server_up() {
    let (_client, mut events, mut peer) = connected().await;
    let (header, _) = peer.request().await;
    assert_eq!((header.xid, header.r#type), (Xid::PING, 11));
    // No pong.
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_pipeline_keeps_as_many_under_way_as_it_is_told() {
    let (listener, servers) = listen().await;
    let options = ConnectOptions::default();
    let (pipeline, (mut peer, _)) = tokio::join!(
        Pipeline::connect(&servers, &options),
        Peer::accept(&listener, 30_000)
    );
    let mut pipeline = pipeline.unwrap();
    let mut left = 5;
    let mut errors = Vec::new();
    let client = pipeline.run(
        2,
        |xid, out| {
            if left == 0 {
                return false;
            }
            left -= 1;
            let mut frame = Vec::new();
            let start = start_frame(&mut frame);
            RequestHeader {
                xid,
                r#type: OpCode::GetData.code(),
            }
            .encode(&mut frame);
            ReadRequest::default().encode(&mut frame);
            end_frame(&mut frame, start);
            out.extend_from_slice(&frame);
            true
        },
        |err, _| errors.push(err),
    );
    let server = async {
        for turn in [[1, 2].as_slice(), &[3, 4], &[5]] {
            for &xid in turn {
                assert_eq!(peer.request().await.0.xid.0, xid);
            }
            // Nothing more comes before an answer.
            let mut byte = [0];
            assert!(peer.0.try_read(&mut byte).is_err());
            let frames: Vec<_> = turn
                .iter()
                .map(|&xid| reply(xid, 1, if xid == 4 { -101 } else { 0 }, &stat(0)))
                .collect();
            peer.send(&frames).await;
        }
    };
    let (ran, ()) = tokio::join!(client, server);
    ran.unwrap();
    assert_eq!(errors, [0, 0, 0, -101, 0]);
}
