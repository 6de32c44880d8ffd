//! Draws scripts from seeds.
//!
//! Invariant: a script is decided by its seed and the number of servers. It holds nothing whose outcome
//! the reference leaves to chance, and nothing that ends the reference for good.

mod collecting;
mod dice;
mod endings;
mod requests;
mod values;

pub use collecting::collecting;
pub use requests::MAX_BUFFER;

use compat_tests::wire::op;

use crate::script::{Connect, Cut, Label, Password, Request, Script, Step, Zxid, int, text};
use dice::Dice;
use requests::Role;

pub(crate) use values::open_acl;

/// The script of a seed for a service of so many servers.
pub fn script(seed: u64, servers: usize) -> Script {
    let mut drawing = Drawing {
        dice: Dice::new(seed),
        servers,
        clients: Vec::new(),
        steps: Vec::new(),
    };
    drawing.draw();
    Script {
        steps: drawing.steps,
    }
}

struct Drawing {
    dice: Dice,
    servers: usize,
    clients: Vec<Client>,
    steps: Vec<Step>,
}

/// What the drawing knows of a connection.
struct Client {
    server: usize,
    /// The connection that its session began with.
    session_of: Label,
    /// Whether its session has gone to another connection.
    left: bool,
    next_xid: i32,
    /// Whether it is likely to be open still.
    open: bool,
    /// Whether it is likely to have a session that can be taken up.
    session: bool,
}

impl Drawing {
    fn draw(&mut self) {
        let clients = self.dice.between(1, 3);
        for _ in 0..clients {
            self.connect();
        }
        self.foundation();
        for _ in 0..self.dice.between(4, 14) {
            match self.dice.below(100) {
                0..76 => self.batch(),
                76..80 => self.connect(),
                80..86 => self.attach(),
                86..88 => self.drop_one(),
                88..89 => self.expire(),
                89..92 => self.probe(),
                92..95 => self.close(),
                _ => self.end_badly(),
            }
        }
    }

    /// Something to work on.
    fn foundation(&mut self) {
        let mut requests = Vec::new();
        for path in ["/a", "/a/b", "/b"] {
            if self.dice.percent(80) {
                requests.push(self.plain_create(path));
            }
        }
        self.steps.push(Step::Batch { on: 0, requests });
    }

    fn plain_create(&mut self, path: &str) -> Request {
        let body = vec![
            text("path", path),
            text("data", ""),
            open_acl(),
            int("flags", 0),
        ];
        let xid = self.xid(0);
        Request::op(xid, op::CREATE, body)
    }

    fn batch(&mut self) {
        let Some(on) = self.an_open_one() else {
            return self.connect();
        };
        let mut requests = Vec::new();
        // The answer to one that follows others might overtake theirs.
        if self.dice.percent(10) {
            let xid = self.dice.one(&[-4, 3, 0]);
            requests.push(self.dice.auth(xid));
        }
        for _ in 0..self.pieces(on, 6) {
            let xid = self.xid(on);
            let request = self.dice.request(xid, self.role(on));
            let last = self.ends_batch(&request);
            requests.push(request);
            if last {
                break;
            }
        }
        self.steps.push(Step::Batch { on, requests });
    }

    /// A multi that fails by limits that do not parse leaves the reference with changes that are not
    /// made, for a moment.
    fn ends_batch(&self, request: &Request) -> bool {
        self.dice.spoils_quotas && request.opcode() == Some(op::MULTI)
    }

    fn connect(&mut self) {
        let label = self.clients.len();
        let connect = Connect::plain(label, self.dice.below(self.servers));
        self.opened(connect, true);
    }

    fn opened(&mut self, connect: Connect, session: bool) {
        let label = connect.label;
        let session_of = connect.session_of.map(|of| self.clients[of].session_of);
        self.clients.push(Client {
            server: connect.server,
            session_of: session_of.unwrap_or(label),
            left: false,
            next_xid: 1,
            open: true,
            session,
        });
        self.steps.push(Step::Connect(connect));
    }

    /// Takes up a session, mostly as its client would.
    fn attach(&mut self) {
        let with_session: Vec<Label> = (0..self.clients.len())
            .filter(|label| self.clients[*label].session)
            .collect();
        if with_session.is_empty() {
            return;
        }
        let of = self.dice.one(&with_session);
        let mut connect = Connect::plain(self.clients.len(), self.dice.below(self.servers));
        connect.session_of = Some(of);
        connect.password = self.dice.weighted(&[
            (12, Password::Right),
            (2, Password::Wrong),
            (1, Password::Zeros),
            (1, Password::Null),
            (1, Password::Empty),
        ]);
        connect.timeout = self.dice.one(&[30_000, 40_000, i32::MAX]);
        connect.last_zxid = self.dice.weighted(&[
            (10, Zxid::Literal(0)),
            (4, Zxid::Base(0)),
            (1, Zxid::Literal(-1)),
            (1, Zxid::Base(1 << 20)),
        ]);
        connect.read_only = self.dice.one(&[Some(0), Some(0), Some(1), None]);
        self.leave(of, connect.server);
        self.opened(connect, true);
    }

    /// Closes connections of a session that goes to a server. Some stay, to be closed by theirs; but one
    /// to the leader would be served otherwise by the reference (see `deliberate`).
    fn leave(&mut self, of: Label, server: usize) {
        let session = self.clients[of].session_of;
        for label in 0..self.clients.len() {
            let client = &self.clients[label];
            if client.session_of == session
                && client.open
                && (client.server != server && client.server == 0 || self.dice.percent(50))
            {
                self.clients[label].open = false;
                self.steps.push(Step::Drop(label));
            } else if client.session_of == session {
                self.clients[label].left = true;
            }
        }
    }

    /// How many requests may go in one piece. Behind one that ends a connection because its session
    /// has gone, the reference answers more or fewer.
    fn pieces(&mut self, on: Label, most: usize) -> usize {
        match self.clients[on].left {
            true => 1,
            false => self.dice.between(1, most),
        }
    }

    fn drop_one(&mut self) {
        if let Some(label) = self.an_open_one() {
            self.clients[label].open = false;
            self.steps.push(Step::Drop(label));
        }
    }

    fn expire(&mut self) {
        if let Some(of) = self.an_open_one() {
            self.clients[of].open = false;
            self.clients[of].session = self.dice.percent(50);
            let server = self.dice.below(self.servers);
            self.steps.push(Step::Expire { of, server });
        }
    }

    /// A handshake with anything in it, and the end of the session in the same piece.
    fn probe(&mut self) {
        let mut connect = Connect::plain(self.clients.len(), self.dice.below(self.servers));
        connect.version = self.dice.one(&[0, 0, 77, -1]);
        connect.timeout = self.dice.one(&[
            0,
            -5,
            1,
            199,
            200,
            201,
            599_999,
            600_000,
            600_001,
            i32::MAX,
            i32::MIN,
        ]);
        connect.read_only = self.dice.one(&[Some(0), Some(1), Some(5), None]);
        connect.password = self.dice.one(&[
            Password::Zeros,
            Password::Null,
            Password::Empty,
            Password::Wrong,
        ]);
        connect.last_zxid = self.dice.weighted(&[
            (10, Zxid::Literal(0)),
            (1, Zxid::Literal(-1)),
            (1, Zxid::Literal(i64::MIN)),
            (2, Zxid::Base(1 << 20)),
        ]);
        connect.cut = self.dice.weighted(&[
            (12, Cut::None),
            (1, Cut::Short(2)),
            (1, Cut::Short(40)),
            (2, Cut::Long(3)),
        ]);
        if self.dice.percent(40) {
            let role = self.role_of(connect.server);
            connect.behind.push(self.dice.request(1, role));
        }
        connect.behind.push(self.dice.close_session(2));
        self.opened(connect, false);
        let label = self.clients.len() - 1;
        self.clients[label].open = false;
    }

    fn close(&mut self) {
        let Some(on) = self.an_open_one() else {
            return;
        };
        let mut requests = Vec::new();
        for _ in 1..self.pieces(on, 3) {
            let xid = self.xid(on);
            let role = self.role(on);
            requests.push(self.dice.request(xid, role));
        }
        let xid = self.xid(on);
        requests.push(self.dice.close_session(xid));
        // What follows gets no answer or -112, as the reference's threads happen to run.
        self.clients[on].open = false;
        self.clients[on].session = self.dice.percent(30);
        self.steps.push(Step::Batch { on, requests });
    }

    fn end_badly(&mut self) {
        let Some(on) = self.an_open_one() else {
            return;
        };
        let xid = self.xid(on);
        let requests = vec![self.dice.last_request(xid)];
        self.clients[on].open = false;
        self.steps.push(Step::Batch { on, requests });
    }

    fn an_open_one(&mut self) -> Option<Label> {
        let open: Vec<Label> = (0..self.clients.len())
            .filter(|label| self.clients[*label].open)
            .collect();
        (!open.is_empty()).then(|| self.dice.one(&open))
    }

    fn role(&self, on: Label) -> Role {
        match &self.clients[on] {
            client if client.left && self.servers != 1 => Role::Left,
            client => self.role_of(client.server),
        }
    }

    fn role_of(&self, server: usize) -> Role {
        match (self.servers, server) {
            (1, _) => Role::Alone,
            (_, 0) => Role::Leader,
            _ => Role::Learner,
        }
    }

    fn xid(&mut self, on: Label) -> i32 {
        if self.dice.percent(3) {
            return self.dice.one(&[0, -3, -9, i32::MIN, i32::MAX]);
        }
        let client = &mut self.clients[on];
        client.next_xid += 1;
        client.next_xid - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_its_script() {
        for servers in [1, 3] {
            assert_eq!(script(7, servers), script(7, servers));
            assert_ne!(script(7, servers), script(8, servers));
        }
    }

    /// The requests of many seeds.
    fn all(servers: usize) -> Vec<Request> {
        let scripts = (0..2000).map(|seed| script(seed, servers));
        let steps = scripts.flat_map(|script| script.steps);
        let requests = steps.flat_map(|step| match step {
            Step::Batch { requests, .. } => requests,
            Step::Connect(connect) => connect.behind,
            Step::Drop(_) | Step::Expire { .. } | Step::Collect(_) => Vec::new(),
        });
        requests.collect()
    }

    #[test]
    fn every_opcode_is_drawn_but_those_of_the_server() {
        let drawn: std::collections::BTreeSet<i32> =
            all(3).iter().filter_map(Request::opcode).collect();
        let opcodes = [-11].into_iter().chain(1..=9).chain(11..=19).chain(21..=22);
        for opcode in opcodes.chain(100..=107) {
            assert!(drawn.contains(&opcode), "{opcode}");
        }
        for opcode in [op::CREATE_SESSION, op::DELETE_CONTAINER] {
            assert!(!drawn.contains(&opcode), "{opcode}");
        }
    }
}
