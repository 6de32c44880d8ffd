//! Arguments: paths, data, versions, acls, mostly valid, and what can be wrong with them.

use super::dice::Dice;
use crate::script::{Field, Part, int, nullable, text};

/// Bytes that are no plain text: damaged UTF-8, surrogates, and the borders of what a path may hold.
const ODD: &[&[u8]] = &[
    b"\xff\xfe",
    b"\xed\xa0\xbd",
    b"\xed\xb0\x80",
    b"\xed\xa0\xbd\xed\xb8\x80",
    b"\xf0\x9f\x98\x80",
    b"\xc3\xa9",
    b"\0",
    b"\x1f",
    b"\x7f",
    b"\xc2\x80",
    b"\xc2\x9f",
    b"\xc2\xa0",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xa3\xbf",
    b"\xef\xa4\x80",
    b"\xef\xbf\xaf",
    b"\xef\xbf\xb0",
    b"\xef\xbf\xbd",
    b"\xe2\x82",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\x80",
    b"\xe0\x80\xaf",
    b"\xf0\x9f\x98",
    b"\xed\xa0",
    b" ",
];

/// Bytes at the borders of what UTF-8 and its surrogates are made of.
const BORDERS: &[u8] = b"A:\x80\x8f\x90\x9f\xa0\xbf\xc0\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5\xff";

const PLAIN: &[&str] = &[
    "/a", "/a/b", "/a/b/c", "/a/c", "/b", "/b/a", "/c", "/a/b/c/d",
];

const STRANGE: &[&str] = &[
    "",
    "/",
    "//",
    "a",
    "a/b",
    "/a/",
    "/a//b",
    "/./a",
    "/a/..",
    "/a/../b",
    "/a/b/",
    "/..a",
    "/a..b",
    "/.",
    "/-",
    "/missing/x",
    "/p//a",
    "/zookeeper",
    "/zookeeper/",
    "/zookeeper/x",
    "/A",
    "/a b",
    "///",
];

const SYSTEM: &[&str] = &["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

const QUOTA: &[&str] = &[
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper/quota/a/b",
    "/zookeeper/quota/a/b/zookeeper_limits",
    "/zookeeper/quota/a/b/zookeeper_stats",
];

/// Limits of a quota that parse.
const LIMITS: &[&str] = &[
    "count=2,bytes=10",
    "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=2",
    "count=3,bytes=-1=;countHardLimit=4",
    "count=-1,bytes=20=;byteHardLimit=6",
    "count=1,bytes=1=;byteHardLimit=-1;countHardLimit=-1",
];

/// Limits that do not, and some that only nearly do.
const BAD_LIMITS: &[&str] = &[
    "",
    "x",
    "count=x,bytes=1",
    "count",
    "bytes=5",
    "count=1;bytes=2",
    ",;,",
    "=",
    "a=b=c",
];

impl Dice {
    /// A path; most exist now and then.
    pub(super) fn path(&mut self) -> Vec<u8> {
        match self.below(100) {
            0..78 => self.one(PLAIN).into(),
            78..84 => self.one(STRANGE).into(),
            84..87 => self.one(SYSTEM).into(),
            87..92 => self.one(QUOTA).into(),
            92..96 => [b"/a/0000000000".as_slice(), b"/s0000000001"][self.below(2)].into(),
            96..98 => [self.one(&["/", "/a", "/a/", "x"]).as_bytes(), self.one(ODD)].concat(),
            _ => [b"/".to_vec(), self.text()].concat(),
        }
    }

    /// A field with a path, null now and then.
    pub(super) fn path_field(&mut self) -> Field {
        let null = self.percent(1);
        let path = self.path();
        nullable("path", (!null).then_some(path))
    }

    /// Any text.
    pub(super) fn text(&mut self) -> Vec<u8> {
        match self.below(5) {
            0 => self.one(ODD).into(),
            3 => {
                let count = self.between(1, 6);
                (0..count).map(|_| self.one(BORDERS)).collect()
            }
            1 => [b"x".as_slice(), self.one(ODD), b":", self.one(ODD)].concat(),
            2 => Vec::new(),
            _ => b"text".to_vec(),
        }
    }

    /// What a znode holds; none is null.
    pub(super) fn data(&mut self) -> Option<Vec<u8>> {
        match self.below(20) {
            0..2 => None,
            2..5 => Some(Vec::new()),
            5..7 => Some(self.text()),
            7 => Some(vec![b'd'; self.between(100, 1500)]),
            _ => Some(vec![b'd'; self.between(1, 9)]),
        }
    }

    /// What goes well with this path.
    pub(super) fn data_for(&mut self, path: &[u8]) -> Field {
        let data = if path.ends_with(b"zookeeper_limits") {
            let bad = self.spoils_quotas && self.percent(30);
            Some(self.one(if bad { BAD_LIMITS } else { LIMITS }).into())
        } else if path.ends_with(b"zookeeper_stats") {
            Some(b"count=1,bytes=1".to_vec())
        } else {
            self.data()
        };
        nullable("data", data)
    }

    /// An expected version.
    pub(super) fn version(&mut self) -> Field {
        let drawn = self.weighted(&[
            (60, -1),
            (20, 0),
            (8, 1),
            (4, 2),
            (2, -2),
            (1, i32::MAX),
            (1, i32::MIN),
            (1, 99),
        ]);
        int("version", drawn)
    }

    /// Flags of a create; those of a TTL are for whoever sends one.
    pub(super) fn flags(&mut self) -> i32 {
        self.weighted(&[
            (50, 0),
            (14, 1),
            (14, 2),
            (10, 3),
            (4, 4),
            (2, 5),
            (2, 6),
            (1, 7),
            (1, -1),
            (1, i32::MAX),
            (1, 8),
        ])
    }

    /// Milliseconds to live that never come to an end here.
    pub(super) fn ttl(&mut self) -> i64 {
        const LONGEST: i64 = (1 << 40) - 1;
        self.weighted(&[
            (10, 100_000_000),
            (3, LONGEST),
            (2, LONGEST + 1),
            (2, 0),
            (2, -2),
            (1, i64::MAX),
            (1, i64::MIN),
        ])
    }

    /// An acl.
    pub(super) fn acl(&mut self) -> Field {
        if self.percent(85) {
            return open_acl();
        }
        match self.below(20) {
            0 => return int("acl", -1),
            1 => return int("acl", -5),
            2 => return acl(Vec::new()),
            _ => {}
        }
        let count = self.between(1, 3);
        let mut entries = Vec::new();
        for _ in 0..count {
            let entry = self.acl_entry();
            if self.percent(20) {
                entries.push(entry.clone());
            }
            entries.push(entry);
        }
        acl(entries)
    }

    fn acl_entry(&mut self) -> Vec<Field> {
        let perms = self.weighted(&[
            (10, 31),
            (4, 1),
            (2, 2),
            (3, 4),
            (2, 8),
            (3, 16),
            (2, 30),
            (2, 15),
            (1, 0),
            (1, -1),
            (1, 32),
            (1, i32::MIN),
        ]);
        if self.percent(4) {
            let odd = self.text();
            return vec![
                int("perms", perms),
                text(
                    "scheme",
                    self.one(&["digest", "ip", "world", "auth", "sasl"]),
                ),
                text("id", odd),
            ];
        }
        let (scheme, id) = self.weighted(ACL_IDS);
        let field = |name, text: &str| match text {
            "NULL" => nullable(name, None),
            text => nullable(name, Some(text.into())),
        };
        vec![
            int("perms", perms),
            field("scheme", scheme),
            field("id", id),
        ]
    }

    /// Replaces the length of some text in a body by another one.
    pub(super) fn lie(&mut self, body: &mut [Field]) {
        let count = body.len();
        if count == 0 {
            return;
        }
        let field = &mut body[self.below(count)];
        if let Part::Text(_) = field.part {
            field.part =
                Part::Int(self.one(&[-2, i32::MIN, i32::MAX, 5, 8_191, 8_192, 8_193, 100]));
        }
    }
}

/// The digest ids are those of `USERS`.
const ACL_IDS: &[(u32, (&str, &str))] = &[
    (20, ("world", "anyone")),
    (10, ("auth", "")),
    (2, ("auth", "anything")),
    (1, ("auth", "NULL")),
    (8, ("digest", "u1:fpT/y03U+EjItKZOSLGvjnJlyng=")),
    (4, ("digest", "u2:o9NxcCGDPOlcV7JVhmKHOf5ctVE=")),
    (1, ("digest", "u1")),
    (1, ("digest", "u1:")),
    (1, ("digest", ":h")),
    (1, ("digest", "a:b:c")),
    (1, ("digest", "u:h:")),
    (1, ("digest", "u:h::")),
    (1, ("digest", "::")),
    (1, ("digest", "")),
    (1, ("digest", "NULL")),
    (6, ("ip", "127.0.0.1")),
    (2, ("ip", "127.0.0.0/8")),
    (2, ("ip", "10.0.0.1")),
    (1, ("ip", "0.0.0.0/0")),
    (1, ("ip", "127.0.0.1/33")),
    (1, ("ip", "127.0.0.1/")),
    (1, ("ip", "127.0.0.1/-1")),
    (1, ("ip", "127.0.0.1/+8")),
    (1, ("ip", "127.1")),
    (1, ("ip", "+127.00.0.01")),
    (1, ("ip", "127.0.0.256")),
    (1, ("ip", "127.0.0.1.1")),
    (1, ("ip", "localhost")),
    (1, ("ip", "::1")),
    (1, ("ip", "::1/128")),
    (1, ("ip", "0:0:0:0:0:0:0:1")),
    (1, ("ip", "::ffff:127.0.0.1")),
    (1, ("ip", "fe80::1%lo")),
    (1, ("ip", "1:2:3")),
    (1, ("ip", "::/129")),
    (1, ("ip", "")),
    (1, ("ip", "NULL")),
    (1, ("super", "")),
    (1, ("world", "someone")),
    (1, ("world", "NULL")),
    (1, ("world", "")),
    (1, ("sasl", "user")),
    (1, ("x509", "CN=a")),
    (1, ("nobody", "knows")),
    (1, ("", "")),
    (1, ("NULL", "NULL")),
    (1, ("NULL", "x")),
];

/// What authenticates as somebody of the acls, or as nobody in particular.
pub(super) const USERS: &[&[u8]] = &[
    b"u1:p1",
    b"u1:p1",
    b"u2:p2",
    b"super:secret",
    b"super:wrong",
    b"nocolon",
    b"",
    b":",
    b"u:\xed\xa0\xbd",
    b"\xf0\x9f\x98\x80:x",
    b"\xff\xfe:x",
    b"u1:p1:more",
];

/// Everything for everybody.
pub(crate) fn open_acl() -> Field {
    let entry = vec![
        int("perms", 31),
        text("scheme", "world"),
        text("id", "anyone"),
    ];
    acl(vec![entry])
}

fn acl(entries: Vec<Vec<Field>>) -> Field {
    Field {
        name: "acl",
        part: Part::Vector(entries),
    }
}
