//! The primitives of jute and the trait that every record implements.
//!
//! Invariant: no decoder panics, and none allocates more than the bytes it was given justify.
//! Source: client-protocol.md 1.1.

use bytes::Bytes;
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_i32, be_i64, be_u8};

use crate::text;

/// Something that has a jute encoding.
pub trait Jute: Sized {
    /// The record's name in `zookeeper.jute`, for error messages.
    const NAME: &'static str;

    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads one value off the front of `input`.
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError>;
}

/// Why bytes are not the record they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("the data ends early")]
    End,
    /// A string or buffer claims a length below -1 or above the limit.
    #[error("unreasonable length {0}")]
    Length(i32),
    /// A null where a value is needed.
    #[error("null where a value is needed")]
    Null,
    /// An operation, type or mode that this record cannot hold.
    #[error("unexpected value {0}")]
    Value(i32),
}

/// A cursor over encoded bytes.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    max_length: usize,
    /// What `rest` is a part of, if buffers may be parts of it too.
    shared: Option<&'a Bytes>,
}

type Fault<'a> = nom::error::Error<&'a [u8]>;

impl<'a> Decoder<'a> {
    /// Java's default limit of one string or buffer: `jute.maxbuffer` plus as much extra.
    pub const DEFAULT_MAX_LENGTH: usize = 2 * 0xf_ffff;

    /// Reads from `bytes` with the default limit for strings and buffers.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            max_length: Self::DEFAULT_MAX_LENGTH,
            shared: None,
        }
    }

    /// The same without copying: buffers are parts of `bytes`, which stay in memory as long as any
    /// of them does. Meant for what is used up soon, or not much larger than its buffers.
    pub fn sharing(bytes: &'a Bytes) -> Self {
        Self {
            shared: Some(bytes),
            ..Self::new(bytes)
        }
    }

    /// Sets the largest length in bytes that a string or buffer may have.
    pub fn with_limit(self, max_length: usize) -> Self {
        Self { max_length, ..self }
    }

    /// The bytes not read yet.
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    fn run<O>(
        &mut self,
        mut parser: impl Parser<&'a [u8], Output = O, Error = Fault<'a>>,
    ) -> Result<O, DecodeError> {
        // The parsers used here fail for one reason only: the input is too short.
        let (rest, value) = parser.parse(self.rest).map_err(|_| DecodeError::End)?;
        self.rest = rest;
        Ok(value)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.run(be_u8)
    }

    /// A boolean: any byte but zero is true.
    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        Ok(self.byte()? != 0)
    }

    /// A 32-bit integer.
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        self.run(be_i32)
    }

    /// A 64-bit integer.
    pub fn long(&mut self) -> Result<i64, DecodeError> {
        self.run(be_i64)
    }

    /// The next `length` bytes, whatever they are.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        self.run(take(length))
    }

    /// The bytes of a string or buffer; `None` is null.
    pub fn slice(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(bytes) if bytes <= self.max_length => self.take(bytes).map(Some),
            _ => Err(DecodeError::Length(length)),
        }
    }

    /// A buffer; `None` is null, which differs from empty.
    pub fn buffer(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let slice = self.slice()?;
        Ok(slice.map(|slice| match self.shared {
            Some(bytes) => bytes.slice_ref(slice),
            None => Bytes::copy_from_slice(slice),
        }))
    }

    /// A string; `None` is null, which differs from empty.
    pub fn ustring(&mut self) -> Result<Option<String>, DecodeError> {
        Ok(self.slice()?.map(text::decode))
    }

    /// A string that must not be null.
    pub fn string(&mut self) -> Result<String, DecodeError> {
        self.ustring()?.ok_or(DecodeError::Null)
    }

    /// A vector; `None` is null. Any other count of zero or less is an empty one.
    pub fn vector<T: Jute>(&mut self) -> Result<Option<Vec<T>>, DecodeError> {
        let count = self.int()?;
        if count == -1 {
            return Ok(None);
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(T::decode(self)?);
        }
        Ok(Some(items))
    }
}

/// Decodes one record from the front of `bytes`; what follows it is ignored, as Java does.
pub fn decode<T: Jute>(bytes: &[u8]) -> Result<T, DecodeError> {
    T::decode(&mut Decoder::new(bytes))
}

/// Writes a length and the bytes; lengths beyond a jute int cannot arise from records that were
/// read through a limit, so they are our own bug.
fn encode_slice(bytes: &[u8], out: &mut Vec<u8>) {
    encode_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn encode_length(length: usize, out: &mut Vec<u8>) {
    let length = i32::try_from(length).expect("a record's lengths fit a jute int");
    out.extend_from_slice(&length.to_be_bytes());
}

impl Jute for bool {
    const NAME: &'static str = "boolean";

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.boolean()
    }
}

impl Jute for i32 {
    const NAME: &'static str = "int";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.int()
    }
}

impl Jute for i64 {
    const NAME: &'static str = "long";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.long()
    }
}

impl Jute for String {
    const NAME: &'static str = "ustring";

    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(text::encoded_len(self), out);
        text::encode(self, out);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.string()
    }
}

impl Jute for Bytes {
    const NAME: &'static str = "buffer";

    fn encode(&self, out: &mut Vec<u8>) {
        encode_slice(self, out);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.buffer()?.ok_or(DecodeError::Null)
    }
}

/// A vector that must not be null.
impl<T: Jute> Jute for Vec<T> {
    const NAME: &'static str = "vector";

    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.len(), out);
        for item in self {
            item.encode(out);
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.vector()?.ok_or(DecodeError::Null)
    }
}

/// Null is the length -1. Only strings, buffers and vectors can be null.
macro_rules! nullable {
    ($($type:ty, $read:ident;)*) => {$(
        impl Jute for Option<$type> {
            const NAME: &'static str = <$type as Jute>::NAME;

            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    Some(value) => value.encode(out),
                    None => (-1_i32).encode(out),
                }
            }

            fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                input.$read()
            }
        }
    )*};
}

nullable! {
    String, ustring;
    Bytes, buffer;
}

impl<T: Jute> Jute for Option<Vec<T>> {
    const NAME: &'static str = "vector";

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(items) => items.encode(out),
            None => (-1_i32).encode(out),
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.vector()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check<T: Jute + PartialEq + std::fmt::Debug>(bytes: &[u8], value: Result<T, DecodeError>) {
        assert_eq!(decode::<T>(bytes), value);
        if let Ok(value) = value {
            let mut out = Vec::new();
            value.encode(&mut out);
            assert_eq!(decode::<T>(&out), Ok(value));
        }
    }

    #[test]
    fn any_byte_but_zero_is_true() {
        check(&[5], Ok(true));
        check(&[0], Ok(false));
        check::<bool>(&[], Err(DecodeError::End));
    }

    #[test]
    fn null_and_empty_differ() {
        check(&[255; 4], Ok(None::<String>));
        check(&[0; 4], Ok(Some(String::new())));
        check(&[255; 4], Ok(None::<Bytes>));
        check(&[0; 4], Ok(Some(Bytes::new())));
        check::<String>(&[255; 4], Err(DecodeError::Null));
        check(&[255; 4], Ok(None::<Vec<i32>>));
    }

    #[test]
    fn a_sharing_decoder_reads_the_same_and_copies_no_buffer() {
        let bytes = Bytes::from_static(&[0, 0, 0, 2, 8, 9, 0, 0, 0, 0, 255, 255, 255, 255]);
        let mut input = Decoder::sharing(&bytes);
        let first = input.buffer().unwrap().unwrap();
        assert_eq!(first, [8, 9][..]);
        assert_eq!(first.as_ptr(), bytes[4..].as_ptr());
        assert_eq!(input.buffer(), Ok(Some(Bytes::new())));
        assert_eq!(input.buffer(), Ok(None));
        assert_eq!(input.buffer(), Err(DecodeError::End));
    }

    #[test]
    fn lengths_are_checked_before_anything_is_allocated() {
        check::<Option<Bytes>>(&[0x7f, 255, 255, 255], Err(DecodeError::Length(i32::MAX)));
        check::<Option<String>>(&[255, 255, 255, 254], Err(DecodeError::Length(-2)));
        check::<Option<Bytes>>(&[0, 0, 0, 2, 1], Err(DecodeError::End));
        check::<Option<Vec<i64>>>(&[0x7f, 255, 255, 255], Err(DecodeError::End));
    }

    #[test]
    fn a_negative_count_other_than_minus_one_is_an_empty_vector() {
        check(&(-5_i32).to_be_bytes(), Ok(Some(Vec::<i32>::new())));
    }

    #[test]
    fn the_limit_is_the_longest_length() {
        let bytes = [0, 0, 0, 3, 1, 2, 3];
        assert!(Decoder::new(&bytes).with_limit(3).buffer().is_ok());
        assert_eq!(
            Decoder::new(&bytes).with_limit(2).buffer(),
            Err(DecodeError::Length(3))
        );
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode::<Option<Vec<Option<String>>>>(&bytes);
            let _ = decode::<Option<Bytes>>(&bytes);
        }

        #[test]
        fn strings_without_supplementary_characters_survive(text in "[\u{0}-\u{d7ff}]{0,40}") {
            let mut out = Vec::new();
            text.encode(&mut out);
            prop_assert_eq!(decode::<String>(&out), Ok(text));
        }
    }
}
