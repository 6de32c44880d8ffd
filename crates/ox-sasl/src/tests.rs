//! Both roles against RFC 2831's examples and against each other.

mod bad_responses;
mod jaas;
mod transcripts;

use super::*;

const NONCE: Nonce = [7; 30];

fn users(users: &[(&str, &str)]) -> Users {
    let user = |(name, password): &(&str, &str)| ((*name).to_owned(), Secret::new(*password));
    users.iter().map(user).collect()
}

fn clients() -> Acceptor {
    let known = users(&[("bob", "bobsecret"), ("jörg", "pässword"), ("東", "京")]);
    Acceptor::new(Service::CLIENTS, known)
}

fn initiator(user: &str, password: &str) -> Initiator {
    Initiator::new(Service::CLIENTS, user.to_owned(), Secret::new(password))
}

/// A whole exchange; whom the acceptor takes the other side for.
fn exchange(acceptor: &Acceptor, initiator: &Initiator) -> Result<String, Refusal> {
    let mut exchange = Exchange::default();
    let challenge = match exchange.take(acceptor, b"", || NONCE)? {
        Answer::Challenge(challenge) => challenge,
        other => panic!("no challenge: {other:?}"),
    };
    let (response, proof) = initiator.respond(&challenge, [9; 30])?;
    match exchange.take(acceptor, &response, || unreachable!("it has one"))? {
        Answer::Granted { user, token } => {
            proof.check(&token)?;
            assert_eq!(
                exchange.take(acceptor, &response, || NONCE),
                Err(Refusal::OutOfTurn)
            );
            Ok(user)
        }
        other => panic!("a second challenge: {other:?}"),
    }
}

#[test]
fn whoever_knows_the_password_is_believed_in_any_alphabet() {
    for (user, password) in [("bob", "bobsecret"), ("jörg", "pässword"), ("東", "京")] {
        let granted = exchange(&clients(), &initiator(user, password));
        assert_eq!(granted.as_deref(), Ok(user));
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_told_apart_in_the_log_alone() {
    let refused = |user, password| exchange(&clients(), &initiator(user, password)).unwrap_err();
    let wrong = refused("bob", "canary");
    assert_eq!(wrong, Refusal::WrongPassword("bob".into()));
    let unknown = refused("eve\n", "bobsecret");
    assert_eq!(unknown, Refusal::UnknownUser("eve\n".into()));
    // The empty password that stands in for one of somebody unknown opens nothing.
    assert_eq!(refused("eve", ""), Refusal::UnknownUser("eve".into()));
    assert_eq!(
        unknown.to_string(),
        "User 'eve\\n' not found in list of DIGEST-MD5 authenticateable users."
    );
}

#[test]
fn an_acceptor_that_does_not_know_the_password_is_not_believed() {
    let acceptor = clients();
    let mut exchange = Exchange::default();
    let Ok(Answer::Challenge(challenge)) = exchange.take(&acceptor, b"", || NONCE) else {
        panic!("no challenge");
    };
    let (_, proof) = initiator("bob", "bobsecret")
        .respond(&challenge, NONCE)
        .unwrap();
    let digits = "0".repeat(32);
    let forged = format!("rspauth={digits}");
    assert_eq!(proof.check(forged.as_bytes()), Err(Refusal::Unproved));
    assert_eq!(proof.check(b"rspauth=0"), Err(Refusal::Unproved));
    assert_eq!(proof.check(b""), Err(Refusal::Missing("rspauth")));
}

#[test]
fn nothing_that_is_printed_tells_a_password() {
    let canary = "canary-41";
    let acceptor = Acceptor::new(Service::CLIENTS, users(&[("bob", canary)]));
    let initiator = initiator("bob", canary);
    let file = format!(
        "Server {{ {} required user_bob=\"{canary}\"; }};",
        jaas_module()
    );
    let jaas = jaas::parse(&file);
    let printed = format!("{acceptor:?} {initiator:?} {jaas:?} {:?}", acceptor.clone());
    assert!(
        printed.contains("bob") && !printed.contains(canary),
        "{printed}"
    );
}

fn jaas_module() -> &'static str {
    crate::jaas::DIGEST_MODULE
}
