//! Looks at what follows the place where the entries of a log ended.

use std::io;

use ox_proto::Zxid;

use crate::disk::DiskFile;
use crate::format::{
    END_OF_RECORD, LENGTH_AT, PREFIX_LENGTH, TXN_HEADER_LENGTH, checksum, i32_at, i64_at, zxid_of,
};

/// Bytes looked at in one go.
const CHUNK: usize = 64 << 10;

/// What is needed of an entry to see whether it could be one.
const LOOK: usize = PREFIX_LENGTH + TXN_HEADER_LENGTH;

/// The first byte from `start` on that is not zero.
pub(crate) fn find_nonzero(file: &dyn DiskFile, start: u64) -> io::Result<Option<u64>> {
    let zeros = [0; CHUNK];
    let mut chunk = vec![0; CHUNK];
    let mut at = start;
    loop {
        let length = read_at(file, &mut chunk, at)?;
        if chunk[..length] != zeros[..length]
            && let Some(place) = chunk[..length].iter().position(|&byte| byte != 0)
        {
            return Ok(Some(at + place as u64));
        }
        if length < CHUNK {
            return Ok(None);
        }
        at += length as u64;
    }
}

/// Offset and zxid of the last whole record at or behind `start` whose zxid is above `above`,
/// wherever it begins.
pub(crate) fn find_last_record(
    file: &dyn DiskFile,
    start: u64,
    above: Zxid,
    max_record: usize,
) -> io::Result<Option<(u64, Zxid)>> {
    let mut found = None;
    let mut chunk = vec![0; CHUNK];
    let mut at = start;
    loop {
        let length = read_at(file, &mut chunk, at)?;
        for place in 0..(length + 1).saturating_sub(LOOK) {
            let candidate = &chunk[place..place + LOOK];
            if let Some(length) = plausible(candidate, above, max_record) {
                let offset = at + place as u64;
                if is_record(file, offset, length)? {
                    let zxid = zxid_of(&candidate[PREFIX_LENGTH..]);
                    found = zxid.map(|zxid| (offset, zxid));
                }
            }
        }
        if length < CHUNK {
            return Ok(found);
        }
        at += (CHUNK - LOOK + 1) as u64;
    }
}

/// The payload's length, if this could be the beginning of a record above `above`.
fn plausible(entry: &[u8], above: Zxid, max_record: usize) -> Option<usize> {
    // Most places fail at the first comparison: a checksum takes four bytes of eight.
    if entry[..4] != [0; 4] || i32_at(entry, LENGTH_AT) == 0 {
        return None;
    }
    let length = usize::try_from(i32_at(entry, LENGTH_AT)).ok()?;
    let fits = (TXN_HEADER_LENGTH..=max_record).contains(&length);
    let later = zxid_of(&entry[PREFIX_LENGTH..]).is_some_and(|zxid| zxid > above);
    (fits && later).then_some(length)
}

fn is_record(file: &dyn DiskFile, offset: u64, length: usize) -> io::Result<bool> {
    let size = file.length()?;
    if offset + (PREFIX_LENGTH + length) as u64 >= size {
        return Ok(false);
    }
    let mut entry = vec![0; PREFIX_LENGTH + length + 1];
    if read_at(file, &mut entry, offset)? < entry.len() {
        return Ok(false);
    }
    let payload = &entry[PREFIX_LENGTH..PREFIX_LENGTH + length];
    Ok(entry.last() == Some(&END_OF_RECORD) && i64_at(&entry, 0) == i64::from(checksum(payload)))
}

/// Reads until `chunk` is full or the file ends.
fn read_at(file: &dyn DiskFile, chunk: &mut [u8], at: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < chunk.len() {
        match file.read_at(&mut chunk[got..], at + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::format::push_entry;

    fn payload(zxid: i64, length: usize) -> Vec<u8> {
        let mut payload = vec![1; length.max(TXN_HEADER_LENGTH)];
        payload[12..20].copy_from_slice(&zxid.to_be_bytes());
        payload
    }

    /// Records at these offsets in a file of two chunks.
    fn file(records: &[(u64, i64)]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * CHUNK as u64).unwrap();
        for &(offset, zxid) in records {
            let mut entry = Vec::new();
            push_entry(&payload(zxid, 100), &mut entry);
            file.write_all_at(&entry, offset).unwrap();
        }
        file
    }

    #[test]
    fn the_first_byte_that_is_not_zero_is_found_anywhere() {
        for place in [0_u64, 1, 65_535, 65_536, 131_071] {
            let file = file(&[]);
            file.write_all_at(&[1], place).unwrap();
            assert_eq!(find_nonzero(&file, 0).unwrap(), Some(place));
            assert_eq!(find_nonzero(&file, place + 1).unwrap(), None);
        }
    }

    #[test]
    fn the_last_record_is_found_wherever_it_begins() {
        // Around the border of two reads, too.
        for place in (65_480..65_540).chain([17, 100_000]) {
            let file = file(&[(place, 7)]);
            let found = |above| find_last_record(&file, 3, Zxid(above), 1000).unwrap();
            assert_eq!(found(6), Some((place, Zxid(7))), "{place}");
            assert_eq!(found(7), None);
        }
        let file = file(&[(100, 7), (1000, 8), (100_000, 9)]);
        let found = find_last_record(&file, 0, Zxid(1), 1000).unwrap();
        assert_eq!(found, Some((100_000, Zxid(9))));
    }

    #[test]
    fn a_record_that_is_cut_or_too_long_is_none() {
        let mut whole = tempfile::tempfile().unwrap();
        let mut entry = Vec::new();
        push_entry(&payload(7, 100), &mut entry);
        whole.write_all(&entry[..entry.len() - 1]).unwrap();
        assert_eq!(find_last_record(&whole, 0, Zxid(1), 1000).unwrap(), None);
        assert_eq!(
            find_last_record(&file(&[(50, 7)]), 0, Zxid(1), 99).unwrap(),
            None
        );
    }
}
