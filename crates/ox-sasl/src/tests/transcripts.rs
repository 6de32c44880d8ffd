//! The examples of RFC 2831, chapter 4, and what Java servers have said to each other.

use base64::Engine as _;

use super::*;
use crate::digest::Parts;

#[test]
fn the_examples_of_the_rfc_come_out() {
    for (nonce, cnonce, uri, response, proof) in [
        (
            "OA6MG9tEQGm2hh",
            "OA6MHXh6VqTrRk",
            "imap/elwood.innosoft.com",
            "d388dad90d4bbd760a152321f2143af7",
            "ea40f60335c427b5527b84dbabcdfffd",
        ),
        (
            "OA9BSXrbuRhWay",
            "OA9BSuZWMSpW8m",
            "acap/elwood.innosoft.com",
            "6084c6db3fede7352c551284490fd0fc",
            "2f0b3d7c3c2e486600ef710726aa2eae",
        ),
    ] {
        let parts = Parts {
            user: "chris",
            realm: "elwood.innosoft.com",
            password: "secret",
            nonce: nonce.as_bytes(),
            cnonce: cnonce.as_bytes(),
            authzid: None,
            uri,
        };
        assert_eq!(parts.response(), response.as_bytes());
        assert_eq!(parts.proof(), proof.as_bytes());
    }
}

/// `auth-misc/007`, `008` and `012`: two servers of Apache ZooKeeper, on both ports.
const BETWEEN_SERVERS: [[&str; 4]; 3] = [
    [
        "UOzC0gp7KuQ1LD9KNdpJ7/mqWhVsdIktM8o8wHfi",
        "f7ZStiLwOtmVoH3IJqutW6RME1mqVvTTiAF9aiok",
        "bf634e0a25d11bf2c881877368fcef4d",
        "141000e583e6606eaba5a1b99e429c9b",
    ],
    [
        "OXvnyqsX4XK7Sp0t7A2TXO51Kw29RynpT+lHYtMh",
        "wAJ7g5UH25bYvSrEcER5k+skJ/QHXhd8Yt0CQa8a",
        "a35ff3903443ea7fd1bf7fc3602bada4",
        "e3c4c6f3bf8ff3274815bd76b7598a35",
    ],
    [
        "/GEG9kntoGrOqyfOQnZJQRqsdZuH/YAQuGrtC75h",
        "pVP58Kmu3bhOZJYvhDjEzsKQYhXjUN+fV1Gfucv/",
        "6de346b714cdc8fab31366f4e46bf82a",
        "115405c19062ea79f9a0c81e0cf22d23",
    ],
];

#[test]
fn both_roles_say_byte_by_byte_what_java_servers_said() {
    let bytes = |text| -> Nonce { STANDARD.decode(text).unwrap().try_into().unwrap() };
    let acceptor = Acceptor::new(Service::SERVERS, users(&[("test", "mypassword")]));
    let password = Secret::new("mypassword");
    let initiator = Initiator::new(Service::SERVERS, "test".into(), password);
    for [nonce, cnonce, response, proof] in BETWEEN_SERVERS {
        let mut exchange = Exchange::default();
        let challenge = format!(
            "realm=\"zk-quorum-sasl-md5\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess"
        );
        assert_eq!(
            exchange.take(&acceptor, b"", || bytes(nonce)),
            Ok(Answer::Challenge(challenge.clone().into_bytes()))
        );
        let said = format!(
            "charset=utf-8,username=\"test\",realm=\"zk-quorum-sasl-md5\",nonce=\"{nonce}\",\
             nc=00000001,cnonce=\"{cnonce}\",digest-uri=\"zookeeper-quorum/zk-quorum-sasl-md5\",\
             maxbuf=65536,response={response},qop=auth,authzid=\"test\""
        );
        let (ours, expected) = initiator
            .respond(challenge.as_bytes(), bytes(cnonce))
            .unwrap();
        assert_eq!(String::from_utf8(ours).unwrap(), said);
        let token = format!("rspauth={proof}").into_bytes();
        assert_eq!(expected.check(&token), Ok(()));
        let user = "test".to_owned();
        assert_eq!(
            exchange.take(&acceptor, said.as_bytes(), || unreachable!()),
            Ok(Answer::Granted { user, token })
        );
    }
}
