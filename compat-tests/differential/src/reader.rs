//! A frame taken apart into tokens, each with its name and the rule of its comparison.
//!
//! Invariant: tokens lose nothing, so frames whose tokens are equal are equal bytes. A frame that does
//! not fit what it should be is one token of all its bytes.

use compat_tests::wire::op;

/// What a frame has to be read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A ConnectResponse.
    Connect,
    /// A ReplyHeader and the body of this opcode.
    Reply(i32),
    /// A WatcherEvent behind its header.
    Event,
}

/// One field of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name in `zookeeper.jute`.
    pub name: &'static str,
    /// What it holds, by how it is compared.
    pub value: Value,
}

/// What a token holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Compared as it is.
    Int(i32),
    /// Compared as it is.
    Bytes(Vec<u8>),
    /// A string or a buffer, compared as it is; `None` is null.
    Text(Option<Vec<u8>>),
    /// A transaction's number.
    Zxid(i64),
    /// A session id.
    Session(i64),
    /// A session's password.
    Password(Option<Vec<u8>>),
    /// The wall time of the transaction with this zxid, in milliseconds.
    Time {
        /// Whose time it is.
        zxid: i64,
        /// What the server says.
        ms: i64,
    },
    /// Names whose order means nothing.
    Names(Vec<Option<Vec<u8>>>),
}

/// The tokens of a frame.
pub fn tokens(kind: Kind, frame: &[u8]) -> Vec<Token> {
    let mut reader = Reader {
        rest: frame,
        tokens: Vec::new(),
    };
    if reader.frame(kind).is_none() {
        let value = Value::Bytes(frame.to_vec());
        return vec![Token {
            name: "not to be read",
            value,
        }];
    }
    if !reader.rest.is_empty() {
        let rest = reader.rest.to_vec();
        reader.token("more", Value::Bytes(rest));
    }
    reader.tokens
}

struct Reader<'a> {
    rest: &'a [u8],
    tokens: Vec<Token>,
}

impl<'a> Reader<'a> {
    fn frame(&mut self, kind: Kind) -> Option<()> {
        match kind {
            Kind::Connect => {
                self.int("protocolVersion")?;
                self.int("timeOut")?;
                self.session("sessionId")?;
                let password = self.take_buffer()?;
                self.token("passwd", Value::Password(password));
                Some(())
            }
            Kind::Event => {
                self.header()?;
                self.int("type")?;
                self.int("state")?;
                self.text("path")
            }
            Kind::Reply(opcode) => match self.header()? {
                0 => self.body(opcode),
                _ => Some(()),
            },
        }
    }

    /// Takes a ReplyHeader; its error.
    fn header(&mut self) -> Option<i32> {
        self.int("xid")?;
        self.zxid("zxid")?;
        self.int("err")
    }

    fn body(&mut self, opcode: i32) -> Option<()> {
        match opcode {
            op::CREATE | op::SYNC => self.text("path"),
            op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                self.text("path")?;
                self.stat()
            }
            op::EXISTS | op::SET_DATA | op::SET_ACL => self.stat(),
            op::GET_DATA => {
                self.text("data")?;
                self.stat()
            }
            op::GET_ACL => {
                self.acl()?;
                self.stat()
            }
            op::GET_CHILDREN => self.names("children"),
            op::GET_EPHEMERALS => self.names("ephemerals"),
            op::GET_CHILDREN2 => {
                self.names("children")?;
                self.stat()
            }
            op::MULTI | op::MULTI_READ => loop {
                let result = self.int("result type")?;
                let done = self.take(1)?.to_vec();
                self.token("done", Value::Bytes(done.clone()));
                self.int("result err")?;
                if done != [0] {
                    return Some(());
                }
                match result {
                    -1 => {
                        self.int("err")?;
                    }
                    _ => self.body(result)?,
                }
            },
            op::WHO_AM_I => {
                let count = self.int("count")?;
                let mut names = Vec::new();
                for _ in 0..count {
                    let (scheme, user) = (self.take_buffer()?, self.take_buffer()?);
                    let mut both = scheme.unwrap_or_else(|| b"null".to_vec());
                    both.push(b':');
                    both.extend(user.unwrap_or_else(|| b"null".to_vec()));
                    names.push(Some(both));
                }
                self.token("clientInfo", Value::Names(names));
                Some(())
            }
            // What has no body, and small ones that are compared whole.
            _ => Some(()),
        }
    }

    /// Takes an acl; neighbours that may be the identities behind one entry `auth` are one token.
    fn acl(&mut self) -> Option<()> {
        let mut group: Option<(i32, Vec<Option<Vec<u8>>>)> = None;
        for _ in 0..self.int("acl")? {
            let perms = self.take_int()?;
            let (scheme, id) = (self.take_buffer()?, self.take_buffer()?);
            let is_digest = scheme.as_deref() == Some(b"digest");
            match &mut group {
                Some((same, ids)) if is_digest && *same == perms => ids.push(id),
                _ => {
                    self.identities(group.take());
                    if is_digest {
                        group = Some((perms, vec![id]));
                    } else {
                        self.token("perms", Value::Int(perms));
                        self.token("scheme", Value::Text(scheme));
                        self.token("id", Value::Text(id));
                    }
                }
            }
        }
        self.identities(group);
        Some(())
    }

    fn identities(&mut self, group: Option<(i32, Vec<Option<Vec<u8>>>)>) {
        if let Some((perms, ids)) = group {
            self.token("digest perms", Value::Int(perms));
            self.token("ids", Value::Names(ids));
        }
    }

    fn stat(&mut self) -> Option<()> {
        let czxid = self.zxid("czxid")?;
        let mzxid = self.zxid("mzxid")?;
        for (name, zxid) in [("ctime", czxid), ("mtime", mzxid)] {
            let ms = self.take_long()?;
            self.token(name, Value::Time { zxid, ms });
        }
        self.int("version")?;
        self.int("cversion")?;
        self.int("aversion")?;
        self.session("ephemeralOwner")?;
        self.int("dataLength")?;
        self.int("numChildren")?;
        self.zxid("pzxid")?;
        Some(())
    }

    fn names(&mut self, name: &'static str) -> Option<()> {
        let count = self.int("count")?;
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(self.take_buffer()?);
        }
        self.token(name, Value::Names(names));
        Some(())
    }

    fn int(&mut self, name: &'static str) -> Option<i32> {
        let value = self.take_int()?;
        self.token(name, Value::Int(value));
        Some(value)
    }

    fn zxid(&mut self, name: &'static str) -> Option<i64> {
        let value = self.take_long()?;
        self.token(name, Value::Zxid(value));
        Some(value)
    }

    fn session(&mut self, name: &'static str) -> Option<()> {
        let value = self.take_long()?;
        self.token(name, Value::Session(value));
        Some(())
    }

    fn text(&mut self, name: &'static str) -> Option<()> {
        let value = self.take_buffer()?;
        self.token(name, Value::Text(value));
        Some(())
    }

    fn token(&mut self, name: &'static str, value: Value) {
        self.tokens.push(Token { name, value });
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(count)?;
        self.rest = tail;
        Some(head)
    }

    fn take_int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn take_long(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn take_buffer(&mut self) -> Option<Option<Vec<u8>>> {
        match self.take_int()? {
            -1 => Some(None),
            length => Some(Some(self.take(usize::try_from(length).ok()?)?.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use compat_tests::wire::Fields;

    use super::*;

    #[test]
    fn a_frame_that_does_not_fit_is_one_token_and_what_follows_one_more() {
        let header = Fields::new().int(1).long(7).int(0);
        let whole = header.clone().string("/a").0;
        let names = |frame: &[u8]| -> Vec<_> {
            let tokens = tokens(Kind::Reply(op::CREATE), frame);
            tokens.into_iter().map(|token| token.name).collect()
        };
        assert_eq!(names(&whole), ["xid", "zxid", "err", "path"]);
        assert_eq!(names(&whole[..whole.len() - 1]), ["not to be read"]);
        let more = [whole, vec![0]].concat();
        assert_eq!(names(&more), ["xid", "zxid", "err", "path", "more"]);
    }
}
