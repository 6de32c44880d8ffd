//! One connection that is kept: messages with their length before them, both ways.
//!
//! Invariant: a message is handed on whole, and takes memory as its bytes arrive, not as its length
//! claims. Source: `QuorumCnxManager.SendWorker`, `RecvWorker`; quorum.md 2.3.

use std::io::{self, Cursor};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ox_proto::{InitialMessage, InitialProgress, Notification, ServerId};
use ox_tls::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Mesh;
use super::peers::Registered;

/// Serves a connection, `early` of which has been read, until it breaks, is replaced, or the mesh ends. If the peer has ended it, the
/// receiver of votes hears of that, unless there is another by then.
pub(super) async fn run(mesh: Arc<Mesh>, stream: Stream, early: Vec<u8>, registered: Registered) {
    let (server, number) = (registered.server, registered.number);
    let (reader, writer) = stream.into_split();
    let reader = Cursor::new(early).chain(reader);
    let ended = tokio::select! {
        () = mesh.stop.cancelled() => None,
        () = registered.replaced.cancelled() => None,
        ended = receive(&mesh, server, reader) => Some(ended),
        ended = send(&mesh, &registered, writer) => Some(ended),
    };
    let by_peer = match ended {
        None => false,
        Some(Ok(())) => {
            tracing::debug!(sid = server.0, "election connection closed");
            true
        }
        Some(Err(error)) => {
            tracing::warn!(sid = server.0, %error, "election connection broken");
            // It was this server that would not listen any more.
            error.kind() != io::ErrorKind::InvalidData
        }
    };
    // The lock is held for both, or a new connection's first message could come before this word.
    let mut peers = mesh.peers.lock();
    let is_gone = peers.ended(server, number, Instant::now());
    if by_peer && is_gone {
        mesh.inbox.closed(server);
    }
}

async fn receive(
    mesh: &Mesh,
    server: ServerId,
    mut reader: impl AsyncRead + Unpin,
) -> io::Result<()> {
    while let Some(message) = read_message(&mut reader).await? {
        mesh.inbox.put(server, message);
    }
    Ok(())
}

async fn send(
    mesh: &Mesh,
    registered: &Registered,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    if let Some(again) = &registered.again {
        write_message(&mut writer, again).await?;
    }
    loop {
        let message = mesh.peers.lock().take(registered.server, registered.number);
        match message {
            Some(message) => write_message(&mut writer, &message).await?,
            None => registered.wake.notified().await,
        }
    }
}

/// The next message; `None` at the end of the stream.
pub(super) async fn read_message(
    reader: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; 4];
    if reader.read(&mut prefix[..1]).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut prefix[1..]).await?;
    let claimed = i32::from_be_bytes(prefix);
    let length = match usize::try_from(claimed) {
        Ok(length @ 1..=Notification::MAX_LENGTH) => length,
        Ok(_) | Err(_) => {
            let reason = format!("a message cannot have {claimed} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
    };
    let mut message = Vec::new();
    let whole = reader.take(length as u64).read_to_end(&mut message).await? == length;
    match whole {
        true => Ok(Some(message)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes a message with its length in one piece.
pub(super) async fn write_message(
    writer: &mut (impl AsyncWrite + Unpin),
    message: &Bytes,
) -> io::Result<()> {
    let length = i32::try_from(message.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes()[..], message].concat();
    writer.write_all(&framed).await?;
    writer.flush().await
}

/// Reads the initial message, and not a byte of what follows.
pub(super) async fn read_initial(
    reader: &mut (impl AsyncRead + Unpin),
) -> io::Result<InitialMessage> {
    let mut bytes = [0; InitialMessage::MAX_LENGTH];
    let mut length = 0;
    loop {
        let progress = InitialMessage::parse(&bytes[..length])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match progress {
            InitialProgress::Whole(message) => return Ok(message),
            InitialProgress::Needs(more) => {
                reader.read_exact(&mut bytes[length..length + more]).await?;
                length += more;
            }
        }
    }
}
