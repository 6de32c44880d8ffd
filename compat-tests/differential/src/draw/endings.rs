//! Requests that end their connection. The reference may answer them before what came earlier, or
//! swallow that, so each is sent alone.

use compat_tests::wire::op;

use super::dice::Dice;
use super::requests::MAX_BUFFER;
use crate::script::{Cut, Request, byte, int, nullable, text};

impl Dice {
    /// A request after which the server closes.
    pub(super) fn last_request(&mut self, xid: i32) -> Request {
        match self.below(10) {
            0..4 => self.refused_opcode(xid),
            4..7 => self.refused_auth(xid),
            7 => Request::op(xid, op::SASL, vec![nullable("token", None)]),
            _ => self.broken_frame(),
        }
    }

    fn refused_opcode(&mut self, xid: i32) -> Request {
        let unknown = [
            10,
            0,
            -1,
            op::CHECK,
            999,
            23,
            99,
            108,
            -3,
            -2,
            i32::MAX,
            i32::MIN,
        ];
        let opcode = self.one(&unknown);
        let body = match opcode {
            op::CHECK => vec![self.path_field(), self.version()],
            _ => Vec::new(),
        };
        Request::op(xid, opcode, body)
    }

    fn refused_auth(&mut self, xid: i32) -> Request {
        let schemes = [
            Some("world"),
            Some("auth"),
            Some("super"),
            Some("sasl"),
            Some("x509"),
            Some("nobody"),
            Some(""),
            Some("digest"),
            None,
        ];
        let scheme = self.one(&schemes);
        let auth = match scheme {
            // A digest of anything is somebody's.
            Some("digest") => None,
            _ => self.one(&[None, Some(b"x:y".to_vec())]),
        };
        let body = vec![
            int("type", 0),
            nullable("scheme", scheme.map(Into::into)),
            nullable("auth", auth),
        ];
        let mut request = Request::op(xid, op::AUTH, body);
        if self.percent(20)
            && let Request::Op { cut, .. } = &mut request
        {
            *cut = Cut::Short(self.between(1, 12));
        }
        request
    }

    fn broken_frame(&mut self) -> Request {
        let (length, payload): (i32, Vec<u8>) = match self.below(7) {
            0 => (-1, Vec::new()),
            1 => (0, Vec::new()),
            2 => (4, vec![0; 4]),
            3 => (7, vec![0; 7]),
            4 => (i32::MAX, vec![0; 20]),
            5 => {
                let length = i32::try_from(MAX_BUFFER).expect("a short one") + 1;
                (length, vec![0; MAX_BUFFER + 1])
            }
            // `ruok`, which is a length by now.
            _ => (0x7275_6f6b, Vec::new()),
        };
        Request::Frame { length, payload }
    }

    /// What a client sends that has done its work.
    pub(super) fn close_session(&mut self, xid: i32) -> Request {
        let body = if self.percent(5) {
            vec![byte("more", 1), text("path", "/a")]
        } else {
            Vec::new()
        };
        Request::op(xid, op::CLOSE_SESSION, body)
    }
}
