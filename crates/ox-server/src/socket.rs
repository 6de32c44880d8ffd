//! A client's socket, with or without TLS: neither receiving nor sending waits.
//!
//! An enum, so that a plain connection does what it did: the system is asked once for what it has.
//! Invariant: under TLS no more is kept than a record that is not whole, what one call has
//! decrypted, and [`UNSENT`] bytes that the client does not take.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;

/// How often one call takes in what has arrived, however little that holds.
const ARRIVALS: usize = 8;

/// Encrypted bytes that may wait for the client to take them.
const UNSENT: usize = 64 << 10;

/// A connected client.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsSocket>),
}

impl Socket {
    /// Waits until there may be something to receive.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.readable().await,
            Self::Tls(socket) if socket.has_more => {
                // Nothing of this waits, and others have their turn.
                tokio::task::yield_now().await;
                Ok(())
            }
            Self::Tls(socket) => socket.tcp.readable().await,
        }
    }

    /// Waits until there may be room for more.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.writable().await,
            Self::Tls(socket) => socket.tcp.writable().await,
        }
    }

    /// Receives what has arrived: 0 bytes at the end of the stream, `WouldBlock` if there is
    /// nothing.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => receive(tcp, buffer),
            Self::Tls(socket) => socket.receive(buffer),
        }
    }

    /// Takes some of the bytes; `WouldBlock` if there is no room.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write(bytes),
            Self::Tls(socket) => socket.send(bytes),
        }
    }

    /// Whether bytes that were taken have not left.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(socket) => socket.tls.wants_write(),
        }
    }

    /// Lets them leave, as far as there is room.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(socket) => socket.flush(),
        }
    }

    /// Says that nothing more will be sent. Everything taken must have left.
    pub(crate) async fn shut_down(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.shutdown().await,
            Self::Tls(socket) => {
                socket.tls.send_close_notify();
                socket.flushed().await?;
                socket.tcp.shutdown().await
            }
        }
    }
}

/// Reads what has arrived. Less than there was room for is all of it, and the runtime is told so:
/// it would have us ask once more to find that out.
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let room = buffer.len();
    let mut received = 0;
    let outcome = stream.try_io(Interest::READABLE, || {
        received = rustix::io::read(stream, buffer)?;
        match received {
            0 => Ok(()),
            all if all == room => Ok(()),
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    });
    match outcome {
        Err(error) if received == 0 => Err(error),
        Ok(()) | Err(_) => Ok(received),
    }
}

/// TLS above a socket.
pub(crate) struct TlsSocket {
    tcp: TcpStream,
    tls: ServerConnection,
    /// There may be decrypted bytes that nobody has asked for, or an error.
    has_more: bool,
    is_broken: bool,
}

impl TlsSocket {
    /// The server's end of a connection on which nothing has happened yet.
    pub(crate) fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let mut tls = ServerConnection::new(config)?;
        tls.set_buffer_limit(Some(UNSENT));
        Ok(Self {
            tcp,
            tls,
            has_more: false,
            is_broken: false,
        })
    }

    /// Does the handshake. What was wrong is told the client as far as TLS tells it.
    ///
    /// # Errors
    /// As [`rustls::Error`] within, if it was not the connection that failed.
    pub(crate) async fn shake_hands(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() || self.tls.wants_write() {
            self.flushed().await?;
            if !self.tls.is_handshaking() {
                return Ok(());
            }
            self.tcp.readable().await?;
            match self.arrive() {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        // Requests may have come in one piece with the end of it.
        self.has_more = true;
        Ok(())
    }

    /// The client's certificates, its own first; none if it has shown none.
    pub(crate) fn certificates(&self) -> &[rustls::pki_types::CertificateDer<'static>] {
        self.tls.peer_certificates().unwrap_or_default()
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (mut filled, mut arrivals) = (0, 0);
        let outcome = loop {
            match self.tls.reader().read(&mut buffer[filled..]) {
                Ok(0) => break Ok(0), // The client will send no more, or the buffer is full.
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock && arrivals == ARRIVALS => {
                    break Err(error);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => match self.arrive() {
                    // Without the client's word for it this is no end, but there is no more.
                    Ok(0) => break Err(ErrorKind::UnexpectedEof.into()),
                    Ok(_) => arrivals += 1,
                    Err(error) => break Err(error),
                },
                Err(error) => break Err(error),
            }
        };
        self.has_more = self.is_broken || filled == buffer.len() || arrivals == ARRIVALS;
        // Answers to what came along: a new key, an alert.
        self.flush()?;
        match outcome {
            // What is wrong comes up again behind what was right.
            _ if filled > 0 => Ok(filled),
            outcome => outcome,
        }
    }

    /// Takes in and decrypts what has arrived; 0 at the end of the connection.
    fn arrive(&mut self) -> io::Result<usize> {
        let count = match self.is_broken {
            true => 0,
            false => self.tls.read_tls(&mut Arrived(&self.tcp))?,
        };
        if let Err(error) = self.tls.process_new_packets() {
            // The alert, if there is room for it: the connection ends one way or the other.
            let _ = self.flush();
            self.is_broken = true;
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        Ok(count)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.tls.writer().write(bytes)?;
        self.flush()?;
        match taken {
            0 => Err(ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Leaving(&self.tcp)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn flushed(&mut self) -> io::Result<()> {
        loop {
            self.flush()?;
            if !self.tls.wants_write() {
                return Ok(());
            }
            self.tcp.writable().await?;
        }
    }
}

struct Arrived<'a>(&'a TcpStream);

impl io::Read for Arrived<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

struct Leaving<'a>(&'a TcpStream);

impl io::Write for Leaving<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
