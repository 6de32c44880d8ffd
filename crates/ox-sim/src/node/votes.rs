//! A server's part in the mesh of votes, as `ElectionMesh` of ox-zab-net has it: the same table of
//! peers, over simulated connections.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ox_proto::{InitialMessage, InitialProgress, Notification, ServerId};
use ox_zab::Input;
use ox_zab_net::Members;
use ox_zab_net::parts::{Candidates, Peers, Registered, Verdict};

use crate::env::Env;
use crate::net::{ConnId, DialResult, Dialer, Port};
use crate::queue::Place;

/// `cnxTimeout`, in microseconds.
const CONNECT_TIMEOUT: i64 = 5_000_000;

enum VoteConn {
    /// Who it is has not come whole.
    Arriving(Vec<u8>),
    Kept(Box<Kept>),
}

struct Kept {
    registered: Registered,
    /// 0 if this server has dialed it.
    side: usize,
    arrived: Vec<u8>,
}

pub(crate) struct Votes {
    place: Place,
    life: u64,
    own: ServerId,
    peers: Peers,
    conns: BTreeMap<ConnId, VoteConn>,
    begun: Instant,
}

impl Votes {
    pub(crate) fn new(place: Place, life: u64, members: Members) -> Self {
        let own = server_of(place);
        Self {
            place,
            life,
            own,
            peers: Peers::new(own, members),
            conns: BTreeMap::new(),
            begun: Instant::now(),
        }
    }

    pub(crate) fn has(&self, conn: ConnId) -> bool {
        self.conns.contains_key(&conn)
    }

    pub(crate) fn set_members(&mut self, members: Members) {
        self.peers.set_members(members);
    }

    pub(crate) fn delivered(&self) -> bool {
        self.peers.delivered()
    }

    /// Sends a vote; one to this server itself comes back at once.
    pub(crate) fn send(
        &mut self,
        env: &mut Env,
        to: ServerId,
        notification: &Notification,
        inputs: &mut Vec<Input>,
    ) {
        if to == self.own {
            inputs.push(Input::Notification {
                from: to,
                notification: notification.clone(),
            });
            return;
        }
        env.story.tell(env.now, || {
            let (place, to) = (self.place, place_of(to));
            let Notification {
                state,
                leader,
                zxid,
                election_epoch,
                peer_epoch,
                ..
            } = notification;
            let leader = leader.0.wrapping_sub(1);
            let round = format!("round {election_epoch}, epoch {peer_epoch}");
            format!("{place} {state:?} votes to {to} for {leader} at {zxid}, {round}")
        });
        let message = Bytes::from(notification.to_bytes());
        let candidates = self.peers.put(to, message);
        self.dial(env, to, candidates);
        let conn = self.conns.iter().find_map(|(&conn, it)| match it {
            VoteConn::Kept(kept) if kept.registered.server == to => Some(conn),
            VoteConn::Kept(_) | VoteConn::Arriving(_) => None,
        });
        if let Some(conn) = conn {
            self.pump(env, conn);
        }
    }

    pub(crate) fn connect_all(&mut self, env: &mut Env) {
        for (server, candidates) in self.peers.connect_all() {
            self.dial(env, server, Some(candidates));
        }
    }

    fn dial(&mut self, env: &mut Env, server: ServerId, candidates: Option<Candidates>) {
        if candidates.is_some() {
            let dialer = Dialer::Election {
                place: self.place,
                life: self.life,
                server,
            };
            let deadline = env.now + CONNECT_TIMEOUT;
            env.dial(
                dialer,
                self.place,
                place_of(server),
                Port::Election,
                deadline,
            );
        }
    }

    /// An attempt is over.
    pub(crate) fn dialed(
        &mut self,
        env: &mut Env,
        server: ServerId,
        result: DialResult,
        inputs: &mut Vec<Input>,
    ) {
        match result {
            DialResult::Connected(conn) => {
                let message = InitialMessage {
                    server: self.own,
                    addresses: self.peers.own_addresses(),
                };
                env.send(conn, 0, message.to_bytes(false));
                if server < self.own {
                    let registered = self.peers.register(server, true);
                    self.keep(env, conn, 0, registered);
                    return;
                }
                env.close(conn, 0);
                self.peers.left_to_dial(server, self.time(env));
            }
            DialResult::Refused => {
                if self.peers.is_unconnected(server) {
                    inputs.push(Input::Silenced { server });
                }
            }
            DialResult::TimedOut => {}
        }
        let next = self.peers.dial_failed(server);
        self.dial(env, server, next);
    }

    pub(crate) fn accepted(&mut self, conn: ConnId) {
        self.conns.insert(conn, VoteConn::Arriving(Vec::new()));
    }

    fn keep(&mut self, env: &mut Env, conn: ConnId, side: usize, registered: Registered) {
        if let Some(again) = &registered.again {
            env.send(conn, side, framed(again));
        }
        let kept = Kept {
            registered,
            side,
            arrived: Vec::new(),
        };
        self.conns.insert(conn, VoteConn::Kept(Box::new(kept)));
        self.sweep(env);
        self.pump(env, conn);
    }

    fn pump(&mut self, env: &mut Env, conn: ConnId) {
        let Some(VoteConn::Kept(kept)) = self.conns.get(&conn) else {
            return;
        };
        let (server, number) = (kept.registered.server, kept.registered.number);
        while let Some(message) = self.peers.take(server, number) {
            env.send(conn, kept.side, framed(&message));
        }
    }

    /// Lets go of connections in whose place there is another.
    fn sweep(&mut self, env: &mut Env) {
        let is_replaced = |it: &VoteConn| match it {
            VoteConn::Kept(kept) => kept.registered.replaced.is_cancelled(),
            VoteConn::Arriving(_) => false,
        };
        let replaced: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, it)| is_replaced(it))
            .map(|(&conn, _)| conn)
            .collect();
        for conn in replaced {
            if let Some(VoteConn::Kept(kept)) = self.conns.remove(&conn) {
                env.close(conn, kept.side);
                let time = self.time(env);
                self.peers
                    .ended(kept.registered.server, kept.registered.number, time);
            }
        }
    }

    /// Bytes have come.
    pub(crate) fn arrived(
        &mut self,
        env: &mut Env,
        conn: ConnId,
        bytes: &[u8],
        inputs: &mut Vec<Input>,
    ) {
        match self.conns.get_mut(&conn) {
            None => {}
            Some(VoteConn::Arriving(buffer)) => {
                buffer.extend_from_slice(bytes);
                self.introduced(env, conn, inputs);
            }
            Some(VoteConn::Kept(kept)) => {
                kept.arrived.extend_from_slice(bytes);
                self.messages(env, conn, inputs);
            }
        }
    }

    fn introduced(&mut self, env: &mut Env, conn: ConnId, inputs: &mut Vec<Input>) {
        let Some(VoteConn::Arriving(buffer)) = self.conns.get(&conn) else {
            return;
        };
        let mut length = 0;
        let message = loop {
            match InitialMessage::parse(&buffer[..length]) {
                Ok(InitialProgress::Whole(message)) => break message,
                Ok(InitialProgress::Needs(more)) if length + more <= buffer.len() => length += more,
                Ok(InitialProgress::Needs(_)) => return,
                Err(_) => {
                    self.conns.remove(&conn);
                    return env.close(conn, 1);
                }
            }
        };
        let rest = buffer[length..].to_vec();
        self.conns.remove(&conn);
        match self.peers.arrived(message) {
            Verdict::Keep(server) => {
                let registered = self.peers.register(server, false);
                self.keep(env, conn, 1, registered);
                self.arrived(env, conn, &rest, inputs);
            }
            Verdict::DialBack(server, candidates) => {
                env.close(conn, 1);
                self.sweep(env);
                self.dial(env, server, candidates);
            }
            Verdict::Own | Verdict::Stranger(_) => env.close(conn, 1),
        }
    }

    fn messages(&mut self, env: &mut Env, conn: ConnId, inputs: &mut Vec<Input>) {
        let Some(VoteConn::Kept(kept)) = self.conns.get_mut(&conn) else {
            return;
        };
        let from = kept.registered.server;
        loop {
            let Some(prefix) = kept.arrived.first_chunk::<4>() else {
                return;
            };
            let length = usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(0);
            if !(1..=Notification::MAX_LENGTH).contains(&length) {
                return self.ended(env, conn, false, inputs);
            }
            if kept.arrived.len() < 4 + length {
                return;
            }
            let message: Vec<u8> = kept.arrived.drain(..4 + length).skip(4).collect();
            if let Some(notification) = Notification::parse(&message) {
                inputs.push(Input::Notification { from, notification });
            }
        }
    }

    /// A connection is over, by the peer or because it says what cannot be.
    pub(crate) fn ended(
        &mut self,
        env: &mut Env,
        conn: ConnId,
        by_peer: bool,
        inputs: &mut Vec<Input>,
    ) {
        let side = match self.conns.remove(&conn) {
            Some(VoteConn::Kept(kept)) => {
                let server = kept.registered.server;
                let time = self.time(env);
                let is_gone = self.peers.ended(server, kept.registered.number, time);
                if by_peer && is_gone {
                    inputs.push(Input::Silenced { server });
                }
                kept.side
            }
            Some(VoteConn::Arriving(_)) => 1,
            None => return,
        };
        env.close(conn, side);
    }

    fn time(&self, env: &Env) -> Instant {
        self.begun + Duration::from_micros(u64::try_from(env.now).unwrap_or(0))
    }
}

/// The id of the server at a place.
pub(crate) fn server_of(place: Place) -> ServerId {
    ServerId(i64::try_from(place).expect("few servers") + 1)
}

/// The place of a server.
pub(crate) fn place_of(server: ServerId) -> Place {
    usize::try_from(server.0 - 1).expect("ids begin with 1")
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = i32::try_from(message.len()).expect("votes are short");
    [&length.to_be_bytes()[..], message].concat()
}
