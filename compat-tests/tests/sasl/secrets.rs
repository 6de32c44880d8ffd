//! Nobody is told a password: neither by a log, however much it says, nor by an answer.

use std::process::{Command, Stdio};

use compat_tests::server::{Kind, Setup, oxkeeper_binary};
use compat_tests::suite::Skip;
use compat_tests::wire::{Client, Fields, Record, op};
use ox_sasl::{Initiator, Service};
use ox_secret::Secret;

use super::{MODULE, PROVIDER};

const CANARY: &str = "canary-4711";

const WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srvr",
    "stat", "wchc", "wchp", "wchs",
];

pub(super) fn none_are_told() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let file = home.path().join("jaas.conf");
    let text = format!(
        "Server {{\n {MODULE} required\n user_bob=\"{CANARY}\" user_super=\"{CANARY}-old\" \
         user_bob=\"{CANARY}\";\n}};\n"
    );
    std::fs::write(&file, &text).expect("a file of ours");
    let server = Setup::new(Kind::under_test(), &home.path().join("server"))
        .property(
            "java.security.auth.login.config",
            &file.display().to_string(),
        )
        .property(
            "zookeeper.SASLAuthenticationProvider.superPassword",
            &format!("{CANARY}-super"),
        )
        .line(PROVIDER.0, PROVIDER.1)
        .environment("RUST_LOG", "trace")
        .start()?;
    for (user, password) in [
        ("bob", CANARY.to_owned()),
        ("bob", format!("{CANARY}-wrong")),
        ("super", format!("{CANARY}-super")),
        ("eve", CANARY.to_owned()),
    ] {
        let mut client = Client::connect(server.address());
        let reply = client.ok(op::SASL, &Fields::new().buffer(Some(b"")));
        let challenge = Record(&reply.body).buffer().expect("a token").to_vec();
        let initiator = Initiator::new(Service::CLIENTS, user.into(), Secret::new(password));
        let (response, _) = initiator.respond(&challenge, [5; 30]).expect("a challenge");
        client.send(op::SASL, &Fields::new().buffer(Some(&response)));
        client.reply().expect("an answer");
    }
    let mut told = String::new();
    for word in WORDS {
        told += &server.four_letter_word(word).expect("an answer");
    }
    let log = server.log();
    for reason in [
        "wrong password for user 'bob'",
        "User 'eve' not found",
        "authenticationID=super",
    ] {
        assert!(log.contains(reason), "no {reason:?} in\n{log}");
    }
    told += &log;
    server.terminate();
    // Files that cannot be read: the place is told, and no word of it.
    let config = home.path().join("server/zoo.cfg");
    for damaged in [
        text.replace("user_super=", "user_super "),
        text.replace("=\"canary-4711-old", "=1canary-4711-old"),
        text.replace("\"canary-4711-old\"", "'canary-4711-old'"),
        text.replace("canary-4711-old", "${canary-4711-old}"),
        text.replace("};", ""),
    ] {
        std::fs::write(&file, &damaged).expect("a file of ours");
        let output = Command::new(oxkeeper_binary())
            .args([
                "serve",
                &format!("-Djava.security.auth.login.config={}", file.display()),
            ])
            .arg(&config)
            .stdin(Stdio::null())
            .output()
            .expect("the binary can be run");
        assert_eq!(output.status.code(), Some(1), "{damaged}");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let place = format!("{}:", file.display());
        assert!(said.contains(&place), "{damaged}\n{said}");
        told += &said;
    }
    assert!(!told.contains("canary"), "{told}");
    Ok(())
}
