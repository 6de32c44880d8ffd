//! Name and data of a znode in one allocation.
//!
//! Layout: a variable-length integer (seven bits a byte, low bits first) of twice the name's
//! length, plus one if there is data; the name; the data. A name below 64 bytes costs one byte of
//! header, which keeps 8 + 100 bytes within the allocator's class of 112
//! (design-measurements.md 2). Only the default is empty: a slot without a znode.

#[derive(Default)]
pub(crate) struct Blob(Box<[u8]>);

impl Blob {
    pub(crate) fn new(name: &[u8], data: Option<&[u8]>) -> Self {
        let mut header = [0; 10];
        let mut header_len = 0;
        let mut rest = name.len() << 1 | usize::from(data.is_some());
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            header[header_len] = if rest == 0 { low } else { low | 0x80 };
            header_len += 1;
            if rest == 0 {
                break;
            }
        }
        let data = data.unwrap_or_default();
        let mut bytes = Vec::with_capacity(header_len + name.len() + data.len());
        bytes.extend_from_slice(&header[..header_len]);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(data);
        Self(bytes.into_boxed_slice())
    }

    /// True for a slot without a znode.
    pub(crate) fn is_vacant(&self) -> bool {
        self.0.is_empty()
    }

    /// Of whatever it holds; nothing if it is vacant.
    pub(crate) fn first_byte(&self) -> Option<u8> {
        self.0.first().copied()
    }

    pub(crate) fn name(&self) -> &[u8] {
        let (header_len, name_len, _) = self.header();
        &self.0[header_len..header_len + name_len]
    }

    /// `None` is null, which differs from empty.
    pub(crate) fn data(&self) -> Option<&[u8]> {
        let (header_len, name_len, has_data) = self.header();
        has_data.then(|| &self.0[header_len + name_len..])
    }

    /// Length of the header and of the name, and whether there is data.
    fn header(&self) -> (usize, usize, bool) {
        let (mut value, mut len) = (0, 0);
        for byte in &self.0 {
            value |= usize::from(byte & 0x7f) << (7 * len);
            len += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        (len, value >> 1, value & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &[u8], data: Option<&[u8]>, len: usize) {
        let blob = Blob::new(name, data);
        assert_eq!((blob.name(), blob.data(), blob.0.len()), (name, data, len));
        assert!(!blob.is_vacant());
    }

    #[test]
    fn name_and_data_come_back() {
        check(b"n0000123", Some(&[7; 100]), 109);
        check(b"n", None, 2);
        check(b"n", Some(b""), 2);
        check(b"", Some(b""), 1);
        check(&[b'x'; 63], Some(b"y"), 65);
        check(&[b'x'; 64], Some(b"y"), 67);
        check(&[b'x'; 1_000_000], Some(b"y"), 1_000_004);
    }

    #[test]
    fn only_the_default_is_vacant() {
        assert!(Blob::default().is_vacant());
    }
}
