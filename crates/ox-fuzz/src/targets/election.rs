//! What comes at the election port: an initial message, then votes in frames.
//!
//! The first byte says how the message is cut on its way.

use ox_jute::Frames;
use ox_proto::{EnsembleConfig, InitialMessage, InitialProgress, Notification};

use super::split_mode;
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "election",
    run,
    memory: (64 << 10, 64),
    longest: 8192,
    words: &[
        b"\xff\xff\xff\xff\xff\xff\0\0",
        b"\xff\xff\xff\xff\xff\xff\0\x01",
        b"127.0.0.1:3888|[::1]:3888",
        b"server.1=127.0.0.1:2888:3888:participant;0.0.0.0:2181\n",
        b"group.1=1:2\nweight.1=1\n",
        b"version=100000000",
    ],
    short: 6000,
};

/// Java's limit for a vote, in bytes.
const MAX_VOTE: usize = 512 << 10;

fn run(bytes: &[u8]) {
    let (cut, stream) = split_mode(bytes);
    let Some(rest) = initial(stream, usize::from(cut % 32)) else {
        return;
    };
    let mut frames = Frames::new(rest, MAX_VOTE);
    while let Ok(Some(frame)) = frames.next_frame() {
        let Some(vote) = Notification::parse(frame) else {
            continue;
        };
        let again = Notification::parse(&vote.to_bytes());
        assert_eq!(again.as_ref(), Some(&vote));
        // The text of a configuration stands behind the numbers.
        let text = String::from_utf8_lossy(frame.get(44..).unwrap_or_default());
        let _ = EnsembleConfig::parse(&text);
    }
}

/// Takes the message off, asking for as many more bytes as it says it needs. It must not ask for
/// what belongs to the votes.
fn initial(stream: &[u8], first: usize) -> Option<&[u8]> {
    let mut have = first.min(stream.len());
    let mut asked = None;
    loop {
        match InitialMessage::parse(&stream[..have]) {
            Err(_) => return None,
            Ok(InitialProgress::Whole(message)) => {
                if let Some(longest) = asked {
                    assert!(have <= longest, "more was asked for than was needed");
                }
                check(&message);
                return Some(&stream[have..]);
            }
            Ok(InitialProgress::Needs(more)) => {
                assert!(0 < more && have + more <= InitialMessage::MAX_LENGTH);
                have += more;
                asked = Some(have);
                if stream.len() < have {
                    return None;
                }
            }
        }
    }
}

/// What was read is said again in bytes that mean the same.
fn check(message: &InitialMessage) {
    if message.addresses.is_empty() {
        return;
    }
    let bytes = message.to_bytes(true);
    // Written out an address may be longer than the limit lets it be read.
    if bytes.len() <= InitialMessage::MAX_LENGTH {
        let again = InitialMessage::parse(&bytes);
        assert_eq!(again, Ok(InitialProgress::Whole(message.clone())));
    }
}
