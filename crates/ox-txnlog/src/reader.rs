//! Reads the entries of one log file, until something is not an entry.
//!
//! Judging what ended the entries is the caller's: the same bytes are the ordinary end of one file
//! and damage in another. Source: storage.md 5.2.

use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use ox_proto::Zxid;

use crate::disk::{Disk, Open, Reading};
use crate::error::{Doing, IoFailure};
use crate::format::{
    END_OF_RECORD, HEADER_LENGTH, LENGTH_AT, LOG_DBID, LOG_MAGIC, PREFIX_LENGTH, checksum, i32_at,
    i64_at, zxid_of,
};
use crate::scan::find_nonzero;

/// What ended the entries of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The file ends behind an entry: no damage.
    End,
    /// Zeros where an entry would begin: the unused space, if nothing else follows.
    Zeros,
    /// The file ends within an entry.
    Cut,
    /// A checksum without a length.
    NoLength,
    /// The entry's last byte is another.
    EndByte(u8),
    /// A whole entry that is too short for its transaction.
    Short,
    /// A length that is negative or above the limit.
    Length(i32),
    /// The payload's checksum is another.
    Checksum,
}

impl Damage {
    /// True if Java refuses to start over it in any file, rather than take it for the end.
    pub(crate) fn stops_java(self) -> bool {
        match self {
            Self::Length(_) | Self::Checksum => true,
            Self::End
            | Self::Zeros
            | Self::Cut
            | Self::NoLength
            | Self::EndByte(_)
            | Self::Short => false,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => write!(f, "the end of the file"),
            Self::Zeros => write!(f, "zeros"),
            Self::Cut => write!(f, "a record cut off by the end of the file"),
            Self::NoLength => write!(f, "a record without a length"),
            Self::EndByte(byte) => write!(f, "a record that ends in {byte:#04x}, not 0x42"),
            Self::Short => write!(f, "a record that is too short for its transaction"),
            Self::Length(length) => write!(f, "a record with the unreasonable length {length}"),
            Self::Checksum => write!(f, "a record whose checksum does not match"),
        }
    }
}

/// Reads one log from its beginning.
pub(crate) struct LogReader {
    pub(crate) path: PathBuf,
    /// We have written it, not Java.
    pub(crate) is_ours: bool,
    input: BufReader<Reading>,
    /// Of the file.
    length: u64,
    /// Where the next entry begins.
    pub(crate) offset: u64,
    /// The checksum field at the place of the first entry; `None` if the file is too short.
    pub(crate) first_checksum: Option<i64>,
    /// Longest payload that is believed.
    max_record: usize,
    /// Of the last entry.
    pub(crate) payload: Vec<u8>,
}

impl LogReader {
    /// Opens a log, or tells what magic number stands there instead of a log's; `None` if the file
    /// is too short to have any.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: PathBuf,
        max_record: usize,
    ) -> Result<Result<Self, Option<i32>>, IoFailure> {
        let open = || -> io::Result<(BufReader<Reading>, u64, Vec<u8>)> {
            let file = disk.open(&path, Open::Read)?;
            let length = file.length()?;
            let mut input = BufReader::with_capacity(256 << 10, Reading::new(file));
            let mut start = Vec::new();
            (&mut input)
                .take((HEADER_LENGTH + LENGTH_AT) as u64)
                .read_to_end(&mut start)?;
            input.seek(SeekFrom::Start(HEADER_LENGTH as u64))?;
            Ok((input, length, start))
        };
        let (input, length, start) = open().doing("read", &path)?;
        let magic = (start.len() >= HEADER_LENGTH).then(|| i32_at(&start, 0));
        if magic != Some(LOG_MAGIC) {
            return Ok(Err(magic));
        }
        let whole = start.len() == HEADER_LENGTH + LENGTH_AT;
        Ok(Ok(Self {
            path,
            is_ours: i64_at(&start, HEADER_LENGTH - 8) == LOG_DBID,
            input,
            length,
            offset: HEADER_LENGTH as u64,
            first_checksum: whole.then(|| i64_at(&start, HEADER_LENGTH)),
            max_record,
            payload: Vec::new(),
        }))
    }

    /// Reads the next entry into `payload`: its zxid, or what is there instead.
    pub(crate) fn next(&mut self) -> Result<Result<Zxid, Damage>, IoFailure> {
        let left = self.length - self.offset;
        if left < PREFIX_LENGTH as u64 {
            return Ok(Err(match left {
                0 => Damage::End,
                _ => Damage::Cut,
            }));
        }
        let mut prefix = [0; PREFIX_LENGTH];
        if !self.fill(&mut prefix)? {
            return Ok(Err(Damage::Cut));
        }
        let (stored, length) = (i64_at(&prefix, 0), i32_at(&prefix, LENGTH_AT));
        let length = match usize::try_from(length) {
            Ok(0) if stored == 0 => return Ok(Err(Damage::Zeros)),
            Ok(0) => return Ok(Err(Damage::NoLength)),
            Ok(length) if length <= self.max_record => length,
            _ => return Ok(Err(Damage::Length(length))),
        };
        if left < (PREFIX_LENGTH + length + 1) as u64 {
            return Ok(Err(Damage::Cut));
        }
        self.payload.resize(length, 0);
        let mut payload = std::mem::take(&mut self.payload);
        let mut end = [0];
        let whole = self.fill(&mut payload);
        self.payload = payload;
        if !whole? || !self.fill(&mut end)? {
            return Ok(Err(Damage::Cut));
        }
        if end != [END_OF_RECORD] {
            return Ok(Err(Damage::EndByte(end[0])));
        }
        if stored != i64::from(checksum(&self.payload)) {
            return Ok(Err(Damage::Checksum));
        }
        let Some(zxid) = zxid_of(&self.payload) else {
            return Ok(Err(Damage::Short));
        };
        self.offset += (PREFIX_LENGTH + length + 1) as u64;
        Ok(Ok(zxid))
    }

    /// False if the file ends before that: it may have been cut since its length was asked for.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<bool, IoFailure> {
        match self.input.read_exact(bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| true).doing("read", &self.path),
        }
    }

    /// Goes to where an entry begins, and sees the file as it is now.
    pub(crate) fn go_to(&mut self, offset: u64) -> Result<(), IoFailure> {
        let mut go = || -> io::Result<u64> {
            self.input.seek(SeekFrom::Start(offset))?;
            self.input.get_ref().file.length()
        };
        // It may be cut to less than where we are.
        self.length = go().doing("read", &self.path)?.max(offset);
        self.offset = offset;
        Ok(())
    }

    /// Bytes from here to the end of the file.
    pub(crate) fn rest(&self) -> u64 {
        self.length - self.offset
    }

    /// True if nothing but unused space follows.
    pub(crate) fn is_at_end(&self) -> Result<bool, IoFailure> {
        let nonzero = find_nonzero(&*self.input.get_ref().file, self.offset);
        Ok(nonzero.doing("read", &self.path)?.is_none())
    }

    /// Writes the entries behind `from` once more, as they are. A sync that failed leaves in memory
    /// what it has not written, and has the system take it for written: no later sync would write
    /// it, and a power cut take it away (reliability.md 1). So whoever has read what is not known to
    /// be synced makes it new before the next [`sync`](Self::sync).
    pub(crate) fn write_again(&self, disk: &dyn Disk, from: u64) -> Result<(), IoFailure> {
        let write = || -> io::Result<()> {
            let (source, target) = (
                &self.input.get_ref().file,
                disk.open(&self.path, Open::Write)?,
            );
            let mut chunk = vec![0; 64 << 10];
            let mut at = from;
            while at < self.offset {
                let left = usize::try_from(self.offset - at).unwrap_or(usize::MAX);
                let wanted = left.min(chunk.len());
                let count = source.read_at(&mut chunk[..wanted], at)?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                target.write_at([&chunk[..count], &[]], at)?;
                at += count as u64;
            }
            Ok(())
        };
        match from < self.offset {
            true => write().doing("write", &self.path),
            false => Ok(()),
        }
    }

    /// Makes what was read durable: a process that was killed may have left it in memory only.
    pub(crate) fn sync(&self) -> Result<(), IoFailure> {
        self.input
            .get_ref()
            .file
            .sync_data()
            .doing("sync", &self.path)
    }
}
