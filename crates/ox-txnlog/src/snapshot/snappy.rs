//! The stream format of snappy-java, which is not the framing format of snappy itself.
//!
//! ```text
//! header   82 "SNAPPY" 00 | int version 1 | int lowest compatible version 1
//! chunks   int length | one raw snappy block
//! ```
//!
//! The end of the file ends the stream; nothing is checksummed. A stream may follow another: its
//! magic stands where a length would be. Source: storage.md 7.2.

use std::io::{self, Read, Write};

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

/// Begins a stream.
pub(super) const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];

const HEADER: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];

/// What we put into one block, as snappy-java does by default.
const BLOCK: usize = 32 << 10;

/// The largest block that is read: far above what any server is set to write.
const MAX_BLOCK: usize = 4 << 20;

/// Reads a stream.
pub(super) struct SnappyReader<R> {
    input: R,
    decoder: Decoder,
    compressed: Vec<u8>,
    block: Vec<u8>,
    /// What of `block` was handed out.
    used: usize,
}

impl<R: Read> SnappyReader<R> {
    pub(super) fn new(mut input: R) -> io::Result<Self> {
        let mut header = [0; HEADER.len()];
        input.read_exact(&mut header)?;
        check_magic(&header)?;
        Ok(Self {
            input,
            decoder: Decoder::new(),
            compressed: Vec::new(),
            block: Vec::new(),
            used: 0,
        })
    }

    /// Reads the next block; false at the end of the stream.
    fn next_block(&mut self) -> io::Result<bool> {
        let Some(prefix) = self.prefix()? else {
            return Ok(false);
        };
        if prefix == HEADER[..4] {
            let mut header = HEADER;
            self.input.read_exact(&mut header[4..])?;
            check_magic(&header)?;
            self.block.clear();
            self.used = 0;
            return Ok(true);
        }
        let length = u32::from_be_bytes(prefix);
        let length = usize::try_from(length).map_err(io::Error::other)?;
        if length == 0 || length > max_compress_len(MAX_BLOCK) {
            return Err(broken(format!("a block of {length} bytes")));
        }
        self.compressed.resize(length, 0);
        self.input.read_exact(&mut self.compressed)?;
        let length = decompress_len(&self.compressed)?;
        if length > MAX_BLOCK {
            return Err(broken(format!("a block that grows to {length} bytes")));
        }
        self.block.resize(length, 0);
        self.decoder.decompress(&self.compressed, &mut self.block)?;
        self.used = 0;
        Ok(true)
    }

    /// The four bytes before a chunk; `None` at the end of the file.
    fn prefix(&mut self) -> io::Result<Option<[u8; 4]>> {
        let mut prefix = [0; 4];
        let mut got = 0;
        while got < prefix.len() {
            match self.input.read(&mut prefix[got..]) {
                Ok(0) if got == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => got += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(prefix))
    }
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.used == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let rest = &self.block[self.used..];
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.used += length;
        Ok(length)
    }
}

fn check_magic(header: &[u8; HEADER.len()]) -> io::Result<()> {
    match header.starts_with(&MAGIC) {
        true => Ok(()),
        false => Err(broken("not a stream of snappy-java".to_owned())),
    }
}

fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes a stream.
pub(super) struct SnappyWriter<W> {
    output: W,
    encoder: Encoder,
    block: Vec<u8>,
    compressed: Vec<u8>,
}

impl<W: Write> SnappyWriter<W> {
    pub(super) fn new(mut output: W) -> io::Result<Self> {
        output.write_all(&HEADER)?;
        Ok(Self {
            output,
            encoder: Encoder::new(),
            block: Vec::with_capacity(BLOCK),
            compressed: vec![0; max_compress_len(BLOCK)],
        })
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let length = (self.encoder).compress(&self.block, &mut self.compressed)?;
        let prefix = u32::try_from(length).map_err(io::Error::other)?;
        self.output.write_all(&prefix.to_be_bytes())?;
        self.output.write_all(&self.compressed[..length])?;
        self.block.clear();
        Ok(())
    }

    /// Ends the stream.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.end_block()?;
        Ok(self.output)
    }
}

impl<W: Write> Write for SnappyWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..length]);
        if self.block.len() == BLOCK {
            self.end_block()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(bytes: &[u8]) -> Vec<u8> {
        let mut writer = SnappyWriter::new(Vec::new()).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn read(stream: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        SnappyReader::new(stream)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn blocks_hold_32_kib_each() {
        let stream = write(&[9; BLOCK + 1]);
        assert_eq!(stream[..16], HEADER);
        let first = u32::from_be_bytes(stream[16..20].try_into().unwrap()) as usize;
        assert_eq!(decompress_len(&stream[20..20 + first]).unwrap(), BLOCK);
        assert_eq!(decompress_len(&stream[24 + first..]).unwrap(), 1);
    }

    #[test]
    fn streams_may_follow_each_other() {
        let mut stream = write(b"one, ");
        stream.extend_from_slice(&write(b""));
        stream.extend_from_slice(&write(b"two"));
        assert_eq!(read(&stream).unwrap(), b"one, two");
    }

    #[test]
    fn unreasonable_lengths_are_refused_before_memory_is_taken() {
        for length in [0_u32, u32::MAX, 0x7fff_ffff] {
            let mut stream = HEADER.to_vec();
            stream.extend_from_slice(&length.to_be_bytes());
            assert_eq!(
                read(&stream).unwrap_err().kind(),
                io::ErrorKind::InvalidData
            );
        }
        // A block that says it holds 4 GiB.
        let mut stream = HEADER.to_vec();
        stream.extend_from_slice(&[0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
        assert_eq!(
            read(&stream).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(length in 0_usize..100_000, period in 1_usize..300) {
            let byte = |at: usize| u8::try_from(at % period % 251).unwrap();
            let bytes: Vec<_> = (0..length).map(byte).collect();
            prop_assert!(read(&write(&bytes)).unwrap() == bytes);
        }

        #[test]
        fn damaged_streams_never_panic(at in 16_usize..3000, bits in 1_u8..) {
            let mut stream = write(&[1, 2, 3, 4, 5, 6, 7].repeat(5_000));
            let at = at % stream.len();
            stream[at] ^= bits;
            let _ = read(&stream);
            let _ = read(&stream[..at]);
        }
    }
}
