//! Real clients with right credentials and wrong ones, each against a server that needs a certificate
//! and one that asks for none. Prints a line for each cell.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use compat_tests::ensemble::wait_for;
use compat_tests::pki::Form;
use compat_tests::programs::{self, SecureC};
use compat_tests::server::Kind;
use compat_tests::suite::{Skip, say};

use crate::client::run_java;
use crate::secured::{Secured, World, setup, start, world};

/// How long a client program may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds after which a client that has not got in gives up. One that is let in needs less than one.
const SECONDS: &str = "6";

type Reasons = [&'static str; 2];

/// What a client has to show.
struct Credentials {
    what: &'static str,
    /// Key and certificate, of the authority or of the stranger; none where nothing is shown.
    own: Option<PathBuf>,
    /// Whom it trusts.
    trust: PathBuf,
    /// If it does not get in where a certificate is needed, and where none is: what the server's log
    /// says of it, or something else that it may say.
    refused: [Option<Reasons>; 2],
}

/// Of somebody who shows no certificate. Java's client does not show one that the server will not take.
const NOTHING: &str = "one is needed";

fn credentials() -> Result<Vec<Credentials>, Skip> {
    let World {
        authority,
        stranger,
        ..
    } = world()?;
    let trust = authority.store("trust", Form::Pem);
    let of = |what, own, trust: &Path, refused| Credentials {
        what,
        own,
        trust: trust.to_owned(),
        refused,
    };
    let own = |name| Some(authority.store(name, Form::Pem));
    Ok(vec![
        of("its own certificate", own("client"), &trust, [None, None]),
        of(
            "a certificate of nobody's",
            Some(stranger.store("client", Form::Pem)),
            &trust,
            [Some(["UnknownIssuer", NOTHING]), None],
        ),
        of(
            "an expired certificate",
            own("expired"),
            &trust,
            [Some(["certificate expired", NOTHING]), None],
        ),
        of("no certificate", None, &trust, [Some([NOTHING; 2]), None]),
        of(
            "trust in somebody else",
            own("client"),
            &stranger.store("trust", Form::Pem),
            // The alert of each library is another one.
            [Some([""; 2]); 2],
        ),
    ])
}

/// Lets a client try with all credentials; `connects` says whether it has got in.
fn matrix(
    client: &str,
    has_none: bool,
    connects: impl Fn(&Secured, &Credentials) -> bool,
) -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let World { authority, .. } = world()?;
    for (column, (mode, name)) in [("need", "mutual TLS"), ("none", "TLS")]
        .into_iter()
        .enumerate()
    {
        let (setup, claim) = setup(&home.path().join(mode), authority, Form::Pem);
        let secured = start((setup.line("ssl.clientAuth", mode), claim))?;
        for credentials in credentials()? {
            if credentials.own.is_none() && !has_none {
                say(format!(
                    "   {client} | {name}, {} | skipped: the library wants one",
                    credentials.what
                ));
                continue;
            }
            let before = secured.server.log().len();
            let is_in = connects(&secured, &credentials);
            let reasons = credentials.refused[column];
            let verdict = if is_in { "accepted" } else { "refused" };
            say(format!(
                "   {client} | {name}, {} | {verdict}",
                credentials.what
            ));
            assert_eq!(is_in, reasons.is_none(), "{}", secured.server.log());
            if let Some(reasons) = reasons {
                check_reason(&secured, before, reasons);
            }
        }
        // Nobody has been harmed by those who were refused.
        let mut credentials = credentials()?;
        assert!(connects(&secured, &credentials.swap_remove(0)));
        secured.server.terminate();
    }
    Ok(())
}

/// The log has one of the reasons, since it had so many bytes.
#[track_caller]
fn check_reason(secured: &Secured, before: usize, reasons: Reasons) {
    if Kind::under_test() != Kind::Oxkeeper {
        return;
    }
    wait_for(&format!("one of {reasons:?} in the log"), || {
        let log = secured.server.log();
        let mut lines = log[before..].lines();
        let has_one = |line: &str| {
            let is_reason = |reason| line.contains(reason);
            line.contains("Unsuccessful handshake") && reasons.iter().any(is_reason)
        };
        lines.any(has_one).then_some(())
    });
}

/// Whether a program has ended well, and all that it said.
fn outcome(mut command: Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.expect("the program can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = said + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

pub(crate) fn java() -> Result<(), Skip> {
    let World { authority, .. } = world()?;
    let classes = world()?.classes()?;
    matrix("Java client 3.9.5", true, |secured, credentials| {
        let store = |key: &str, path: &Path| format!("-Dzookeeper.ssl.{key}={}", path.display());
        let mut more = vec![
            store("trustStore.location", &credentials.trust),
            format!("-Dpatience.ms={SECONDS}000"),
        ];
        match &credentials.own {
            Some(own) => more.push(store("keyStore.location", own)),
            // The last one counts.
            None => more.push("-Dzookeeper.ssl.keyStore.location=".into()),
        }
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let address = format!("localhost:{}", secured.port);
        let (is_in, said) = run_java(classes, &address, authority, Form::Pem, &more);
        assert!(is_in || said.contains("not connected"), "{said}");
        is_in
    })
}

pub(crate) fn kazoo() -> Result<(), Skip> {
    compat_tests::cache::python()?;
    matrix("kazoo 2.11.0", true, |secured, credentials| {
        let mut command = programs::kazoo(PATIENCE, "tls.py").expect("it has been looked for");
        command.arg(format!("localhost:{}", secured.port));
        command.arg(&credentials.trust).arg(SECONDS);
        command.args(&credentials.own);
        let (is_in, said) = outcome(command);
        assert!(is_in || said.contains("KazooTimeoutError"), "{said}");
        is_in
    })
}

pub(crate) fn c() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let client = SecureC::compile(home.path())?;
    matrix("C client 3.8.0", false, |secured, credentials| {
        let mut command = client.command(PATIENCE);
        command.args(["tls", &secured.address(), SECONDS]);
        command.arg(&credentials.trust);
        // The same file holds certificate and key.
        command.args([&credentials.own, &credentials.own].into_iter().flatten());
        let (is_ok, said) = outcome(command);
        assert!(is_ok, "{said}");
        let is_in = said.lines().any(|line| line == "start: ok");
        let expected: &[&str] = match is_in {
            true => &["create: ok", "get: the same", "delete: ok", "close: ok"],
            false => &["start: nothing"],
        };
        for expected in expected {
            assert!(said.lines().any(|line| line == *expected), "{said}");
        }
        is_in
    })
}
