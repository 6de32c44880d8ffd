//! Requests that keep their place and their connection: whatever they are answered, the next ones are
//! answered behind it.

use compat_tests::wire::op;

use super::dice::Dice;
use super::values::{USERS, open_acl};
use crate::script::{Cut, Field, Given, Part, Request, Zxid, byte, int, long, nullable, text};

/// `jute.maxbuffer` of all servers.
pub const MAX_BUFFER: usize = 4096;

impl Dice {
    /// Any request of this sort to such a server.
    pub(super) fn request(&mut self, xid: i32, to: Role) -> Request {
        let opcode = self.weighted(OPCODES);
        let whole = match to {
            Role::Alone => false,
            Role::Leader => SINGLE_WRITES.contains(&opcode),
            Role::Learner | Role::Left => opcode == op::MULTI || SINGLE_WRITES.contains(&opcode),
        };
        let mut body = self.body(opcode);
        let learner = matches!(to, Role::Learner | Role::Left);
        while learner && whole && !decodes(opcode, &body)
            || to == Role::Left && opcode == op::MULTI && is_empty(&body)
        {
            body = self.body(opcode);
        }
        // What is wrong twice is told by what is found first.
        let has_null = body.iter().any(|field| field.part == Part::Text(None));
        let whole = whole || has_null;
        if self.percent(2) && !whole {
            self.lie(&mut body);
        }
        let mut request = Request::op(xid, opcode, body);
        if self.percent(2) {
            self.fill(&mut request);
        }
        let length = request.frame(&Given::default()).len() - HEAD;
        if let Request::Op { cut, .. } = &mut request {
            match self.below(100) {
                0..2 if 0 < length && !whole => *cut = Cut::Short(self.between(1, length)),
                2..4 if length < MAX_BUFFER - 100 => *cut = Cut::Long(self.between(1, 90)),
                _ => {}
            }
        }
        request
    }

    /// Makes a request that carries data as long as a frame may be.
    fn fill(&mut self, request: &mut Request) {
        let short = request.frame(&Given::default()).len() - 4;
        let Request::Op { body, .. } = request else {
            return;
        };
        let data = body.iter_mut().find(|field| field.name == "data");
        if let Some(Field {
            part: Part::Text(Some(data)),
            ..
        }) = data
            && short < MAX_BUFFER
        {
            let missing = MAX_BUFFER - short - self.below(2);
            data.resize(data.len() + missing, b'f');
        }
    }

    fn body(&mut self, opcode: i32) -> Vec<Field> {
        match opcode {
            op::CREATE_CONTAINER => {
                // One that is to be ephemeral has no children in the reference until it is there.
                let flags = self.weighted(&[(20, 4), (6, 0), (4, 2), (1, 7), (1, -1)]);
                self.create(flags)
            }
            op::CREATE | op::CREATE2 => {
                let flags = self.flags();
                self.create(flags)
            }
            op::CREATE_TTL => {
                // Other flags without a time to live end the reference for good.
                let flags = self.weighted(&[(10, 5), (8, 6)]);
                let mut body = self.create(flags);
                body.push(long("ttl", self.ttl()));
                body
            }
            op::DELETE | op::CHECK => vec![self.path_field(), self.version()],
            op::EXISTS | op::GET_DATA | op::GET_CHILDREN | op::GET_CHILDREN2 => {
                let watch = self.weighted(&[(10, 0), (9, 1), (1, 5)]);
                vec![self.path_field(), byte("watch", watch)]
            }
            op::SET_DATA => {
                let path = self.path();
                let data = self.data_for(&path);
                vec![text("path", path), data, self.version()]
            }
            op::GET_ACL | op::GET_ALL_CHILDREN_NUMBER => vec![self.path_field()],
            op::SYNC if self.percent(30) => vec![text("path", self.text())],
            op::SYNC => vec![self.path_field()],
            op::SET_ACL => vec![self.path_field(), self.acl(), self.version()],
            op::MULTI => self.multi(MULTI_OPCODES),
            op::MULTI_READ => self.multi(READ_OPCODES),
            op::RECONFIG => {
                let mut servers = |name| {
                    let value = self.weighted(&[(5, None), (1, Some("server.9=x")), (1, Some(""))]);
                    nullable(name, value.map(Into::into))
                };
                let (joining, leaving) = (servers("joiningServers"), servers("leavingServers"));
                vec![
                    joining,
                    leaving,
                    servers("newMembers"),
                    long("curConfigId", -1),
                ]
            }
            // The reference knows of no watch on null (see `deliberate`).
            op::CHECK_WATCHES | op::REMOVE_WATCHES => {
                let kind = self.weighted(&[
                    (4, 1),
                    (4, 2),
                    (4, 3),
                    (4, 4),
                    (4, 5),
                    (1, 0),
                    (1, 6),
                    (1, -1),
                ]);
                vec![text("path", self.path()), int("type", kind)]
            }
            op::SET_WATCHES => self.set_watches(&SET_WATCHES_LISTS[..3]),
            op::SET_WATCHES2 => self.set_watches(&SET_WATCHES_LISTS),
            op::ADD_WATCH => {
                let mode = self.weighted(&[(10, 0), (10, 1), (1, 2), (1, -1)]);
                vec![self.path_field(), int("mode", mode)]
            }
            op::GET_EPHEMERALS => {
                let prefix = self.one(&[
                    Some("/"),
                    Some("/"),
                    Some("/a"),
                    Some("/a/b"),
                    Some("a"),
                    Some(""),
                    Some("  "),
                    Some(" / "),
                    None,
                ]);
                vec![nullable("prefixPath", prefix.map(Into::into))]
            }
            _ => Vec::new(),
        }
    }

    fn create(&mut self, flags: i32) -> Vec<Field> {
        let path = if flags & 2 != 0 && self.percent(60) {
            self.one(&["/a/", "/s", "/a/b/q-", "/"]).into()
        } else {
            self.path()
        };
        // The reference does not survive limits for the root.
        let path = match path.as_slice() {
            b"/zookeeper/quota/zookeeper_limits" => b"/a".to_vec(),
            _ => path,
        };
        let data = self.data_for(&path);
        let acl = self.acl();
        // The reference looks at other things before it misses the path (see `deliberate`).
        let null = self.percent(1) && acl == open_acl() && (0..4).contains(&flags);
        let path = nullable("path", (!null).then_some(path));
        vec![path, data, acl, int("flags", flags)]
    }

    /// A multi of these opcodes, and sometimes of others.
    fn multi(&mut self, opcodes: &[(u32, i32)]) -> Vec<Field> {
        let count = self.weighted(&[(1, 0), (3, 1), (5, 2), (5, 3), (3, 4), (1, 6)]);
        let mut records = Vec::new();
        for _ in 0..count {
            let opcode = match self.below(100) {
                0..2 => self.one(&[3, 7, 20, 14, 22, 11, 0, -1, 999]),
                2..4 => self.weighted(READ_OPCODES),
                _ => self.weighted(opcodes),
            };
            let mut record = vec![
                int("type", opcode),
                byte("done", u8::from(self.percent(1))),
                int("err", self.weighted(&[(9, -1), (1, 7)])),
            ];
            record.extend(match opcode {
                // Inside a multi the flags alone decide what is made.
                op::CREATE_TTL => {
                    let flags = self.weighted(&[(6, 5), (5, 6), (1, 0), (1, 4), (1, 9)]);
                    let mut body = self.create(flags);
                    body.push(long("ttl", self.ttl()));
                    body
                }
                op::MULTI | op::MULTI_READ => Vec::new(),
                op::GET_DATA | op::GET_CHILDREN => {
                    vec![
                        text("path", self.path()),
                        byte("watch", u8::from(self.percent(20))),
                    ]
                }
                op::CREATE | op::CREATE2 | op::CREATE_CONTAINER => {
                    let mut body = self.body(opcode);
                    if body[2].part == Part::Int(-1) {
                        // Ours takes a zxid, the reference does not (see `deliberate`).
                        body[2] = open_acl();
                    }
                    body
                }
                opcode => self.body(opcode),
            });
            // An exception in a later one leaves the reference with changes that are not made.
            if !records.is_empty()
                && let Some(acl) = record.iter_mut().find(|field| field.name == "acl")
                && has_null(acl)
            {
                *acl = open_acl();
            }
            records.push(record);
        }
        let end = vec![int("type", -1), byte("done", 1), int("err", -1)];
        if !self.percent(2) {
            records.push(end);
        }
        vec![Field {
            name: "ops",
            part: Part::Sequence(records),
        }]
    }

    fn set_watches(&mut self, lists: &[&'static str]) -> Vec<Field> {
        let zxid = self.weighted(&[
            (4, Zxid::Base(0)),
            (2, Zxid::Base(2)),
            (2, Zxid::Base(5)),
            (2, Zxid::Base(10)),
            (1, Zxid::Literal(0)),
            (1, Zxid::Literal(-1)),
            (1, Zxid::Literal(i64::MAX)),
        ]);
        let mut body = vec![Field {
            name: "relativeZxid",
            part: Part::Zxid(zxid),
        }];
        for name in lists.iter().copied() {
            if self.percent(2) {
                // As good as none; a null list is no good (see `deliberate`).
                body.push(int(name, -3));
                continue;
            }
            let count = self.weighted(&[(4, 0), (4, 1), (3, 2), (1, 4)]);
            let paths = (0..count)
                .map(|_| vec![text("path", self.path())])
                .collect();
            body.push(Field {
                name,
                part: Part::Vector(paths),
            });
        }
        body
    }

    /// A packet that adds an identity, or begins to.
    pub(super) fn auth(&mut self, xid: i32) -> Request {
        if self.percent(10) {
            return Request::op(xid, op::SASL, vec![text("token", self.text())]);
        }
        let (scheme, auth) = if self.percent(85) {
            ("digest", Some(self.one(USERS).to_vec()))
        } else {
            ("ip", self.one(&[None, Some(b"x".to_vec())]))
        };
        let kind = self.one(&[0, 0, 0, 7]);
        let body = vec![
            int("type", kind),
            text("scheme", scheme),
            nullable("auth", auth),
        ];
        Request::op(xid, op::AUTH, body)
    }
}

/// Who is asked. Some writes that cannot be decoded are not for every server (see `deliberate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Alone,
    /// The reference proposes a single one under the last zxid again, and comes to a stop.
    Leader,
    /// Ours answers them all by itself.
    Learner,
    /// A learner whose client has gone elsewhere with its session: a multi is checked by its parts.
    Left,
}

/// Whether a multi ends with its first header.
fn is_empty(body: &[Field]) -> bool {
    match body.first().map(|field| &field.part) {
        Some(Part::Sequence(records)) => records.first().is_none_or(|record| {
            let done = record.get(1).map(|field| &field.part);
            done == Some(&Part::Byte(1))
        }),
        _ => true,
    }
}

/// Whether a body can be decoded as this write.
fn decodes(opcode: i32, body: &[Field]) -> bool {
    if opcode != op::MULTI {
        let mut fields = body.iter();
        return opcode == op::RECONFIG
            || !fields.any(|field| field.name == "path" && field.part == Part::Text(None));
    }
    let Some(Part::Sequence(records)) = body.first().map(|field| &field.part) else {
        return false;
    };
    for record in records {
        let [head, done, _, body @ ..] = record.as_slice() else {
            return false;
        };
        if done.part == Part::Byte(1) {
            return true;
        }
        let flags = body.iter().find(|field| field.name == "flags");
        let flags = flags.map(|field| &field.part);
        let right = match head.part {
            Part::Int(op::DELETE | op::SET_DATA | op::CHECK | op::CREATE_TTL) => true,
            Part::Int(op::CREATE | op::CREATE2 | op::CREATE_CONTAINER) => {
                matches!(flags, Some(Part::Int(0..=4)))
            }
            _ => false,
        };
        let null = |field: &Field| field.name == "path" && field.part == Part::Text(None);
        if !right || body.iter().any(null) {
            return false;
        }
    }
    false
}

/// True for an acl with a null somewhere in it.
fn has_null(acl: &Field) -> bool {
    let Part::Vector(entries) = &acl.part else {
        return false;
    };
    let mut fields = entries.iter().flatten();
    fields.any(|field| field.part == Part::Text(None))
}

/// Length prefix and header of a frame.
const HEAD: usize = 12;

const SET_WATCHES_LISTS: [&str; 5] = [
    "dataWatches",
    "existWatches",
    "childWatches",
    "persistentWatches",
    "persistentRecursiveWatches",
];

const OPCODES: &[(u32, i32)] = &[
    (16, op::CREATE),
    (6, op::CREATE2),
    (3, op::CREATE_CONTAINER),
    (4, op::CREATE_TTL),
    (9, op::DELETE),
    (7, op::EXISTS),
    (7, op::GET_DATA),
    (9, op::SET_DATA),
    (4, op::GET_ACL),
    (5, op::SET_ACL),
    (5, op::GET_CHILDREN),
    (4, op::GET_CHILDREN2),
    (3, op::SYNC),
    (1, op::PING),
    (9, op::MULTI),
    (3, op::MULTI_READ),
    (1, op::RECONFIG),
    (2, op::CHECK_WATCHES),
    (4, op::REMOVE_WATCHES),
    (2, op::SET_WATCHES),
    (3, op::SET_WATCHES2),
    (5, op::ADD_WATCH),
    (3, op::GET_EPHEMERALS),
    (2, op::GET_ALL_CHILDREN_NUMBER),
    (2, op::WHO_AM_I),
];

/// Writes but multi and closeSession.
const SINGLE_WRITES: &[i32] = &[
    op::CREATE,
    op::CREATE2,
    op::CREATE_CONTAINER,
    op::CREATE_TTL,
    op::DELETE,
    op::SET_DATA,
    op::SET_ACL,
    op::RECONFIG,
];

const MULTI_OPCODES: &[(u32, i32)] = &[
    (8, op::CREATE),
    (3, op::CREATE2),
    (2, op::CREATE_CONTAINER),
    (2, op::CREATE_TTL),
    (5, op::DELETE),
    (5, op::SET_DATA),
    (4, op::CHECK),
];

const READ_OPCODES: &[(u32, i32)] = &[(1, op::GET_DATA), (1, op::GET_CHILDREN)];
