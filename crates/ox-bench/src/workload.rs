//! Requests, written into a buffer from templates: only the xid and some digits differ.

use bytes::{Bytes, BytesMut};
use ox_jute::{Jute, end_frame, start_frame};
use ox_proto::{Acl, CreateRequest, OpCode, ReadRequest, RequestHeader, SetDataRequest, Xid};

/// The bytes of every value.
pub(crate) const VALUE: [u8; 100] = [b'x'; 100];

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    Get,
    Set,
    Create,
    /// Nine gets to one set.
    Mix,
}

impl Workload {
    pub(crate) const ALL: [Self; 4] = [Self::Get, Self::Set, Self::Create, Self::Mix];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Create => "create",
            Self::Mix => "90/10 mix",
        }
    }
}

/// A whole frame whose path ends in a number of a fixed width.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    frame: Vec<u8>,
    /// Where the digits end, and how many there are.
    end: usize,
    width: usize,
}

impl Template {
    /// getData of `prefix` and a number.
    pub(crate) fn get(prefix: &str, width: usize) -> Self {
        let path = path(prefix, width);
        let length = path.len();
        let record = ReadRequest { path, watch: false };
        Self::new(OpCode::GetData, &record, length, width)
    }

    /// setData of any version.
    pub(crate) fn set(prefix: &str, width: usize) -> Self {
        let path = path(prefix, width);
        let length = path.len();
        let record = SetDataRequest {
            path,
            data: Some(Bytes::from_static(&VALUE)),
            version: -1,
        };
        Self::new(OpCode::SetData, &record, length, width)
    }

    /// create of a persistent znode.
    pub(crate) fn create(prefix: &str, width: usize) -> Self {
        let path = path(prefix, width);
        let length = path.len();
        let record = CreateRequest {
            path,
            data: Some(Bytes::from_static(&VALUE)),
            acl: Some(vec![Acl::world(Acl::ALL).into()]),
            flags: 0,
        };
        Self::new(OpCode::Create, &record, length, width)
    }

    fn new(op: OpCode, record: &impl Jute, path_length: usize, width: usize) -> Self {
        /// Length, xid, opcode, and the length of the path.
        const BEFORE_PATH: usize = 16;
        let mut frame = Vec::new();
        let start = start_frame(&mut frame);
        RequestHeader {
            xid: Xid(0),
            r#type: op.code(),
        }
        .encode(&mut frame);
        record.encode(&mut frame);
        end_frame(&mut frame, start);
        Self {
            frame,
            end: BEFORE_PATH + path_length,
            width,
        }
    }

    /// Appends the frame for `number`.
    pub(crate) fn write(&mut self, xid: Xid, mut number: u64, out: &mut BytesMut) {
        self.frame[4..8].copy_from_slice(&xid.0.to_be_bytes());
        for digit in self.frame[self.end - self.width..self.end].iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).expect("a digit");
            number /= 10;
        }
        out.extend_from_slice(&self.frame);
    }
}

fn path(prefix: &str, width: usize) -> String {
    format!("{prefix}{:0width$}", 0)
}

/// Numbers that look random; the same seed gives the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        // Xorshift does not leave zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ox_jute::{Decoder, Frames};

    #[test]
    fn a_template_writes_whole_requests() {
        let mut out = BytesMut::new();
        let mut template = Template::create("/f/n", 7);
        template.write(Xid(1), 123, &mut out);
        template.write(Xid(2), 9_999_999, &mut out);
        let mut frames = Frames::new(&out, 1 << 20);
        for (xid, path) in [(1, "/f/n0000123"), (2, "/f/n9999999")] {
            let mut decoder = Decoder::new(frames.next_frame().unwrap().unwrap());
            let header = RequestHeader::decode(&mut decoder).unwrap();
            assert_eq!((header.xid, header.r#type), (Xid(xid), 1));
            let request = CreateRequest::decode(&mut decoder).unwrap();
            assert_eq!(request.path, path);
            assert_eq!(request.data.as_deref(), Some(&VALUE[..]));
            assert!(decoder.remaining().is_empty());
        }
        assert!(frames.rest().is_empty());
    }
}
