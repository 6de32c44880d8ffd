//! The task of one link: its socket, both ways.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use ox_tls::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::event::{CloseReason, LinkEvent};
use super::inbound::{Inbound, Snapshot, Step};
use super::link::Shared;
use super::outbound::{Item, Source};

/// What one read may add.
const READ: usize = 64 << 10;

/// A receiving buffer that has grown beyond this by a long packet is given back afterwards.
const KEEP: usize = 1 << 20;

/// What is asked of a source before it is written.
const SOURCE_CHUNK: usize = 256 << 10;

/// Serves a link until it ends, and says why.
pub(super) async fn run<E: From<LinkEvent>>(
    shared: &Shared,
    stream: Stream,
    inbound: Inbound,
    events: &mpsc::Sender<E>,
) -> CloseReason {
    let (reader, writer) = stream.into_split();
    tokio::select! {
        ended = receive(shared, reader, inbound, events) => match ended {
            Ok(never) => match never {},
            Err(reason) => reason,
        },
        ended = send(shared, writer) => match ended {
            Ok(never) => match never {},
            Err(reason) => reason,
        },
        () = shared.outbound.overflown() => CloseReason::Backlog(shared.outbound.bytes()),
    }
}

/// Does `work` unless the link is dropped before; then tells of the link's end, as the last event.
pub(super) async fn until_closed<E: From<LinkEvent>>(
    shared: Arc<Shared>,
    events: &mpsc::Sender<E>,
    work: impl Future<Output = CloseReason>,
) {
    let told = async {
        let reason = work.await;
        shared.outbound.close();
        tracing::debug!(link = shared.id.0, %reason, "link closed");
        let link = shared.id;
        tell(&shared, events, LinkEvent::Closed { link, reason }).await;
    };
    tokio::select! {
        () = shared.dropped.cancelled() => {}
        () = told => {}
    }
    shared.outbound.close();
}

/// Hands an event over. When nobody is left to take it the link is of no use.
pub(super) async fn tell<E: From<LinkEvent>>(
    shared: &Shared,
    events: &mpsc::Sender<E>,
    event: LinkEvent,
) {
    if events.send(event.into()).await.is_err() {
        shared.dropped.cancel();
    }
}

/// There is none: both directions only end with a reason.
pub(super) enum Never {}

pub(super) async fn receive<E: From<LinkEvent>>(
    shared: &Shared,
    reader: impl AsyncRead,
    mut inbound: Inbound,
    events: &mpsc::Sender<E>,
) -> Result<Never, CloseReason> {
    let mut reader = pin!(reader);
    let link = shared.id;
    loop {
        loop {
            let step;
            (inbound, step) = take_step(inbound).await;
            match step? {
                Step::More => break,
                Step::Packets(packets) => {
                    tell(shared, events, LinkEvent::Packets { link, packets }).await
                }
                Step::Snapshot(Snapshot { zxid, sink }) => {
                    tell(shared, events, LinkEvent::Snapshot { link, zxid, sink }).await
                }
            }
        }
        if read(shared, &mut reader, inbound.buffer()).await? == 0 {
            return match inbound.may_end() {
                true => Err(CloseReason::Ended),
                false => Err(CloseReason::Broken(io::ErrorKind::UnexpectedEof.into())),
            };
        }
    }
}

/// Waits for more bytes, as long as the peer may be silent. While it is sent what a source produces
/// nobody expects an answer, so its time begins behind that.
async fn read(
    shared: &Shared,
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<usize, CloseReason> {
    if buffer.is_empty() && KEEP < buffer.capacity() {
        *buffer = Vec::new();
    }
    buffer.reserve(READ);
    let mut from = Instant::now();
    loop {
        match timeout_at(from + shared.read_timeout(), reader.read_buf(buffer)).await {
            Ok(read) => return read.map_err(CloseReason::Broken),
            Err(_) => match shared.streamed_after(from) {
                Some(later) => from = later,
                None => return Err(CloseReason::Silent),
            },
        }
    }
}

/// Takes in state off the threads that serve sockets.
async fn take_step(mut inbound: Inbound) -> (Inbound, Result<Step, CloseReason>) {
    let slow = inbound.is_slow();
    let step = move || {
        let step = inbound.step();
        (inbound, step)
    };
    match slow {
        true => blocking(step).await,
        false => step(),
    }
}

pub(super) async fn send(shared: &Shared, writer: impl AsyncWrite) -> Result<Never, CloseReason> {
    let mut writer = pin!(writer);
    loop {
        match shared.outbound.next().await {
            Item::Bytes(bytes) => {
                write(shared, &mut writer, &bytes, || {}).await?;
                shared.outbound.written(bytes);
            }
            Item::Source(source) => pull(shared, &mut writer, source).await?,
        }
    }
}

/// Writes all, and tells of each piece that the peer takes; each gives it as much time again.
async fn write(
    shared: &Shared,
    writer: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    progress: impl Fn(),
) -> Result<(), CloseReason> {
    while !bytes.is_empty() {
        match timeout(shared.read_timeout(), writer.write(bytes)).await {
            Err(_) => return Err(CloseReason::Unread),
            Ok(Err(error)) => return Err(CloseReason::Broken(error)),
            Ok(Ok(0)) => return Err(CloseReason::Broken(io::ErrorKind::WriteZero.into())),
            Ok(Ok(taken)) => bytes = &bytes[taken..],
        }
        progress();
    }
    // Under TLS what was taken may not have left yet.
    match timeout(shared.read_timeout(), writer.flush()).await {
        Err(_) => Err(CloseReason::Unread),
        Ok(flushed) => flushed.map_err(CloseReason::Broken),
    }
}

/// Writes what a source produces, off the threads that serve sockets.
async fn pull(
    shared: &Shared,
    writer: &mut (impl AsyncWrite + Unpin),
    mut source: Box<dyn Source>,
) -> Result<(), CloseReason> {
    let mut chunk = Vec::new();
    loop {
        let produced;
        (source, chunk, produced) = blocking(move || {
            let produced = fill(source.as_mut(), &mut chunk);
            (source, chunk, produced)
        })
        .await;
        let more = produced.map_err(CloseReason::Source)?;
        write(shared, writer, &chunk, || shared.streamed()).await?;
        if !more {
            return Ok(());
        }
        chunk.clear();
    }
}

fn fill(source: &mut dyn Source, chunk: &mut Vec<u8>) -> io::Result<bool> {
    while chunk.len() < SOURCE_CHUNK {
        if !source.next(chunk)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs what may take its time on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work)
        .await
        .map_err(|error| error.try_into_panic())
    {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is shutting down, and this task with it.
        Err(Err(_)) => std::future::pending().await,
    }
}
