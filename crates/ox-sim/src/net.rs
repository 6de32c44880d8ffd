//! Simulated TCP: bytes in order within a connection, cut and joined anywhere, held back while a
//! way is cut, lost with a reset.
//!
//! Machines are servers by their places and, behind them, clients. Invariant: what arrives is a
//! beginning of what was sent. Source: reliability.md 4.2.

use std::collections::{BTreeMap, VecDeque};

use ox_proto::ServerId;
use ox_zab::LinkId;
use slab::Slab;

use crate::queue::{Event, Place, Queue};
use crate::random::Random;

/// Names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnId(pub(crate) u32);

/// What a connection is for: the three ports, and the one at which followers serve observers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Client,
    Quorum,
    Election,
    Observers,
}

impl Port {
    /// Its bit in the mask of a cut.
    pub(crate) fn bit(self) -> u8 {
        match self {
            Self::Client => 1,
            Self::Quorum => 2,
            Self::Election => 4,
            Self::Observers => 8,
        }
    }
}

/// Who has a side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A run of a server's process.
    Server { place: Place, life: u64 },
    /// A client.
    Client { client: usize },
}

/// What travels.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    End,
    Reset,
}

/// What an attempt to connect is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialer {
    Client {
        client: usize,
        turn: u64,
    },
    Election {
        place: Place,
        life: u64,
        server: ServerId,
    },
    Link {
        place: Place,
        life: u64,
        link: LinkId,
    },
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialResult {
    Connected(ConnId),
    Refused,
    TimedOut,
}

/// An attempt to connect.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) dialer: Dialer,
    pub(crate) from: usize,
    pub(crate) to: Place,
    pub(crate) port: Port,
    pub(crate) deadline: i64,
    pub(crate) pause: i64,
    pub(crate) result: Option<DialResult>,
}

#[derive(Debug, Default)]
struct Lane {
    pieces: VecDeque<(i64, Piece)>,
    /// An event will take out the first.
    is_moving: bool,
    /// The way is cut: it goes on when it is not.
    is_parked: bool,
    last: i64,
}

#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) owner: Owner,
    pub(crate) machine: usize,
    /// Its owner has it still.
    pub(crate) is_open: bool,
    /// What is on its way to it.
    lane: Lane,
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) port: Port,
    /// The dialer's, then the acceptor's.
    pub(crate) sides: [Side; 2],
}

/// A way that is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// The fault that did it.
    pub(crate) fault: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) ports: u8,
}

/// How long things take, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    pub(crate) least: i64,
    pub(crate) most: i64,
    /// So many of a thousand pieces take a hundred times as long.
    pub(crate) late: usize,
    /// So many of a thousand deliveries are cut in two.
    pub(crate) chopped: usize,
}

/// All connections.
pub(crate) struct Net {
    conns: BTreeMap<ConnId, Conn>,
    next: u32,
    pub(crate) dials: Slab<Dial>,
    cuts: Vec<Cut>,
    pub(crate) delays: Delays,
    pub(crate) random: Random,
    /// Pieces that had to wait for a cut way, and connections reset.
    pub(crate) held: u64,
    pub(crate) resets: u64,
}

impl Net {
    pub(crate) fn new(delays: Delays, random: Random) -> Self {
        Self {
            conns: BTreeMap::new(),
            next: 0,
            dials: Slab::new(),
            cuts: Vec::new(),
            delays,
            random,
            held: 0,
            resets: 0,
        }
    }

    pub(crate) fn latency(&mut self) -> i64 {
        let one = self.random.between(self.delays.least, self.delays.most);
        match self.random.permille(self.delays.late) {
            true => one * 100,
            false => one,
        }
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize, port: Port) -> bool {
        let cuts = |cut: &Cut| (cut.from, cut.to) == (from, to) && cut.ports & port.bit() != 0;
        self.cuts.iter().any(cuts)
    }

    pub(crate) fn cut(&mut self, cut: Cut) {
        self.cuts.push(cut);
    }

    /// A fault's cuts are over; or, without one, all are.
    pub(crate) fn join(&mut self, now: i64, fault: Option<usize>, queue: &mut Queue) {
        match fault {
            Some(fault) => self.cuts.retain(|cut| cut.fault != fault),
            None => self.cuts.clear(),
        }
        let parked: Vec<(ConnId, usize)> = self
            .conns
            .iter()
            .flat_map(|(&id, conn)| [(id, 0, conn), (id, 1, conn)])
            .filter(|(_, side, conn)| conn.sides[*side].lane.is_parked)
            .map(|(id, side, _)| (id, side))
            .collect();
        for (conn, side) in parked {
            // Lost packets are sent again after a while.
            let wait = self.random.between(0, 200_000);
            if let Some(it) = self.conns.get_mut(&conn) {
                it.sides[side].lane.is_parked = false;
                queue.push(now + wait, Event::Deliver { conn, side });
            }
        }
    }

    pub(crate) fn connect(
        &mut self,
        now: i64,
        port: Port,
        dialer: (Owner, usize),
        acceptor: (Owner, usize),
    ) -> ConnId {
        let side = |(owner, machine)| Side {
            owner,
            machine,
            is_open: true,
            lane: Lane {
                last: now,
                ..Lane::default()
            },
        };
        let id = ConnId(self.next);
        self.next += 1;
        let sides = [side(dialer), side(acceptor)];
        self.conns.insert(id, Conn { port, sides });
        id
    }

    pub(crate) fn conn(&self, conn: ConnId) -> Option<&Conn> {
        self.conns.get(&conn)
    }

    /// Nothing reaches a side before this time.
    pub(crate) fn not_before(&mut self, conn: ConnId, side: usize, at: i64) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.sides[side].lane.last = at;
        }
    }

    /// A side sends.
    pub(crate) fn send(
        &mut self,
        now: i64,
        conn: ConnId,
        side: usize,
        piece: Piece,
        queue: &mut Queue,
    ) {
        let latency = self.latency();
        let Some(it) = self.conns.get_mut(&conn) else {
            return;
        };
        let other = 1 - side;
        let lane = &mut it.sides[other].lane;
        let at = (now + latency).max(lane.last);
        lane.last = at;
        lane.pieces.push_back((at, piece));
        if !lane.is_moving {
            lane.is_moving = true;
            queue.push(at, Event::Deliver { conn, side: other });
        }
    }

    /// A side is closed by its owner, which hears nothing more of it.
    pub(crate) fn close(&mut self, now: i64, conn: ConnId, side: usize, queue: &mut Queue) {
        let Some(it) = self.conns.get_mut(&conn) else {
            return;
        };
        if std::mem::replace(&mut it.sides[side].is_open, false) {
            self.send(now, conn, side, Piece::End, queue);
        }
    }

    /// A side is lost with its machine: nobody is told.
    pub(crate) fn vanish(&mut self, conn: ConnId, side: usize) {
        if let Some(it) = self.conns.get_mut(&conn) {
            it.sides[side].is_open = false;
        }
    }

    /// A connection is broken for both, with some of what was on its way.
    pub(crate) fn reset(&mut self, now: i64, conn: ConnId, queue: &mut Queue) {
        self.resets += 1;
        for side in [0, 1] {
            let Some(it) = self.conns.get_mut(&conn) else {
                return;
            };
            let pieces = &mut it.sides[side].lane.pieces;
            let kept = self.random.below(pieces.len() + 1);
            pieces.truncate(kept);
            self.send(now, conn, 1 - side, Piece::Reset, queue);
        }
    }

    /// Takes what arrives at a side now, and sees to it that the rest follows. `None` if there is
    /// nothing, or the way is cut.
    pub(crate) fn arrive(
        &mut self,
        now: i64,
        conn: ConnId,
        side: usize,
        queue: &mut Queue,
    ) -> Option<Piece> {
        let it = self.conns.get(&conn)?;
        let (from, to) = (it.sides[1 - side].machine, it.sides[side].machine);
        if self.is_cut(from, to, it.port) {
            self.held += 1;
            self.conns.get_mut(&conn)?.sides[side].lane.is_parked = true;
            return None;
        }
        let is_chopped = self.random.permille(self.delays.chopped);
        let it = self.conns.get_mut(&conn)?;
        let lane = &mut it.sides[side].lane;
        let Some((at, first)) = lane.pieces.pop_front() else {
            lane.is_moving = false;
            self.forget(conn);
            return None;
        };
        if now < at {
            lane.pieces.push_front((at, first));
            queue.push(at, Event::Deliver { conn, side });
            return None;
        }
        let piece = match first {
            Piece::Bytes(mut bytes) => {
                // What has come by now is read in one go.
                while let Some((at, Piece::Bytes(_))) = lane.pieces.front()
                    && *at <= now
                    && let Some((_, Piece::Bytes(more))) = lane.pieces.pop_front()
                {
                    bytes.extend_from_slice(&more);
                }
                if is_chopped && bytes.len() > 1 {
                    let rest = bytes.split_off(1 + self.random.below(bytes.len() - 1));
                    let later = now + 1 + self.random.between(0, self.delays.most);
                    lane.pieces.push_front((later, Piece::Bytes(rest)));
                    for (at, _) in &mut lane.pieces {
                        *at = later.max(*at);
                    }
                    lane.last = lane.last.max(later);
                }
                Piece::Bytes(bytes)
            }
            other => other,
        };
        match lane.pieces.front() {
            Some((at, _)) => {
                let at = (*at).max(now);
                queue.push(at, Event::Deliver { conn, side });
            }
            None => lane.is_moving = false,
        }
        Some(piece)
    }

    /// Lets go of a connection that neither side has any more.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        let is_over = |side: &Side| !side.is_open && !side.lane.is_moving;
        if self
            .conns
            .get(&conn)
            .is_some_and(|conn| conn.sides.iter().all(is_over))
        {
            self.conns.remove(&conn);
        }
    }

    /// Connections with a side that is open, and which side, of a machine.
    pub(crate) fn of_machine(&self, machine: usize) -> Vec<(ConnId, usize)> {
        let mut found = Vec::new();
        for (&id, conn) in &self.conns {
            for side in [0, 1] {
                if conn.sides[side].machine == machine && conn.sides[side].is_open {
                    found.push((id, side));
                }
            }
        }
        found
    }

    /// All connections, by name.
    pub(crate) fn all(&self) -> Vec<ConnId> {
        self.conns.keys().copied().collect()
    }
}
