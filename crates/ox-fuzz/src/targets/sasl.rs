//! Tokens of SASL: an acceptor's exchange, one token after the other, and an initiator's challenge.
//!
//! The first byte says how the rest is cut into tokens. Nobody gets in by chance.

use ox_sasl::{Acceptor, Answer, Exchange, Initiator, Service};
use ox_secret::Secret;

use super::split_mode;
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "sasl",
    run,
    memory: (64 << 10, 16),
    longest: 8192,
    words: &[
        b"username=\"bob\",",
        b"realm=\"zk-sasl-md5\",",
        b"nonce=\"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\",",
        b"nc=00000001,",
        b"cnonce=\"AAAA\",",
        b"digest-uri=\"zookeeper/zk-sasl-md5\",",
        b"response=00000000000000000000000000000000,",
        b"qop=auth,",
        b"maxbuf=65536,",
        b"charset=utf-8,",
        b"authzid=\"bob\",",
        b"algorithm=md5-sess,",
        b"rspauth=",
        b"\\\"",
    ],
    short: 6000,
};

fn run(bytes: &[u8]) {
    let (mode, tokens) = split_mode(bytes);
    let user = || "bob".to_owned();
    // No input holds it, so nothing that is let in was right.
    let password = Secret::new("a password that is nowhere in the corpus");
    let users = [(user(), password.clone())].into_iter().collect();
    let acceptor = Acceptor::new(Service::CLIENTS, users);
    let mut exchange = Exchange::default();
    let at = usize::from(mode) % (tokens.len() + 1);
    for token in [&tokens[..at], &tokens[at..], tokens] {
        match exchange.take(&acceptor, token, || [7; 30]) {
            Ok(Answer::Challenge(challenge)) => assert!(challenge.starts_with(b"realm=")),
            Ok(Answer::Granted { .. }) => panic!("let in without the password"),
            Err(refusal) => drop(refusal.to_string()),
        }
    }
    let initiator = Initiator::new(Service::CLIENTS, user(), password);
    match initiator.respond(tokens, [9; 30]) {
        Ok((response, proof)) => {
            assert!(proof.check(tokens).is_err(), "a challenge is no proof");
            // Its own words are understood, whatever the challenge held.
            let understood = exchange.take(&acceptor, &response, || [7; 30]);
            assert!(understood.is_err());
        }
        Err(refusal) => drop(refusal.to_string()),
    }
}
