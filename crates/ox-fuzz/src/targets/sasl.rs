//! Tokens of DIGEST-MD5, each at the side that it is for: a response at the acceptor, behind its
//! challenge; a challenge at the initiator; a proof.
//!
//! The first byte says which. What is random is always the same, so a right response is among the
//! inputs.

use ox_sasl::{Acceptor, Answer, Exchange, Initiator, Nonce, Refusal, Service, Users};
use ox_secret::Secret;

use super::split_mode;
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "sasl",
    run,
    memory: (64 << 10, 256),
    longest: 6000,
    words: &[
        b"username=",
        b"realm=\"zk-sasl-md5\",",
        b"nonce=\"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\",",
        b"nc=00000001,",
        b"nonce-count=",
        b"cnonce=\"",
        b"digest-uri=\"zookeeper/zk-sasl-md5\",",
        b"maxbuf=65536,",
        b"response=",
        b"rspauth=",
        b"qop=auth,",
        b"charset=utf-8,",
        b"algorithm=md5-sess",
        b"authzid=\"",
        b"\\\"",
        b"\"",
        b",",
        b"=",
    ],
    short: 6000,
};

/// What the acceptor's challenges and the initiator's responses are made with.
const NONCE: Nonce = [7; 30];

/// Who knows the password, and whom the right response names.
const USER: &str = "bob";

/// Must be in nothing that is said of a token.
const PASSWORD: &str = "fuzz-canary";

fn run(bytes: &[u8]) {
    let (side, token) = split_mode(bytes);
    let initiator = Initiator::new(Service::CLIENTS, USER.to_owned(), Secret::new(PASSWORD));
    match side % 4 {
        0 => first(token),
        1 => challenge(&initiator, token),
        2 => proof(&initiator, token),
        _ => response(token),
    }
}

fn acceptor() -> Acceptor {
    let users = [(USER.to_owned(), Secret::new(PASSWORD))];
    Acceptor::new(Service::CLIENTS, users.into_iter().collect::<Users>())
}

/// Whatever an exchange begins with is challenged, or it is too long.
fn first(token: &[u8]) {
    let begun = Exchange::default().take(&acceptor(), token, || NONCE);
    assert!(matches!(
        begun,
        Ok(Answer::Challenge(_)) | Err(Refusal::TooLong { .. })
    ));
}

/// Nobody gets in but the one user, and nobody twice by one challenge.
fn response(token: &[u8]) {
    let acceptor = acceptor();
    let mut exchange = Exchange::default();
    let begun = exchange.take(&acceptor, b"", || NONCE);
    assert!(matches!(begun, Ok(Answer::Challenge(_))));
    let mut next = |token: &[u8]| exchange.take(&acceptor, token, || NONCE);
    let verdict = next(token);
    if let Ok(answer) = &verdict {
        assert!(
            matches!(answer, Answer::Granted { user, .. } if user == USER),
            "{answer:?}"
        );
    }
    says_no_secret(&verdict);
    // A token that is too long is turned away unread, and then the challenge still stands.
    let is_too_long = matches!(verdict, Err(Refusal::TooLong { .. }));
    if !is_too_long {
        assert_eq!(next(token), Err(Refusal::OutOfTurn));
    }
}

/// What the initiator answers is what an acceptor can read.
fn challenge(initiator: &Initiator, token: &[u8]) {
    match initiator.respond(token, NONCE) {
        Ok((response, _)) => {
            let text = String::from_utf8_lossy(&response);
            assert!(!text.contains(PASSWORD), "{text}");
            self::response(&response);
        }
        Err(refusal) => says_no_secret(&Err(refusal)),
    }
}

fn proof(initiator: &Initiator, token: &[u8]) {
    let acceptor = acceptor();
    let mut exchange = Exchange::default();
    let Ok(Answer::Challenge(challenge)) = exchange.take(&acceptor, b"", || NONCE) else {
        panic!("no challenge");
    };
    let (response, proof) = initiator
        .respond(&challenge, NONCE)
        .expect("our own challenge");
    let Ok(Answer::Granted { token: right, .. }) = exchange.take(&acceptor, &response, || NONCE)
    else {
        panic!("the right response is refused");
    };
    proof.check(&right).expect("our own proof");
    if let Err(refusal) = proof.check(token) {
        says_no_secret(&Err(refusal));
    }
}

fn says_no_secret(verdict: &Result<Answer, Refusal>) {
    if let Err(refusal) = verdict {
        let said = format!("{refusal} {refusal:?}");
        assert!(!said.contains(PASSWORD), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
}
