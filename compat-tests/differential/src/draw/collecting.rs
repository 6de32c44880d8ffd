//! Scripts about znodes that the server collects: containers that have lost their last child, and znodes
//! whose time to live is over.
//!
//! Invariant: what makes a znode collectable is the last request of its step, and the next step waits for
//! the collection. So a run of the reaper finds all of it or nothing.

use compat_tests::wire::op;

use super::dice::Dice;
use super::values::open_acl;
use crate::script::{Connect, Field, Part, Request, Script, Step, byte, int, long, text};

/// The script of a seed for a service of so many servers, of which one waits to collect.
pub fn collecting(seed: u64, servers: usize) -> Script {
    let mut drawing = Drawing {
        dice: Dice::new(seed),
        next_xid: 1,
        steps: Vec::new(),
    };
    for label in 0..2 {
        let connect = Connect::plain(label, drawing.dice.below(servers));
        drawing.steps.push(Step::Connect(connect));
    }
    let mut foundation = vec![drawing.create(op::CREATE, "/a", 0)];
    if drawing.dice.percent(30) {
        for (path, data) in QUOTA {
            let mut request = drawing.create(op::CREATE, path, 0);
            if let Request::Op { body, .. } = &mut request {
                body[1] = text("data", data);
            }
            foundation.push(request);
        }
    }
    drawing.batch(0, foundation);
    for _ in 0..drawing.dice.between(1, 3) {
        drawing.watch();
        drawing.collect();
        let reads = [
            drawing.request(op::EXISTS, vec![text("path", PATH), byte("watch", 0)]),
            drawing.request(
                op::GET_CHILDREN2,
                vec![text("path", "/a"), byte("watch", 1)],
            ),
        ];
        drawing.batch(1, reads.into());
    }
    Script {
        steps: drawing.steps,
    }
}

/// Usage below `/a` is counted.
const QUOTA: [(&str, &str); 3] = [
    ("/zookeeper/quota/a", ""),
    ("/zookeeper/quota/a/zookeeper_limits", "count=9,bytes=99"),
    ("/zookeeper/quota/a/zookeeper_stats", "count=0,bytes=0"),
];

/// What is collected.
const PATH: &str = "/a/c";
/// Its child.
const CHILD: &str = "/a/c/x";

struct Drawing {
    dice: Dice,
    next_xid: i32,
    steps: Vec<Step>,
}

impl Drawing {
    /// Something by which the other client hears of it.
    fn watch(&mut self) {
        let mode = self.dice.one(&[0, 1]);
        let path = self.dice.one(&["/", "/a", PATH]);
        let request = match self.dice.below(3) {
            0 => self.request(op::ADD_WATCH, vec![text("path", path), int("mode", mode)]),
            1 => self.request(op::EXISTS, vec![text("path", PATH), byte("watch", 1)]),
            _ => self.request(op::GET_CHILDREN, vec![text("path", "/a"), byte("watch", 1)]),
        };
        self.batch(1, vec![request]);
    }

    fn collect(&mut self) {
        let delete = vec![text("path", CHILD), int("version", -1)];
        let last = match self.dice.below(4) {
            0 => {
                let (path, flags) = self.dice.one(&[(PATH, 5), ("/a/t-", 6)]);
                vec![self.create_ttl(path, flags)]
            }
            1 => {
                let parts = vec![
                    (op::CREATE_CONTAINER, create_body(PATH, 4)),
                    (op::CREATE, create_body(CHILD, 0)),
                    (op::DELETE, delete),
                ];
                vec![self.multi(parts)]
            }
            2 => vec![
                self.create(op::CREATE_CONTAINER, PATH, 0),
                self.create(op::CREATE, CHILD, 0),
                self.request(op::DELETE, delete),
            ],
            _ => {
                let made = vec![
                    self.create(op::CREATE_CONTAINER, PATH, 4),
                    self.create(op::CREATE2, CHILD, 1),
                ];
                self.batch(0, made);
                vec![self.request(op::DELETE, delete)]
            }
        };
        self.batch(0, last);
        self.steps.push(Step::Collect(1));
    }

    fn multi(&mut self, parts: Vec<(i32, Vec<Field>)>) -> Request {
        let head = |kind, done| vec![int("type", kind), byte("done", done), int("err", -1)];
        let mut records: Vec<Vec<Field>> = Vec::new();
        for (opcode, body) in parts {
            records.push([head(opcode, 0), body].concat());
        }
        records.push(head(-1, 1));
        let ops = Field {
            name: "ops",
            part: Part::Sequence(records),
        };
        self.request(op::MULTI, vec![ops])
    }

    fn create(&mut self, opcode: i32, path: &str, flags: i32) -> Request {
        self.request(opcode, create_body(path, flags))
    }

    fn create_ttl(&mut self, path: &str, flags: i32) -> Request {
        let mut body = create_body(path, flags);
        body.push(long("ttl", 1));
        self.request(op::CREATE_TTL, body)
    }

    fn request(&mut self, opcode: i32, body: Vec<Field>) -> Request {
        self.next_xid += 1;
        Request::op(self.next_xid - 1, opcode, body)
    }

    fn batch(&mut self, on: usize, requests: Vec<Request>) {
        self.steps.push(Step::Batch { on, requests });
    }
}

fn create_body(path: &str, flags: i32) -> Vec<Field> {
    vec![
        text("path", path),
        text("data", "data"),
        open_acl(),
        int("flags", flags),
    ]
}
