//! SASL between servers: behind TLS, before anything else on a learner's connection, and behind the
//! initial message on an election connection.
//!
//! Invariants: whoever fails is told that and no more, and its connection ends; who must
//! authenticate and does not is not heard. Nothing a stranger claims sizes memory. Source:
//! `QuorumAuth.java`, `SaslQuorumAuthServer.java`, `SaslQuorumAuthLearner.java`; quorum.md 13.2.

use std::io;
use std::time::Duration;

use ox_sasl::{Acceptor, Answer, Exchange, Initiator, MAX_RESPONSE, Nonce, Refusal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// Every packet begins with it. No other first bytes of a connection between servers do.
const MAGIC: [u8; 8] = 0x5f24_3501_3501_edcc_u64.to_be_bytes();

const IN_PROGRESS: i32 = 0;
const SUCCESS: i32 = 1;
const ERROR: i32 = -1;

/// How servers authenticate to each other.
#[derive(Clone, Debug)]
pub struct QuorumAuth {
    /// Whom this server lets in that authenticates itself.
    pub acceptor: Acceptor,
    /// It lets in nobody else (`quorum.auth.serverRequireSasl`).
    pub required: bool,
    /// As whom it authenticates itself where it dials (`quorum.auth.learnerRequireSasl`).
    pub initiator: Option<Initiator>,
    /// Where nonces come from; nobody must foretell them.
    pub nonce: fn() -> Nonce,
}

/// What is wrong with a peer.
#[derive(Debug, thiserror::Error)]
enum AuthError {
    #[error("it does not try to authenticate itself, and authentication is required")]
    Missing,
    #[error("it failed to authenticate itself: {0}")]
    Refused(Refusal),
    #[error(
        "it does not accept this server's authentication: wrong user or password in its \
         configuration or in ours"
    )]
    Rejected,
    #[error("it does not authenticate itself in return: {0}")]
    Unproved(Refusal),
    #[error(
        "it has ended the connection in the middle of authentication: it may not have \
         quorum.auth.enableSasl"
    )]
    Ended,
    #[error("a malformed packet of authentication: {0}")]
    Malformed(&'static str),
}

impl From<AuthError> for io::Error {
    fn from(error: AuthError) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, error)
    }
}

/// Lets in a peer that has connected, if it proves to be somebody, or if it need not: then it may
/// also say nothing for as long as `patience`, or have gone. Returns what was read of it that belongs
/// to what follows.
///
/// # Errors
/// It is not let in, and should be heard no more.
pub(crate) async fn accepted(
    auth: Option<&QuorumAuth>,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    patience: Duration,
) -> io::Result<Vec<u8>> {
    let Some(auth) = auth else {
        return Ok(Vec::new());
    };
    let deadline = Instant::now() + patience;
    let mut first = Vec::with_capacity(MAGIC.len());
    while first.len() < MAGIC.len() {
        let mut rest = (&mut *stream).take((MAGIC.len() - first.len()) as u64);
        match timeout_at(deadline, rest.read_buf(&mut first)).await {
            Ok(Err(error)) if auth.required => return Err(error),
            Ok(Ok(0) | Err(_)) | Err(_) => break,
            Ok(Ok(_)) => {}
        }
    }
    if first == MAGIC {
        timeout_at(deadline, judge(auth, stream)).await??;
        return Ok(Vec::new());
    }
    match auth.required {
        true => Err(AuthError::Missing.into()),
        false => Ok(first),
    }
}

/// Goes through an exchange with a peer whose first packet has begun.
async fn judge(
    auth: &QuorumAuth,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut exchange = Exchange::default();
    let mut is_first = true;
    loop {
        // Where the first packet begins has been read already.
        let packet = match is_first {
            true => Packet::read_behind_magic(stream).await?,
            false => Packet::read(stream).await?,
        };
        is_first = false;
        match exchange.take(&auth.acceptor, &packet.token, auth.nonce) {
            Ok(Answer::Challenge(token)) => Packet::write(stream, IN_PROGRESS, &token).await?,
            Ok(Answer::Granted { user, token }) => {
                Packet::write(stream, SUCCESS, &token).await?;
                tracing::info!("a server has authenticated itself as {user}");
                return Ok(());
            }
            Err(refusal) => {
                // It may be gone already.
                let _ = Packet::write(stream, ERROR, b"").await;
                return Err(AuthError::Refused(refusal).into());
            }
        }
    }
}

/// Authenticates this server to one that it has dialed, if it does so at all.
///
/// # Errors
/// The other server does not believe it, or cannot be believed.
pub(crate) async fn dialed(
    auth: Option<&QuorumAuth>,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<()> {
    let Some((auth, initiator)) = auth.and_then(|auth| Some((auth, auth.initiator.as_ref()?)))
    else {
        return Ok(());
    };
    Packet::write(stream, IN_PROGRESS, b"").await?;
    let challenge = Packet::read(stream).await?;
    if challenge.status != IN_PROGRESS {
        return Err(AuthError::Rejected.into());
    }
    let answer = initiator.respond(&challenge.token, (auth.nonce)());
    let (response, proof) = answer.map_err(AuthError::Unproved)?;
    Packet::write(stream, IN_PROGRESS, &response).await?;
    let verdict = Packet::read(stream).await?;
    if verdict.status != SUCCESS {
        return Err(AuthError::Rejected.into());
    }
    proof.check(&verdict.token).map_err(AuthError::Unproved)?;
    tracing::info!("this server has authenticated itself, and the other in return");
    Ok(())
}

/// `QuorumAuthPacket`.
struct Packet {
    status: i32,
    token: Vec<u8>,
}

impl Packet {
    async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        read_exact(stream, &mut magic).await?;
        if magic != MAGIC {
            return Err(AuthError::Malformed("it does not begin as one").into());
        }
        Self::read_behind_magic(stream).await
    }

    async fn read_behind_magic(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut numbers = [[0; 4]; 2];
        for number in &mut numbers {
            read_exact(stream, number).await?;
        }
        let [status, length] = numbers.map(i32::from_be_bytes);
        let length = match usize::try_from(length) {
            Ok(length) if length <= MAX_RESPONSE => length,
            // No token at all.
            Err(_) if length == -1 => 0,
            _ => return Err(AuthError::Malformed("its token is too long").into()),
        };
        let mut token = vec![0; length];
        read_exact(stream, &mut token).await?;
        Ok(Self { status, token })
    }

    /// Writes a packet in one piece.
    async fn write(
        stream: &mut (impl AsyncWrite + Unpin),
        status: i32,
        token: &[u8],
    ) -> io::Result<()> {
        let length = i32::try_from(token.len()).map_err(io::Error::other)?;
        let packet = [
            &MAGIC[..],
            &status.to_be_bytes(),
            &length.to_be_bytes(),
            token,
        ];
        stream.write_all(&packet.concat()).await?;
        stream.flush().await
    }
}

async fn read_exact(stream: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> io::Result<()> {
    match stream.read_exact(bytes).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(AuthError::Ended.into()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ox_sasl::{Service, Users};
    use ox_secret::Secret;
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::golden;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn auth(password: &str, required: bool, nonce: fn() -> Nonce) -> QuorumAuth {
        let user = || "test".to_owned();
        let users: Users = [(user(), Secret::new(password))].into_iter().collect();
        let initiator = Initiator::new(Service::SERVERS, user(), Secret::new(password));
        QuorumAuth {
            acceptor: Acceptor::new(Service::SERVERS, users),
            required,
            initiator: Some(initiator),
            nonce,
        }
    }

    fn ones() -> Nonce {
        [1; 30]
    }

    /// A nonce of a stream of real servers.
    fn captured(name: &str, from_dialer: bool, key: &str) -> Nonce {
        let bytes = golden::stream(name, from_dialer);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let start = text.find(&format!(",{key}=\"")).unwrap() + key.len() + 3;
        let nonce = &text[start..start + 40];
        STANDARD.decode(nonce).unwrap().try_into().unwrap()
    }

    const CAPTURE: &str = "auth-misc/012-learner-1-to-2";

    fn captured_nonce() -> Nonce {
        captured(CAPTURE, false, "nonce")
    }

    fn captured_cnonce() -> Nonce {
        captured(CAPTURE, true, "cnonce")
    }

    /// What is said in a capture before the packets of learners.
    fn said(from_dialer: bool) -> Vec<u8> {
        let whole = golden::stream(CAPTURE, from_dialer);
        let rest = golden::behind_sasl(&whole).len();
        whole[..whole.len() - rest].to_vec()
    }

    async fn all_of(mut stream: DuplexStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn both_sides_say_what_java_servers_said() {
        let (mut ours, mut java) = duplex(10_000);
        java.write_all(&said(true)).await.unwrap();
        java.write_all(b"what follows").await.unwrap();
        let acceptor = auth("mypassword", true, captured_nonce);
        assert_eq!(
            accepted(Some(&acceptor), &mut ours, PATIENCE)
                .await
                .unwrap(),
            b""
        );
        let mut follows = [0; 12];
        ours.read_exact(&mut follows).await.unwrap();
        assert_eq!(&follows, b"what follows");
        drop(ours);
        assert_eq!(all_of(java).await, said(false));

        let (mut ours, mut java) = duplex(10_000);
        java.write_all(&said(false)).await.unwrap();
        let initiator = auth("mypassword", true, captured_cnonce);
        dialed(Some(&initiator), &mut ours).await.unwrap();
        drop(ours);
        assert_eq!(all_of(java).await, said(true));
    }

    #[tokio::test]
    async fn a_wrong_password_is_told_to_both_logs_and_ends_the_connection() {
        let (mut ours, mut theirs) = duplex(10_000);
        let (acceptor, initiator) = (auth("a", false, ones), auth("b", false, ones));
        let (accepted, dialed) = tokio::join!(
            accepted(Some(&acceptor), &mut ours, PATIENCE),
            dialed(Some(&initiator), &mut theirs)
        );
        assert_eq!(
            accepted.unwrap_err().to_string(),
            "it failed to authenticate itself: wrong password for user 'test'"
        );
        let error = dialed.unwrap_err().to_string();
        assert!(error.contains("wrong user or password"), "{error}");
    }

    #[tokio::test]
    async fn who_does_not_authenticate_is_heard_only_where_it_need_not() {
        for (required, said) in [
            (false, &b"12345678 and more"[..]),
            (false, b"123"),
            (true, b"12345678 and more"),
            (true, b""),
        ] {
            let (mut ours, mut theirs) = duplex(100);
            theirs.write_all(said).await.unwrap();
            drop(theirs);
            let heard = accepted(Some(&auth("a", required, ones)), &mut ours, PATIENCE).await;
            match (required, heard) {
                (false, Ok(early)) => {
                    let rest = all_of(ours).await;
                    assert_eq!([early, rest].concat(), said);
                }
                (true, Err(error)) => {
                    assert!(error.to_string().contains("is required"), "{error}")
                }
                (_, other) => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_given_up_in_time() {
        for (required, said) in [
            (false, &b""[..]),
            (false, b"123"),
            (true, b"123"),
            (true, &MAGIC),
            (false, &MAGIC),
        ] {
            let (mut ours, mut theirs) = duplex(100);
            theirs.write_all(said).await.unwrap();
            let begun = Instant::now();
            let heard = accepted(Some(&auth("a", required, ones)), &mut ours, PATIENCE).await;
            assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
            match heard {
                Ok(early) => assert!(!required && early == said && said != MAGIC),
                Err(error) => assert!(required || said == MAGIC, "{error}"),
            }
            drop(theirs);
        }
    }

    #[tokio::test]
    async fn malformed_packets_are_named_and_size_nothing() {
        let begin = |status: i32, length: i32| {
            let numbers = [status.to_be_bytes(), length.to_be_bytes()].concat();
            [&MAGIC[..], &numbers].concat()
        };
        for (said, expected) in [
            (begin(0, i32::MAX), "too long"),
            (begin(0, 4097), "too long"),
            (begin(0, -2), "too long"),
            (begin(0, 10), "in the middle"),
            (MAGIC.to_vec(), "in the middle"),
            (
                [begin(0, 0), b"12345678".to_vec()].concat(),
                "does not begin as one",
            ),
            ([begin(0, 0), begin(0, 0)].concat(), "username is missing"),
            ([begin(0, -1), begin(0, -1)].concat(), "username is missing"),
        ] {
            let (mut ours, mut theirs) = duplex(10_000);
            theirs.write_all(&said).await.unwrap();
            theirs.shutdown().await.unwrap();
            let error = accepted(Some(&auth("a", false, ones)), &mut ours, PATIENCE).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for (said, expected) in [
            (begin(ERROR, 0), "does not accept"),
            (begin(SUCCESS, 0), "does not accept"),
            (begin(0, 0), "algorithm is missing"),
            (Vec::new(), "may not have quorum.auth.enableSasl"),
        ] {
            let (mut ours, mut theirs) = duplex(10_000);
            theirs.write_all(&said).await.unwrap();
            theirs.shutdown().await.unwrap();
            let error = dialed(Some(&auth("a", false, ones)), &mut ours).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
