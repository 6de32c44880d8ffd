//! Reads one snapshot, in bounded memory, and checks its seals.

use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ox_proto::Zxid;
use simd_adler32::Adler32;

use super::read_ahead::ReadAhead;
use super::snappy::SnappyReader;
use super::{SEAL_LENGTH, SEAL_TEXT, SnapshotError, SnapshotFile};
use crate::CallerError;
use crate::disk::{Disk, Open, Reading};
use crate::error::{Doing, IoFailure};
use crate::format::{Compression, HEADER_LENGTH, SNAPSHOT_MAGIC, i32_at, i64_at};

/// Bytes that are read and handed on at a time.
const CHUNK: usize = 256 << 10;

/// Shorter files are read by who takes them in.
const WORTH_A_THREAD: u64 = 1 << 20;

/// No record of an image is longer, whatever `jute.maxbuffer` is set to.
const LONGEST_RECORD: usize = 256 << 20;

/// What stands behind an image is some tens of bytes; more than this is not looked at.
const LONGEST_TAIL: u64 = 64 << 10;

/// Bytes of the section with a digest, from version 2 on, and of that with the last zxid.
const DIGEST: usize = 20 + SEAL_LENGTH;
const LAST_ZXID: usize = 8 + SEAL_LENGTH;

/// The digest section before version 2 holds a text.
const FIRST_NUMERIC_DIGEST: i32 = 2;

/// Takes an image in, piece by piece.
pub trait ImageSink {
    /// The file has so many bytes. Told before the first of them, as a hint for what to prepare.
    fn expect(&mut self, _file_bytes: u64) {}

    /// Takes whole records off the front of `window`. Returns how many bytes those were, and
    /// whether the image is complete; an incomplete record at the end is offered again, with more
    /// behind it.
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), CallerError>;
}

/// What a snapshot says behind its image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotTail {
    /// The digest of the tree; `None` before 3.6, with digests off, or if it is of a version that
    /// is no longer compared.
    pub digest: Option<SnapshotDigest>,
    /// The last transaction applied when the image was complete; `None` before 3.9.
    pub last_zxid: Option<Zxid>,
}

/// A digest and the moment it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotDigest {
    /// The last transaction applied when the digest was taken, after the image was written: the
    /// name's zxid or later.
    pub zxid: Zxid,
    /// How it was computed.
    pub version: i32,
    /// The digest of the whole tree.
    pub digest: i64,
}

/// A snapshot's bytes, uncompressed.
struct Stream<'a> {
    path: &'a Path,
    /// Of the file.
    length: u64,
    input: Box<dyn Read>,
}

impl<'a> Stream<'a> {
    fn open(disk: &dyn Disk, file: &'a SnapshotFile) -> Result<Self, SnapshotError> {
        let path = &file.path;
        let input = disk.open(path, Open::Read).doing("open", path)?;
        let length = input.length().doing("read", path)?;
        let input = Reading::new(input);
        let input: Box<dyn Read + Send> = match file.compression {
            Compression::None => Box::new(input),
            Compression::Gz => Box::new(MultiGzDecoder::new(BufReader::new(input))),
            Compression::Snappy => {
                let input = SnappyReader::new(BufReader::new(input));
                Box::new(input.doing("uncompress", path)?)
            }
        };
        let input: Box<dyn Read> = match length < WORTH_A_THREAD {
            true => input,
            false => Box::new(ReadAhead::new(input).doing("start reading", path)?),
        };
        Ok(Self {
            path,
            length,
            input,
        })
    }

    /// Appends up to `length` bytes to `buffer`; fewer only at the end.
    fn read(&mut self, length: usize, buffer: &mut Vec<u8>) -> Result<usize, IoFailure> {
        (&mut self.input)
            .take(length as u64)
            .read_to_end(buffer)
            .doing("read", self.path)
    }
}

/// Reads a snapshot into `sink`. All its seals hold if this succeeds; otherwise what the sink has
/// taken in is worthless.
pub fn load_snapshot(
    disk: &dyn Disk,
    file: &SnapshotFile,
    sink: &mut dyn ImageSink,
) -> Result<SnapshotTail, SnapshotError> {
    let mut stream = Stream::open(disk, file)?;
    let mut window = Vec::new();
    let mut content = Content::begin(&mut stream, &mut window)?;
    sink.expect(stream.length);
    loop {
        // Doubling, so that a long record is not offered more often than it must be.
        let wanted = CHUNK.max(window.len());
        let ended = stream.read(wanted, &mut window)? < wanted;
        let (used, done) = sink.feed(&window).map_err(|source| SnapshotError::Image {
            path: file.path.clone(),
            offset: content.offset,
            source,
        })?;
        content.pass(&window[..used]);
        window.drain(..used);
        if done {
            break;
        }
        if ended {
            return Err(content.ended(window.len()));
        }
        if used == 0 && window.len() >= LONGEST_RECORD {
            return Err(SnapshotError::Endless {
                path: file.path.clone(),
                offset: content.offset,
                length: window.len(),
            });
        }
    }
    (&mut stream.input)
        .take(LONGEST_TAIL)
        .read_to_end(&mut window)
        .doing("read", &file.path)?;
    content.tail(&window)
}

/// Checks that a snapshot is what was written, without taking it in: its last seal is over
/// everything before it. Fails, too, if something follows that seal.
pub fn verify_snapshot(disk: &dyn Disk, file: &SnapshotFile) -> Result<(), SnapshotError> {
    read_tail(disk, file).map(drop)
}

/// Does what [`verify_snapshot`] does, and reads what stands behind the image. Where the image
/// ends is told by the seal behind it, so the sections must be among those that we know.
pub(crate) fn read_tail(
    disk: &dyn Disk,
    file: &SnapshotFile,
) -> Result<SnapshotTail, SnapshotError> {
    const LONGEST: usize = SEAL_LENGTH + DIGEST + LAST_ZXID;
    const KNOWN: [usize; 4] = [
        LONGEST,
        SEAL_LENGTH + DIGEST,
        SEAL_LENGTH + LAST_ZXID,
        SEAL_LENGTH,
    ];

    let mut stream = Stream::open(disk, file)?;
    let mut window = Vec::new();
    let mut content = Content::begin(&mut stream, &mut window)?;
    while stream.read(CHUNK, &mut window)? > 0 {
        let passed = window.len().saturating_sub(LONGEST);
        content.pass(&window[..passed]);
        window.drain(..passed);
    }
    let mut sealed = content.tail(&[]);
    for length in KNOWN {
        if let Some(image) = window.len().checked_sub(length) {
            let mut content = content.clone();
            content.pass(&window[..image]);
            sealed = content.tail(&window[image..]);
            if sealed.is_ok() {
                break;
            }
        }
    }
    sealed
}

/// What was read and checked of a snapshot so far.
#[derive(Clone)]
struct Content<'a> {
    path: &'a Path,
    offset: u64,
    checksum: Adler32,
}

impl<'a> Content<'a> {
    /// Reads the header.
    fn begin(stream: &mut Stream<'a>, window: &mut Vec<u8>) -> Result<Self, SnapshotError> {
        let mut content = Self {
            path: stream.path,
            offset: 0,
            checksum: Adler32::new(),
        };
        if stream.read(HEADER_LENGTH, window)? < HEADER_LENGTH {
            return Err(content.ended(window.len()));
        }
        let found = i32_at(window, 0);
        if found != SNAPSHOT_MAGIC {
            let path = content.path.to_path_buf();
            return Err(SnapshotError::Magic { path, found });
        }
        content.pass(window);
        window.clear();
        Ok(content)
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.checksum.write(bytes);
        self.offset += bytes.len() as u64;
    }

    fn ended(&self, rest: usize) -> SnapshotError {
        SnapshotError::Ended {
            path: self.path.to_path_buf(),
            offset: self.offset + rest as u64,
        }
    }

    fn take<'b>(&mut self, length: usize, rest: &mut &'b [u8]) -> Result<&'b [u8], SnapshotError> {
        let Some((taken, left)) = rest.split_at_checked(length) else {
            return Err(self.ended(rest.len()));
        };
        *rest = left;
        self.pass(taken);
        Ok(taken)
    }

    /// Compares the seal that comes next. Java does not look at its text, and neither do we.
    fn seal(&mut self, rest: &mut &[u8]) -> Result<(), SnapshotError> {
        let (offset, computed) = (self.offset, self.checksum.finish());
        let found = i64_at(self.take(8, rest)?, 0);
        if found != i64::from(computed) {
            return Err(SnapshotError::Seal {
                path: self.path.to_path_buf(),
                offset,
                found,
                computed,
            });
        }
        self.take(SEAL_TEXT.len(), rest)?;
        Ok(())
    }

    /// Reads what follows the image. Which sections there are is not written anywhere: the number
    /// of bytes left tells.
    fn tail(&mut self, rest: &[u8]) -> Result<SnapshotTail, SnapshotError> {
        let rest = &mut &*rest;
        let mut tail = SnapshotTail::default();
        self.seal(rest)?;
        if !matches!(rest.len(), 0 | LAST_ZXID) {
            tail.digest = self.digest(rest)?;
        }
        if rest.len() >= LAST_ZXID {
            tail.last_zxid = Some(Zxid(i64_at(self.take(8, rest)?, 0)));
            self.seal(rest)?;
        }
        Ok(tail)
    }

    fn digest(&mut self, rest: &mut &[u8]) -> Result<Option<SnapshotDigest>, SnapshotError> {
        let start = self.take(12, rest)?;
        let (zxid, version) = (Zxid(i64_at(start, 0)), i32_at(start, 8));
        let digest = if version >= FIRST_NUMERIC_DIGEST {
            let digest = i64_at(self.take(8, rest)?, 0);
            Some(SnapshotDigest {
                zxid,
                version,
                digest,
            })
        } else {
            let length = i32_at(self.take(4, rest)?, 0);
            self.take(usize::try_from(length).unwrap_or(0), rest)?;
            None
        };
        self.seal(rest)?;
        Ok(digest)
    }
}
