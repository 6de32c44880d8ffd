//! Tokens of all kinds, one exchange a connection: what the server under test answers, and whether
//! the connection ends, is what Apache ZooKeeper does.

use std::net::SocketAddr;

use compat_tests::server::Server;
use compat_tests::suite::{Skip, say};
use compat_tests::wire::{Client, Fields, Incoming, PATIENCE, Record, op};
use ox_sasl::{Initiator, Proof, Service};
use ox_secret::Secret;

use super::replaced::REPLACED;
use super::{both, setup};

/// One connection, and what has come of it so far.
struct Talk {
    address: SocketAddr,
    client: Client,
    challenge: Vec<u8>,
    said: Vec<String>,
    is_open: bool,
}

impl Talk {
    fn open(address: SocketAddr) -> Self {
        Self {
            address,
            client: Client::connect(address),
            challenge: Vec::new(),
            said: Vec::new(),
            is_open: true,
        }
    }

    /// Sends a token and notes what comes.
    fn token(&mut self, token: &[u8]) -> &mut Self {
        if !self.is_open {
            return self;
        }
        self.client
            .send(op::SASL, &Fields::new().buffer(Some(token)));
        let outcome = match self.client.reply() {
            Err(_) => {
                self.is_open = false;
                "closed without an answer".to_owned()
            }
            Ok(reply) => {
                let mut record = Record(&reply.body);
                let token = record.buffer().map(<[u8]>::to_vec);
                assert!(record.0.is_empty() && reply.zxid == 0, "{reply:?}");
                let kind = match &token {
                    None => "no token",
                    Some(token) if token.starts_with(b"realm=") => "a challenge",
                    Some(token) if token.starts_with(b"rspauth=") => "a proof",
                    Some(_) => "something else",
                };
                if kind == "a challenge" {
                    self.challenge = token.unwrap_or_default();
                }
                if reply.error == 0 {
                    kind.to_owned()
                } else {
                    let end = self.client.connection().receive(PATIENCE);
                    assert_eq!(end, Incoming::Closed, "behind error {}", reply.error);
                    self.is_open = false;
                    format!("{}, {kind}, closed", reply.error)
                }
            }
        };
        self.said.push(outcome);
        self
    }

    /// A right response to the last challenge, and what should come in return.
    fn right(&self) -> (String, Proof) {
        self.respond("bob", "bobsecret")
    }

    fn respond(&self, user: &str, password: &str) -> (String, Proof) {
        let initiator = Initiator::new(Service::CLIENTS, user.into(), Secret::new(password));
        let answer = initiator.respond(&self.challenge, [5; 30]);
        let (response, proof) = answer.expect("a challenge as they are");
        (String::from_utf8(response).expect("text"), proof)
    }

    /// A challenge, and a right response with one part of it replaced.
    fn with(&mut self, part: &str, by: &str) {
        self.token(b"");
        let (right, _) = self.right();
        assert!(right.contains(part), "no {part} in {right}");
        self.token(right.replace(part, by).as_bytes());
    }

    /// A request, and a look at who the connection is.
    fn request(&mut self) -> &mut Self {
        if self.is_open {
            self.client
                .send(op::EXISTS, &Fields::new().string("/").boolean(false));
            let outcome = match self.client.reply() {
                Err(_) => "closed".to_owned(),
                Ok(reply) => format!("exists {}", reply.error),
            };
            self.said.push(outcome);
        }
        if self.is_open && self.said.last().is_some_and(|said| said == "exists 0") {
            let reply = self.client.ok(op::WHO_AM_I, &Fields::new());
            let mut record = Record(&reply.body);
            let count = record.int();
            let mut ids: Vec<String> = (0..count)
                .map(|_| format!("{}={}", record.string(), record.string()))
                .collect();
            ids.sort();
            self.said.push(ids.join(" "));
        }
        self
    }
}

/// A name, and what is said on a connection of its own.
type Case<F = fn(&mut Talk)> = (&'static str, F);

/// What may come of it on each server, and that it is the same.
fn compare<F: Fn(&mut Talk)>(
    what: &str,
    cases: &[Case<F>],
    start: impl Fn(compat_tests::server::Kind, &std::path::Path) -> Result<Server, Skip>,
) -> Result<Vec<Vec<String>>, Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut told = Vec::new();
    for kind in both() {
        let server = start(kind, &home.path().join(kind.to_string()))?;
        let outcomes = cases.iter().map(|(_, act)| {
            let mut talk = Talk::open(server.address());
            act(&mut talk);
            talk.request();
            talk.said
        });
        told.push(outcomes.collect::<Vec<_>>());
        server.terminate();
    }
    let mut differences = Vec::new();
    for (index, (name, _)) in cases.iter().enumerate() {
        let ours = told[0][index].join("; ");
        say(format!("   {what}: {name}: {ours}"));
        if told[0][index] != told[1][index] {
            differences.push(format!("{name}: {ours}, but {}", told[1][index].join("; ")));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
    Ok(told.swap_remove(0))
}

const ALL: &[Case] = &[
    ("nothing", |_| {}),
    ("right", |talk| {
        talk.token(b"");
        let (right, proof) = talk.right();
        talk.client
            .send(op::SASL, &Fields::new().buffer(Some(right.as_bytes())));
        let reply = talk.client.reply().expect("an answer");
        let token = Record(&reply.body).buffer().expect("a token").to_vec();
        proof.check(&token).expect("the server's own proof");
        talk.said.push("a proof that is right".into());
    }),
    ("wrong password", |talk| {
        talk.token(b"");
        let (wrong, _) = talk.respond("bob", "wrong");
        talk.token(wrong.as_bytes());
    }),
    ("somebody else's password", |talk| {
        talk.token(b"");
        let (wrong, _) = talk.respond("bob", "adminsecret");
        talk.token(wrong.as_bytes());
    }),
    ("unknown user", |talk| {
        talk.token(b"");
        let (wrong, _) = talk.respond("eve", "bobsecret");
        talk.token(wrong.as_bytes());
    }),
    ("nobody", |talk| {
        talk.token(b"");
        let (wrong, _) = talk.respond("", "");
        talk.token(wrong.as_bytes());
    }),
    ("super user", |talk| {
        talk.token(b"");
        let (right, _) = talk.respond("super", "adminsecret");
        talk.token(right.as_bytes());
    }),
    ("quotes and signs", |talk| {
        talk.token(b"");
        let (right, _) = talk.respond("ann", "p\"\\ =,");
        talk.token(right.as_bytes());
    }),
    ("another alphabet", |talk| {
        talk.token(b"");
        let (right, _) = talk.respond("jörg", "pässwörd");
        talk.token(right.as_bytes());
    }),
    ("begins with text", |talk| {
        talk.token(b"hello");
        let (right, _) = talk.right();
        talk.token(right.as_bytes());
    }),
    ("begins with GSSAPI", |talk| {
        talk.token(b"\x60\x82\x01\x02");
    }),
    ("begins too long", |talk| {
        talk.token(&[b'a'; 4097]);
    }),
    ("begins as long as can be", |talk| {
        talk.token(&[b'a'; 4096]);
    }),
    ("too long", |talk| {
        talk.token(b"").token(&[b'a'; 4097]);
    }),
    ("as long as can be", |talk| {
        talk.token(b"");
        let (right, _) = talk.right();
        let pad = "x".repeat(4096 - right.len() - 3);
        talk.token(format!("{right},a={pad}").as_bytes());
    }),
    ("empty response", |talk| {
        talk.token(b"").token(b"");
    }),
    ("truncated early", |talk| {
        talk.token(b"");
        let (right, _) = talk.right();
        talk.token(&right.as_bytes()[..30]);
    }),
    ("truncated late", |talk| {
        talk.token(b"");
        let (right, _) = talk.right();
        talk.token(&right.as_bytes()[..right.len() - 25]);
    }),
    ("truncated in quotes", |talk| {
        talk.token(b"");
        let (right, _) = talk.right();
        talk.token(&right.as_bytes()[..right.len() - 1]);
    }),
    ("replayed", |talk| {
        let mut other = Talk::open(talk.address);
        other.token(b"");
        let (old, _) = other.right();
        other.token(old.as_bytes());
        talk.token(b"").token(old.as_bytes());
    }),
    ("twice", |talk| {
        talk.token(b"");
        let (right, _) = talk.right();
        talk.token(right.as_bytes()).token(right.as_bytes());
    }),
    ("begun again behind a success", |talk| {
        talk.token(b"");
        let (right, _) = talk.right();
        talk.token(right.as_bytes()).token(b"");
    }),
    ("response before the challenge", |talk| {
        talk.challenge = b"realm=\"zk-sasl-md5\",nonce=\"x\",algorithm=md5-sess".to_vec();
        let (early, _) = talk.right();
        talk.token(early.as_bytes());
    }),
    ("other realm", |talk| {
        talk.with("realm=\"zk-sasl-md5\"", "realm=\"other\"")
    }),
    ("no realm", |talk| talk.with(",realm=\"zk-sasl-md5\"", "")),
    ("other nonce", |talk| talk.with("nonce=\"", "nonce=\"A")),
    ("no nonce", |talk| talk.with(",nonce=", ",n=")),
    ("other count", |talk| {
        talk.with("nc=00000001", "nc=00000001,nonce-count=00000002")
    }),
    ("count that is none", |talk| {
        talk.with("nc=00000001", "nonce-count=x")
    }),
    ("no count", |talk| talk.with("nc=00000001,", "")),
    ("no cnonce", |talk| talk.with(",cnonce=", ",c=")),
    ("other service", |talk| talk.with("\"zookeeper/", "\"ftp/")),
    ("no uri", |talk| talk.with(",digest-uri=", ",u=")),
    ("with integrity", |talk| {
        talk.with("qop=auth", "qop=auth-int")
    }),
    ("with secrecy", |talk| {
        talk.with("qop=auth", "qop=auth-conf")
    }),
    ("other protection", |talk| talk.with("qop=auth", "qop=none")),
    ("no protection", |talk| talk.with(",qop=auth", "")),
    ("other charset", |talk| {
        talk.with("charset=utf-8", "charset=latin")
    }),
    ("no charset", |talk| talk.with("charset=utf-8,", "")),
    ("buffer that is no number", |talk| {
        talk.with("maxbuf=65536", "maxbuf=much")
    }),
    ("negative buffer", |talk| {
        talk.with("maxbuf=65536", "maxbuf=-1")
    }),
    ("no user", |talk| talk.with("username=\"bob\",", "")),
    ("two users", |talk| {
        talk.with("username=\"bob\"", "username=\"bob\",username=\"bob\"")
    }),
    ("capitals", |talk| talk.with("username=", "USERNAME=")),
    ("bare user", |talk| talk.with("\"bob\",realm", "bob,realm")),
    ("escaped user", |talk| {
        talk.with("\"bob\",realm", "\"b\\ob\",realm")
    }),
    ("open quotes", |talk| {
        talk.with("\"bob\",realm", "\"bob,realm")
    }),
    ("text behind quotes", |talk| {
        talk.with("\"bob\",realm", "\"bob\"x,realm")
    }),
    ("blanks", |talk| talk.with(",realm=", " ,,\t realm = ")),
    ("key without value", |talk| {
        talk.with(",realm=", ",key,realm=")
    }),
    ("value without key", |talk| {
        talk.with(",realm=", ",=x,realm=")
    }),
    ("unknown directives", |talk| {
        talk.with(",realm=", ",a=1,a=2,realm=")
    }),
    ("claim to be super", |talk| {
        talk.with("authzid=\"bob\"", "authzid=\"super\"")
    }),
    ("no response", |talk| talk.with("response=", "r=")),
    ("short response", |talk| {
        talk.with("response=", "response=0,x=")
    }),
    ("bytes that are no text", |talk| {
        talk.token(b"")
            .token(b"username=\"\xff\xfe\",realm=\"zk-sasl-md5\"");
    }),
];

pub(super) fn all() -> Result<(), Skip> {
    let told = compare("plain", ALL, |kind, home| setup(kind, home).start())?;
    let of = |name: &str| {
        let index = ALL.iter().position(|(known, _)| *known == name);
        told[index.expect("a case")].join("; ")
    };
    assert_eq!(
        of("right"),
        "a challenge; a proof that is right; exists 0; ip=127.0.0.1 sasl=bob"
    );
    assert_eq!(of("wrong password"), "a challenge; -115, no token, closed");
    assert_eq!(of("unknown user"), of("wrong password"));
    Ok(())
}

/// Responses that are right but for one part.
pub(super) fn replaced() -> Result<(), Skip> {
    let cases: Vec<_> = REPLACED
        .iter()
        .map(|&(name, part, by)| (name, move |talk: &mut Talk| talk.with(part, by)))
        .collect();
    compare("replaced", &cases, |kind, home| setup(kind, home).start())?;
    Ok(())
}

const FEW: &[Case] = &[
    ("nothing", |_| {}),
    ("right", |talk| {
        talk.token(b"");
        let (right, _) = talk.right();
        talk.token(right.as_bytes());
    }),
    ("a challenge alone", |talk| {
        talk.token(b"");
    }),
    ("wrong password", |talk| {
        talk.token(b"");
        let (wrong, _) = talk.respond("bob", "wrong");
        talk.token(wrong.as_bytes());
    }),
    ("wrong password and again", |talk| {
        talk.token(b"");
        let (wrong, _) = talk.respond("bob", "wrong");
        talk.token(wrong.as_bytes()).token(b"");
        talk.token(wrong.as_bytes());
    }),
    ("begun again behind a success", |talk| {
        talk.token(b"");
        let (right, _) = talk.right();
        talk.token(right.as_bytes()).token(b"");
    }),
    ("too long, then right", |talk| {
        talk.token(b"").token(&[b'a'; 4097]);
        let (right, _) = talk.right();
        talk.token(right.as_bytes());
    }),
    ("by digest", |talk| {
        let packet = Fields::new().int(0).string("digest");
        let packet = packet.buffer(Some(b"bob:bobsecret"));
        let reply = talk.client.call_with_xid(-4, op::AUTH, &packet);
        talk.said.push(format!("digest {}", reply.error));
    }),
];

pub(super) fn required() -> Result<(), Skip> {
    let told = compare("sessionRequireClientSASLAuth", FEW, |kind, home| {
        let setup = setup(kind, home).line("sessionRequireClientSASLAuth", "true");
        // Failures may not stay where somebody has to be known.
        setup.line("allowSaslFailedClients", "true").start()
    })?;
    assert_eq!(told[0].join("; "), "exists -124");
    assert_eq!(told[3].join("; "), "a challenge; -124, no token, closed");
    compare("enforce.auth of sasl", FEW, |kind, home| {
        let setup = setup(kind, home).line("enforce.auth.enabled", "true");
        setup.line("enforce.auth.schemes", "sasl").start()
    })?;
    let told = compare("enforce.auth of sasl and digest", FEW, |kind, home| {
        let setup = setup(kind, home).line("enforce.auth.enabled", "true");
        setup.line("enforce.auth.schemes", "sasl,digest").start()
    })?;
    assert!(told[7].join("; ").starts_with("digest 0; exists 0"));
    Ok(())
}

pub(super) fn failed_clients() -> Result<(), Skip> {
    let told = compare("allowSaslFailedClients", FEW, |kind, home| {
        setup(kind, home)
            .line("allowSaslFailedClients", "true")
            .start()
    })?;
    assert_eq!(
        told[3].join("; "),
        "a challenge; no token; exists 0; ip=127.0.0.1"
    );
    Ok(())
}
