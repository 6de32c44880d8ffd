//! Frames: a length of four bytes, then that many bytes.
//!
//! Invariant: a frame is handed out whole or not at all, and a length over the limit is refused
//! before a byte of it is awaited. Source: client-protocol.md 1.3.

/// A frame that cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Negative, or over the limit.
    #[error("frame length {length} is not within 0..={limit}")]
    Length {
        /// The four bytes read as a length.
        length: i32,
        /// The largest length allowed.
        limit: usize,
    },
}

/// Splits the bytes that have arrived into frames.
#[derive(Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
    limit: usize,
}

impl<'a> Frames<'a> {
    /// The frames in `bytes`, none longer than `limit`.
    pub fn new(bytes: &'a [u8], limit: usize) -> Self {
        Self { rest: bytes, limit }
    }

    /// The next whole frame without its length; `None` when the rest is incomplete.
    pub fn next_frame(&mut self) -> Result<Option<&'a [u8]>, FrameError> {
        let Some((prefix, rest)) = self.rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*prefix);
        let bytes = match usize::try_from(length) {
            Ok(bytes) if bytes <= self.limit => bytes,
            _ => {
                return Err(FrameError::Length {
                    length,
                    limit: self.limit,
                });
            }
        };
        let Some((frame, rest)) = rest.split_at_checked(bytes) else {
            return Ok(None);
        };
        self.rest = rest;
        Ok(Some(frame))
    }

    /// What is left: the beginning of a frame, or nothing.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Begins a frame in `out`; the value returned goes to [`end_frame`].
pub fn start_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    start
}

/// Completes the frame that [`start_frame`] began: writes its length.
pub fn end_frame(out: &mut [u8], start: usize) {
    let (_, frame) = out.split_at_mut(start);
    let length = i32::try_from(frame.len() - 4).expect("a frame's length fits a jute int");
    frame[..4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], frames: &[&[u8]], rest: &[u8]) {
        let mut reader = Frames::new(bytes, 3);
        for frame in frames {
            assert_eq!(reader.next_frame(), Ok(Some(*frame)));
        }
        assert_eq!(reader.next_frame(), Ok(None));
        assert_eq!(reader.rest(), rest);
    }

    #[test]
    fn whole_frames_come_out_and_the_rest_stays() {
        check(
            &[0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 2, 9],
            &[&[7], &[]],
            &[0, 0, 0, 2, 9],
        );
        check(&[0, 0, 0], &[], &[0, 0, 0]);
    }

    #[test]
    fn lengths_below_zero_or_over_the_limit_are_refused() {
        for length in [-1, 4, i32::MIN, i32::MAX] {
            let bytes = length.to_be_bytes();
            let refused = Err(FrameError::Length { length, limit: 3 });
            assert_eq!(Frames::new(&bytes, 3).next_frame(), refused);
        }
    }

    #[test]
    fn a_frame_written_is_a_frame_read() {
        let mut out = vec![1];
        let start = start_frame(&mut out);
        out.extend_from_slice(b"ab");
        end_frame(&mut out, start);
        assert_eq!(Frames::new(&out[1..], 9).next_frame(), Ok(Some(&b"ab"[..])));
    }
}
