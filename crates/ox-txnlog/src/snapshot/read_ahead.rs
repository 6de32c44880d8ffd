//! A reader that reads and uncompresses on a thread of its own, a little ahead of who takes it in.
//!
//! Invariant: the bytes are those of the reader inside, in order, and its error comes where it
//! arose. Memory is bounded by the channel; dropped early, the thread ends at its next piece.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};

/// How much is read at once.
const PIECE: usize = 256 << 10;

/// How many pieces may wait.
const AHEAD: usize = 4;

/// The far end of the thread.
pub(crate) struct ReadAhead {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    taken: usize,
}

impl ReadAhead {
    /// Starts reading.
    pub(crate) fn new(mut input: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, pieces) = sync_channel(AHEAD);
        std::thread::Builder::new()
            .name("snapshot reader".to_owned())
            .spawn(move || {
                loop {
                    let mut piece = Vec::with_capacity(PIECE);
                    let read = (&mut input).take(PIECE as u64).read_to_end(&mut piece);
                    let ended = matches!(read, Ok(0) | Err(_));
                    // The other end may have seen enough.
                    if sender.send(read.map(|_| piece)).is_err() || ended {
                        return;
                    }
                }
            })?;
        Ok(Self {
            pieces,
            piece: Vec::new(),
            taken: 0,
        })
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.piece.len() {
            // After the end, or an error, nothing more is sent.
            self.piece = self.pieces.recv().unwrap_or_else(|_| Ok(Vec::new()))?;
            self.taken = 0;
        }
        let count = (&self.piece[self.taken..]).read(buffer)?;
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_reader_inside() {
        let bytes: Vec<u8> = (0..3 * PIECE + 17)
            .map(|n| (n % 251).to_le_bytes()[0])
            .collect();
        let mut read = Vec::new();
        let mut ahead = ReadAhead::new(io::Cursor::new(bytes.clone())).unwrap();
        assert_eq!(ahead.read_to_end(&mut read).unwrap(), bytes.len());
        assert_eq!(read, bytes);
        assert_eq!(ahead.read(&mut [0; 9]).unwrap(), 0);
    }

    #[test]
    fn an_error_comes_where_it_arose() {
        struct Fails(usize);
        impl Read for Fails {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
                buffer.fill(7);
                Ok(buffer.len())
            }
        }
        let mut read = Vec::new();
        let error = ReadAhead::new(Fails(40))
            .unwrap()
            .read_to_end(&mut read)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(read.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn whoever_has_seen_enough_may_go() {
        drop(ReadAhead::new(io::repeat(1)).unwrap());
    }
}
