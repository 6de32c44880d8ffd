//! Damage: bits turned, numbers taken to their extremes, pieces cut, doubled and put elsewhere.

use crate::random::Random;

/// Numbers at which decoders go wrong.
const INTS: [i32; 16] = [
    0,
    1,
    -1,
    -2,
    2,
    16,
    127,
    128,
    255,
    256,
    i32::MAX,
    i32::MIN,
    0xf_ffff,
    0x10_0000,
    0x1f_fffe,
    i32::MAX - 4,
];

/// The same for eight bytes.
const LONGS: [i64; 8] = [0, -1, 1, i64::MAX, i64::MIN, 0xffff_ffff, 1 << 32, -65536];

/// Most damages done to one input.
const MOST: usize = 6;

/// Damages `bytes` in a few places. `other` is an input to take pieces from.
pub(crate) fn mutate(
    bytes: &mut Vec<u8>,
    other: &[u8],
    words: &[&[u8]],
    longest: usize,
    random: &mut Random,
) {
    for _ in 0..=random.below(MOST) {
        damage(bytes, other, words, random);
    }
    bytes.truncate(longest);
}

fn damage(bytes: &mut Vec<u8>, other: &[u8], words: &[&[u8]], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    match random.below(14) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.byte();
            }
        }
        3 | 4 => {
            let int = random.pick(&INTS).copied().unwrap_or_default();
            overwrite(bytes, at, &int.to_be_bytes());
        }
        5 => {
            let long = random.pick(&LONGS).copied().unwrap_or_default();
            overwrite(bytes, at, &long.to_be_bytes());
        }
        6 => {
            // A length that is that of the rest, or nearly.
            let rest = i32::try_from(bytes.len().saturating_sub(at + 4)).unwrap_or(i32::MAX);
            let off = i32::from(random.byte() % 3) - 1;
            overwrite(bytes, at, &rest.saturating_add(off).to_be_bytes());
        }
        7 => bytes.truncate(at),
        8 => {
            let end = at + random.below(bytes.len() - at + 1).min(64);
            bytes.drain(at..end);
        }
        9 => {
            let end = at + random.below(bytes.len() - at + 1).min(256);
            let piece = bytes[at..end].to_vec();
            insert(bytes, random.below(bytes.len() + 1), &piece);
        }
        10 => {
            let count = 1 + random.below(16);
            let piece: Vec<u8> = (0..count).map(|_| random.byte()).collect();
            insert(bytes, at, &piece);
        }
        11 => {
            // The beginning of this one, the end of another.
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        12 => {
            let from = random.below(other.len() + 1);
            let end = from + random.below(other.len() - from + 1).min(256);
            insert(bytes, at, &other[from..end]);
        }
        _ => {
            let word = random.pick(words).copied().unwrap_or(b"/");
            match random.below(2) {
                0 => insert(bytes, at, word),
                _ => overwrite(bytes, at, word),
            }
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let end = (at + piece.len()).min(bytes.len());
    bytes.splice(at..end, piece.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_damage() {
        let damaged = |seed| {
            let mut random = Random::new(seed);
            let mut bytes = b"a path and data".to_vec();
            mutate(&mut bytes, b"another", &[b"word"], 20, &mut random);
            bytes
        };
        assert_eq!(damaged(1), damaged(1));
        assert!((0..20).any(|seed| damaged(seed) != damaged(seed + 1)));
        assert!((0..1000).all(|seed| damaged(seed).len() <= 20));
    }
}
