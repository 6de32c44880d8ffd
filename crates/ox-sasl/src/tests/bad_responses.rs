//! Responses that prove nothing.

use proptest::prelude::*;

use super::*;
use crate::directives::DirectiveError;

/// A right response to [`NONCE`], as its directives.
fn right() -> Vec<(&'static str, String)> {
    let acceptor = clients();
    let Ok(Answer::Challenge(challenge)) = Exchange::default().take(&acceptor, b"", || NONCE)
    else {
        panic!("no challenge");
    };
    let (response, _) = initiator("bob", "bobsecret")
        .respond(&challenge, [9; 30])
        .unwrap();
    let text = String::from_utf8(response).unwrap();
    let keys = [
        "charset",
        "username",
        "realm",
        "nonce",
        "nc",
        "cnonce",
        "digest-uri",
        "maxbuf",
        "response",
        "qop",
        "authzid",
    ];
    let directives = text.split(',').zip(keys).map(|(directive, key)| {
        let value = directive.strip_prefix(key).unwrap();
        (key, value.strip_prefix('=').unwrap().to_owned())
    });
    directives.collect()
}

fn judged(token: &[u8]) -> Result<Answer, Refusal> {
    let acceptor = clients();
    let mut exchange = Exchange::default();
    exchange.take(&acceptor, b"", || NONCE).unwrap();
    let verdict = exchange.take(&acceptor, token, || unreachable!("it has one"));
    if verdict.is_err() {
        let again = exchange.take(&acceptor, token, || unreachable!("it has one"));
        assert_eq!(again, Err(Refusal::OutOfTurn));
    }
    verdict
}

fn with(key: &str, value: Option<&str>) -> Result<Answer, Refusal> {
    let mut directives = right();
    match value {
        Some(value) => {
            let known = directives.iter_mut().find(|(known, _)| *known == key);
            known.unwrap().1 = value.to_owned();
        }
        None => directives.retain(|(known, _)| *known != key),
    }
    judged(joined(&directives).as_bytes())
}

fn joined(directives: &[(&str, String)]) -> String {
    let written = directives
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    written.collect::<Vec<_>>().join(",")
}

#[test]
fn each_directive_is_looked_at() {
    assert!(judged(joined(&right()).as_bytes()).is_ok());
    let value = |key, value: &str| {
        let value = value.to_owned();
        Err(Refusal::Value { key, value })
    };
    let wrong = || Err(Refusal::WrongPassword("bob".into()));
    for (key, said, verdict) in [
        ("charset", Some("latin-1"), value("charset", "latin-1")),
        ("username", None, Err(Refusal::Missing("username"))),
        ("username", Some("\"\""), Err(Refusal::NoName)),
        ("realm", None, Err(Refusal::Missing("realm"))),
        ("realm", Some("\"other\""), value("realm", "other")),
        ("nonce", None, Err(Refusal::Missing("nonce"))),
        ("nonce", Some("\"AAAA\""), Err(Refusal::Nonce)),
        ("nc", Some("00000002"), value("nc", "00000002")),
        ("nc", Some("x"), value("nc", "x")),
        ("cnonce", None, Err(Refusal::Missing("cnonce"))),
        ("cnonce", Some("\"AAAA\""), wrong()),
        ("digest-uri", None, Err(Refusal::Missing("digest-uri"))),
        (
            "digest-uri",
            Some("\"ftp/x\""),
            value("digest-uri", "ftp/x"),
        ),
        ("maxbuf", Some("much"), Err(Refusal::Number("maxbuf"))),
        ("response", None, Err(Refusal::Missing("response"))),
        ("response", Some("0"), wrong()),
        ("qop", Some("auth-int"), value("qop", "auth-int")),
        ("qop", Some("auth-conf"), value("qop", "auth-conf")),
        ("authzid", Some("\"super\""), wrong()),
    ] {
        assert_eq!(with(key, said), verdict, "{key}={said:?}");
    }
    // Java takes these for right, and so do we.
    for (key, said) in [
        ("nc", None),
        ("qop", None),
        ("maxbuf", None),
        ("charset", None),
        ("username", Some("bob")),
        ("nc", Some("1")),
    ] {
        assert!(with(key, said).is_ok(), "{key}={said:?}");
    }
}

#[test]
fn a_claim_to_be_somebody_else_is_ignored_of_clients_and_refused_of_servers() {
    for (service, verdict) in [
        (Service::CLIENTS, Ok("bob".to_owned())),
        (
            Service::SERVERS,
            Err(Refusal::Claim {
                user: "bob".into(),
                claim: "super".into(),
            }),
        ),
    ] {
        let acceptor = Acceptor::new(service, users(&[("bob", "bobsecret")]));
        let mut exchange = Exchange::default();
        exchange.take(&acceptor, b"", || NONCE).unwrap();
        let (nonce, uri) = (nonce_text(NONCE), service.uri());
        let parts = digest::Parts {
            user: "bob",
            realm: service.realm,
            password: "bobsecret",
            nonce: nonce.as_bytes(),
            cnonce: b"c",
            authzid: Some(b"super"),
            uri: &uri,
        };
        let response = String::from_utf8(parts.response().to_vec()).unwrap();
        let token = format!(
            "username=bob,realm={},nonce=\"{nonce}\",cnonce=c,digest-uri=\"{uri}\",\
             response={response},authzid=super",
            service.realm
        );
        let granted = exchange.take(&acceptor, token.as_bytes(), || unreachable!());
        let granted = granted.map(|answer| match answer {
            Answer::Granted { user, .. } => user,
            Answer::Challenge(_) => panic!("a second challenge"),
        });
        assert_eq!(granted, verdict);
    }
}

#[test]
fn a_response_to_another_challenge_is_a_replay() {
    let acceptor = clients();
    let old = joined(&right());
    let mut exchange = Exchange::default();
    exchange.take(&acceptor, b"", || [8; 30]).unwrap();
    let verdict = exchange.take(&acceptor, old.as_bytes(), || unreachable!());
    assert_eq!(verdict, Err(Refusal::Nonce));
}

#[test]
fn whatever_it_begins_with_is_challenged_but_what_is_too_long() {
    let acceptor = clients();
    for first in [&b"\x60\x82"[..], b"", joined(&right()).as_bytes()] {
        let mut exchange = Exchange::default();
        assert_eq!(exchange.begins_gssapi(first), first.starts_with(b"\x60"));
        let mut take = |token: &[u8]| exchange.take(&acceptor, token, || NONCE);
        let (length, limit) = (MAX_RESPONSE + 1, MAX_RESPONSE);
        let long = vec![b'a'; length];
        assert_eq!(take(&long), Err(Refusal::TooLong { length, limit }));
        assert!(matches!(take(first), Ok(Answer::Challenge(_))));
        assert!(!exchange.begins_gssapi(b"\x60"));
    }
}

#[test]
fn lists_are_read_as_java_reads_them() {
    let parse = |text: &str| {
        directives::Directives::parse(text.as_bytes(), MAX_RESPONSE, &["a", "b"]).map(|found| {
            let value = |key| found.get(key).map(directives::text);
            (value("a"), value("b"))
        })
    };
    let some = |text: &str| Some(text.to_owned());
    for (text, a, b) in [
        ("", None, None),
        (" ,, a=1 ,\t, b=2 ,", some("1"), some("2")),
        ("A = 1 B=2", some("1"), some("2")),
        (r#"a="x\"y\\z",b="","#, some(r#"x"y\z"#), some("")),
        ("a=1\"2,b", some("1\"2"), some("")),
        ("a=,b=2", some(""), some("2")),
        (r#"a="1" b=2"#, some("1"), some("2")),
        ("c=1,c=2,a=3", some("3"), None),
    ] {
        assert_eq!(parse(text), Ok((a, b)), "{text:?}");
    }
    for (text, error) in [
        ("a,b=1", DirectiveError::CommaInKey),
        ("=1", DirectiveError::EmptyKey),
        ("a=1,b=", DirectiveError::NoValue),
        ("a b=1", DirectiveError::NoEquals),
        ("a ", DirectiveError::NoEquals),
        (r#"a="1"#, DirectiveError::OpenQuote),
        (r#"a="1\"#, DirectiveError::OpenQuote),
        (r#"a="1"2"#, DirectiveError::NoSeparator),
    ] {
        assert_eq!(parse(text), Err(Refusal::Malformed(error)), "{text:?}");
    }
    assert_eq!(parse("a=1,A=2"), Err(Refusal::Twice("a")));
}

proptest! {
    #[test]
    fn no_damage_is_let_through(at in 0usize..200, byte in any::<u8>(), length in 0usize..300) {
        let whole = joined(&right()).into_bytes();
        let mut damaged = whole.clone();
        let at = at % damaged.len();
        damaged[at] = byte;
        damaged.truncate(length.max(1));
        if let Ok(Answer::Granted { user, .. }) = judged(&damaged) {
            // What is not part of the response may be anything, and case may differ.
            prop_assert_eq!(user, "bob");
            let text = String::from_utf8_lossy(&damaged).into_owned();
            prop_assert!(text.contains("response="), "{text}");
        }
    }

    #[test]
    fn anything_can_be_a_token(token in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(judged(&token).is_err());
    }
}
