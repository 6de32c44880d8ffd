use tokio::io::AsyncRead;

use super::*;
use crate::election_link::connection::write_message;
use crate::golden::{self, Stream};

/// Streams that end by what is wrong with them, and why.
const REFUSED: [(&str, &str); 4] = [
    (
        "reconfig/098-election-93-to-1",
        "Got unrecognized protocol version -65537",
    ),
    (
        "reconfig/099-election-94-to-1",
        "Unreasonable buffer length: 2049",
    ),
    (
        "reconfig/103-election-95-to-1",
        "a message cannot have 600000 bytes",
    ),
    (
        "observer-master/041-election-98-to-2",
        "Badly formed address: nocolon",
    ),
];

/// A hand-made server did not wait for the whole answer here.
const CUT_SHORT: &str = "reconfig/092-election-90-to-1";

/// Reads the stream to its end, and writes what was read.
async fn copy(stream: &Stream, mut reader: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut written = Vec::new();
    let sasl = |at: usize| stream.bytes.len() - at - golden::behind_sasl(&stream.bytes[at..]).len();
    if stream.from_dialer {
        let message = read_initial(&mut reader).await?;
        written = match stream.bytes[0] {
            0 => message.server.0.to_be_bytes().to_vec(),
            _ => message.to_bytes(stream.bytes[7] == 1),
        };
    }
    let mut handshake = vec![0; sasl(written.len())];
    reader.read_exact(&mut handshake).await?;
    written.extend_from_slice(&handshake);
    while let Some(message) = read_message(&mut reader).await? {
        let notification = Notification::parse(&message);
        if let Some(notification) = notification.filter(|it| 1 < it.version && it.state.is_some()) {
            assert_eq!(notification.to_bytes(), message, "{}", stream.name);
        }
        write_message(&mut written, &message.into()).await?;
    }
    Ok(written)
}

#[tokio::test]
async fn every_captured_stream_is_read_and_written_the_same_however_it_is_cut() {
    let streams = golden::streams("election");
    for stream in &streams {
        for pieces in golden::cuts(&stream.bytes) {
            let (reader, mut writer) = tokio::io::duplex(1 << 20);
            let feed = async move {
                for piece in pieces {
                    if writer.write_all(piece).await.is_err() {
                        // It was refused.
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            };
            let (outcome, ()) = tokio::join!(copy(stream, reader), feed);
            let refused = REFUSED
                .iter()
                .find(|(name, _)| stream.from_dialer && *name == stream.name);
            match (outcome, refused) {
                (Ok(written), None) => assert!(written == stream.bytes, "{}", stream.name),
                (Err(error), Some((_, reason))) => assert_eq!(error.to_string(), *reason),
                (Err(error), None) => {
                    assert_eq!(
                        error.kind(),
                        io::ErrorKind::UnexpectedEof,
                        "{}",
                        stream.name
                    );
                    assert_eq!(stream.name, CUT_SHORT);
                }
                (Ok(_), Some(_)) => panic!("{} was taken", stream.name),
            }
        }
    }
    assert_eq!(streams.len(), 128);
}
