//! Who is kept out, and what the operator reads of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use compat_tests::ensemble::wait_for;
use compat_tests::pki::{Authority, Form, PASSWORD};
use compat_tests::server::{Kind, Setup};
use compat_tests::suite::{Skip, say};

use crate::secured::{Secured, World, is_answer, setup, srvr, start, world};

/// Handshakes must be done in this time.
const DEADLINE_MS: u64 = 2000;

struct Scene {
    authority: &'static Authority,
    stranger: &'static Authority,
    secured: Secured,
    _home: tempfile::TempDir,
}

impl Scene {
    fn new() -> Result<Self, Skip> {
        let home = tempfile::tempdir().expect("a temporary folder");
        let World {
            authority,
            stranger,
            ..
        } = world()?;
        let (setup, claim) = setup(&home.path().join("server"), authority, Form::Pkcs12);
        let deadline = DEADLINE_MS.to_string();
        let setup = setup.property("zookeeper.nio.sessionlessCnxnTimeout", &deadline);
        let secured = start((setup, claim))?;
        Ok(Self {
            authority,
            stranger,
            secured,
            _home: home,
        })
    }

    /// Whether a client with this key is answered.
    fn answers(&self, own: &Path, options: &[&str]) -> bool {
        let own = own.display().to_string();
        let options = [&["-cert", &own, "-key", &own], options].concat();
        let trust = self.authority.store("trust", Form::Pem);
        is_answer(&srvr(&self.secured.address(), &trust, &options))
    }

    /// The good client is answered, whatever others have done.
    #[track_caller]
    fn check_unharmed(&self) {
        assert!(self.answers(&self.authority.store("client", Form::Pem), &[]));
        let words = self.secured.server.four_letter_word("ruok");
        assert_eq!(words.expect("it is answered"), "imok");
    }

    /// A line of the log that came since it had so many bytes.
    #[track_caller]
    fn check_reason(&self, what: &str, before: usize, reason: &str) {
        if Kind::under_test() != Kind::Oxkeeper {
            return;
        }
        wait_for(&format!("the reason {reason:?} for {what}"), || {
            let log = self.secured.server.log();
            let lines = log[before..].lines();
            lines
                .filter(|line| line.contains("Unsuccessful handshake"))
                .any(|line| line.contains(reason))
                .then_some(())
        });
    }
}

pub(crate) fn kept_out() -> Result<(), Skip> {
    let scene = Scene::new()?;
    let client = scene.authority.store("client", Form::Pem);
    scene.check_unharmed();
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    let weak = ["-tls1_2", "-cipher", "AES128-SHA"];
    for (what, own, options, reason) in [
        (
            "a certificate of nobody's",
            scene.stranger.store("client", Form::Pem),
            &[][..],
            "UnknownIssuer",
        ),
        (
            "an expired certificate",
            scene.authority.store("expired", Form::Pem),
            &[],
            "certificate expired",
        ),
        (
            "one for servers",
            scene.authority.store("serving", Form::Pem),
            &[],
            "extended key usage",
        ),
        (
            "TLS 1.1",
            client.clone(),
            &old,
            "no version or cipher suite",
        ),
        (
            "a weak cipher suite",
            client.clone(),
            &weak,
            "no version or cipher suite",
        ),
    ] {
        let before = scene.secured.server.log().len();
        assert!(!scene.answers(&own, options), "{what}");
        scene.check_reason(what, before, reason);
        say(format!("   kept out: {what}: {reason}"));
    }
    let before = scene.secured.server.log().len();
    let trust = scene.authority.store("trust", Form::Pem);
    assert!(!is_answer(&srvr(&scene.secured.address(), &trust, &[])));
    scene.check_reason("no certificate", before, "one is needed");
    say("   kept out: no certificate");
    for (what, bytes) in [
        ("a client without TLS", &b"srvr"[..]),
        ("a request of HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("zeros", &[0; 4096]),
        ("an impossible record", &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3]),
    ] {
        let before = scene.secured.server.log().len();
        let mut stream = TcpStream::connect(scene.secured.address()).expect("it listens");
        // It may be closed before all is sent.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 16, "{what}: {answer:?}");
        scene.check_reason(what, before, "");
        say(format!("   kept out: {what}"));
    }
    scene.check_unharmed();
    // Who speaks TLS where there is none is told of in words.
    let plain = scene.secured.server.address().to_string();
    assert!(!is_answer(&srvr(&plain, &trust, &[])));
    if Kind::under_test() == Kind::Oxkeeper {
        wait_for("a line about TLS on the plain port", || {
            scene
                .secured
                .server
                .log()
                .contains("TLS ClientHello")
                .then_some(())
        });
    }
    Ok(())
}

pub(crate) fn slow() -> Result<(), Skip> {
    let scene = Scene::new()?;
    let begun = Instant::now();
    let hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    let streams: Vec<_> = (0..200)
        .map(|index| {
            let mut stream = TcpStream::connect(scene.secured.address()).expect("it listens");
            // Some say nothing, the others a part of what they should.
            let _ = stream.write_all(&hello[..index % hello.len()]);
            stream
        })
        .collect();
    scene.check_unharmed();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    for mut stream in streams {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let mut rest = Vec::new();
        // An end or a reset, but no silence.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_ne!(
                error.kind(),
                std::io::ErrorKind::WouldBlock,
                "it is still open"
            );
        }
    }
    let took = begun.elapsed();
    say(format!(
        "   200 handshakes that never end: all closed after {:.1} s",
        took.as_secs_f64()
    ));
    scene.check_unharmed();
    Ok(())
}

pub(crate) fn stores() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let World { authority, .. } = world()?;
    let broken = home.path().join("broken.p12");
    let whole = std::fs::read(authority.store("server", Form::Pkcs12)).expect("it is there");
    std::fs::write(&broken, &whole[..whole.len() / 2]).expect("it can be written");
    let broken = broken.display().to_string();
    let pem = authority.store("server", Form::Pem).display().to_string();
    for (form, key, value, reason) in [
        (
            Form::Jks,
            "ssl.keyStore.password",
            "w.r.o.n.g",
            "keystore password was incorrect",
        ),
        (
            Form::Pkcs12,
            "ssl.keyStore.password",
            "w.r.o.n.g",
            "keystore password was incorrect",
        ),
        (
            Form::Pkcs12,
            "ssl.trustStore.password",
            "w.r.o.n.g",
            "keystore password was incorrect",
        ),
        (Form::Jks, "ssl.keyStore.type", "PEM", "not a PEM file"),
        (Form::Pkcs12, "ssl.keyStore.location", &pem, "holds no"),
        (
            Form::Pkcs12,
            "ssl.keyStore.location",
            &broken,
            "PKCS12 file, or a damaged one",
        ),
        (
            Form::Pem,
            "ssl.keyStore.location",
            "/not/there.pem",
            "cannot be read",
        ),
        (Form::Pem, "ssl.crl", "true", "less guarded"),
    ] {
        let (setup, _claim) = setup(&home.path().join("server"), authority, form);
        let mut setup = setup.line(key, value);
        if value == pem {
            setup = setup.line("ssl.keyStore.type", "JKS");
        }
        let Err(refused) = setup.try_start()? else {
            panic!("{key}={value}: it has started");
        };
        assert_eq!(refused.code, Some(2), "{}", refused.log);
        let expected = if value == pem { "it is PEM" } else { reason };
        assert!(
            refused.log.contains(expected),
            "{key}={value}:\n{}",
            refused.log
        );
        assert!(!refused.log.contains("w.r.o.n.g"), "{}", refused.log);
        say(format!(
            "   refused with {key} of a {form:?} store: {expected}"
        ));
    }
    Ok(())
}

/// Every key with a secret is set; nothing that the server says has it.
pub(crate) fn passwords() -> Result<(), Skip> {
    const DIGEST: &str = "super:c4n4ryOfTheSuperDigest=";
    let home = tempfile::tempdir().expect("a temporary folder");
    let World { authority, .. } = world()?;
    let (setup, claim) = setup(&home.path().join("server"), authority, Form::Pkcs12);
    let mut setup: Setup = setup
        .property("zookeeper.DigestAuthenticationProvider.superDigest", DIGEST)
        .environment("RUST_LOG", "trace");
    for (key, value) in authority.lines("ssl.quorum", "server", Form::Jks) {
        setup = setup.line(&key, &value);
    }
    let secured = start((setup, claim))?;
    let own = authority.store("client", Form::Pem).display().to_string();
    let trust = authority.store("trust", Form::Pem);
    for address in [secured.address(), secured.server.connect_string()] {
        srvr(&address, &trust, &["-cert", &own, "-key", &own]);
        srvr(&address, &trust, &[]);
    }
    secured.server.signal(rustix::process::Signal::HUP);
    let mut said = String::new();
    for word in [
        "conf", "envi", "cons", "stat", "srvr", "mntr", "dump", "wchs", "dirs", "hash",
    ] {
        said += &secured
            .server
            .four_letter_word(word)
            .expect("it is answered");
    }
    wait_for("SIGHUP to be heard", || {
        secured.server.log().contains("read again").then_some(())
    });
    said += &secured.server.log();
    for secret in [PASSWORD, "c4n4ry"] {
        assert!(!said.contains(secret), "{secret} is in:\n{said}");
    }
    Ok(())
}
