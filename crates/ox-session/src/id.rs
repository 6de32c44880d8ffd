//! Where session ids begin, and the password that goes with each.
//!
//! Both are pure functions, so that every member of an ensemble, a Java one included, comes to the
//! same answer without asking. The password is a checksum and keeps no secret.
//! Source: `SessionTrackerImpl.initializeNextSessionId`, `ZooKeeperServer.generatePasswd`;
//! client-protocol.md 2.5.

use ox_proto::{ServerId, SessionId};

/// The id of the first session that `server` opens after a start at `clock_ms`; those after it
/// count up by one. Of the clock the low 40 bits count, of the server the low 8.
///
/// ```
/// use ox_proto::{ServerId, SessionId};
/// use ox_session::first_session_id;
///
/// assert_eq!(first_session_id(ServerId(1), 0x14_242d), SessionId(0x0100_0014_242d_0000));
/// ```
pub fn first_session_id(server: ServerId, clock_ms: i64) -> SessionId {
    let clock = (clock_ms.cast_unsigned() << 24) >> 8;
    let id = (clock | (server.0.cast_unsigned() << 56)).cast_signed();
    // This one value is the owner of containers.
    SessionId(if id == i64::MIN { id + 1 } else { id })
}

/// The password of a session: what `java.util.Random` yields for a seed made of the id.
pub fn password(id: SessionId) -> [u8; 16] {
    const SALT: u64 = 0xB341_5C00;
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;

    let mut state = (id.0.cast_unsigned() ^ SALT ^ MULTIPLIER) & MASK;
    let mut password = [0; 16];
    for word in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        word.copy_from_slice(&(state >> 16).to_le_bytes()[..4]);
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_one_java_computes() {
        let computed = password(SessionId(0x0100_000b_5e31_0000));
        assert_eq!(hex::encode(computed), "b52bb2ea9e6b920e1b92b0a217c0f898");
    }

    #[test]
    fn ids_begin_with_the_server_and_the_clock() {
        for (server, clock_ms, id) in [
            (1, 0x0014_242d, 0x0100_0014_242d_0000_u64),
            // Only 40 bits of the clock fit.
            (1, 0x7f12_3456_789a, 0x0112_3456_789a_0000),
            // Only 8 bits of the server fit; bits above the clock's do not disturb them.
            (0x1_02, -1, 0x02ff_ffff_ffff_0000),
            (0, 1, 0x0000_0000_0001_0000),
            (255, 0, 0xff00_0000_0000_0000),
            // The owner of containers is left out.
            (0x80, 0, 0x8000_0000_0000_0001),
        ] {
            let first = first_session_id(ServerId(server), clock_ms);
            assert_eq!(first, SessionId(id.cast_signed()), "{server} {clock_ms:#x}");
        }
    }
}
