//! Real clients: who they are, what they may read, and what becomes of a wrong password.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use compat_tests::programs::{self, SecureC, compile_java};
use compat_tests::server::{Kind, Server};
use compat_tests::suite::{Skip, say};

use super::{both, jaas, setup};

const PATIENCE: Duration = Duration::from_secs(60);

/// Who connects: a user and a password, and what that is.
struct Who {
    what: &'static str,
    user: &'static str,
    password: &'static str,
}

/// One after the other, on one server: who connects, the node, its owner if it is new, and lines
/// that must be among what the client says.
struct Case {
    who: Who,
    path: &'static str,
    owner: &'static str,
    java: &'static [&'static str],
    kazoo: &'static [&'static str],
    c: &'static [&'static str],
}

const BOB: Who = Who {
    what: "the right password",
    user: "bob",
    password: "bobsecret",
};

const CASES: &[Case] = &[
    Case {
        who: BOB,
        path: "/bobs",
        owner: "bob",
        java: &[
            "states: [SyncConnected, SaslAuthenticated]",
            "create: /bobs",
            "get: data",
            "set: true",
            "who: [ip=127.0.0.1, sasl=bob]",
        ],
        kazoo: &["start: ok", "create: /bobs", "get: b'data'", "set: True"],
        c: &[
            "start: ok",
            "create: ok",
            "get: data",
            "acl: sasl bob",
            "set: ok",
        ],
    },
    Case {
        who: Who {
            what: "a password with signs",
            user: "ann",
            password: "p\"\\ =,",
        },
        path: "/bobs",
        owner: "ann",
        java: &[
            "states: [SyncConnected, SaslAuthenticated]",
            "create: NODEEXISTS",
            "get: NOAUTH",
            "acl: NOAUTH",
            "set: NOAUTH",
            "who: [ip=127.0.0.1, sasl=ann]",
        ],
        kazoo: &[
            "start: ok",
            "create: NodeExistsError",
            "get: NoAuthError",
            "set: NoAuthError",
        ],
        c: &[
            "start: ok",
            "create: NODEEXISTS",
            "get: NOAUTH",
            "acl: NOAUTH",
            "set: NOAUTH",
        ],
    },
    Case {
        who: Who {
            what: "another alphabet",
            user: "jörg",
            password: "pässwörd",
        },
        path: "/annex",
        owner: "jörg",
        java: &[
            "create: /annex",
            "get: data",
            "who: [ip=127.0.0.1, sasl=jörg]",
        ],
        // pure-sasl hashes UTF-8 where Latin-1 would do, against RFC 2831.
        kazoo: &["start: AuthFailedError"],
        c: &["start: ok", "create: ok", "get: data"],
    },
    Case {
        who: Who {
            what: "a super user",
            user: "super",
            password: "adminsecret",
        },
        path: "/bobs",
        owner: "super",
        java: &[
            "create: NODEEXISTS",
            "get: data",
            "set: true",
            "who: [ip=127.0.0.1, sasl=super, super=]",
        ],
        kazoo: &["start: ok", "get: b'data'", "set: True"],
        c: &["start: ok", "create: NODEEXISTS", "get: data", "set: ok"],
    },
    Case {
        who: Who {
            what: "a wrong password",
            user: "bob",
            password: "wrong",
        },
        path: "/bobs",
        owner: "bob",
        java: &["states: [SyncConnected, AuthFailed]", "get: AUTHFAILED"],
        kazoo: &["start: AuthFailedError"],
        c: &["start: auth failed"],
    },
    Case {
        who: Who {
            what: "an unknown user",
            user: "eve",
            password: "bobsecret",
        },
        path: "/bobs",
        owner: "bob",
        java: &["states: [SyncConnected, AuthFailed]", "get: AUTHFAILED"],
        kazoo: &["start: AuthFailedError"],
        c: &["start: auth failed"],
    },
];

pub(super) fn java() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let class_path = compile_java(home.path())?;
    let told = told_by_both(home.path(), |server, case, folder| {
        let Who { user, password, .. } = case.who;
        let password = password.replace('\\', "\\\\").replace('"', "\\\"");
        let options = format!("username=\"{user}\" password=\"{password}\"");
        let file = jaas(folder, &[("Client", &options)]);
        let mut command = programs::bounded(PATIENCE, "java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.arg(format!(
            "-Dlogback.configurationFile={}",
            programs::source("java/logback.xml").display()
        ));
        command.args([
            "-Dcompat.log=OFF",
            "-Dfile.encoding=UTF-8",
            "-Dsun.jnu.encoding=UTF-8",
        ]);
        command.args(["-Dsun.stdout.encoding=UTF-8", "-Dstdout.encoding=UTF-8"]);
        command.arg("-Dzookeeper.fips-mode=false");
        command.arg(format!(
            "-Djava.security.auth.login.config={}",
            file.display()
        ));
        command.env("LC_ALL", "C.UTF-8");
        command.args(["-cp", &class_path, "Sasl"]);
        command.args([&server.connect_string(), case.path, case.owner]);
        Ok(command)
    })?;
    compare("Java client 3.9.5", &told, |case| case.java);
    Ok(())
}

pub(super) fn kazoo() -> Result<(), Skip> {
    let python = compat_tests::cache::python()?;
    let has_sasl = Command::new(python)
        .args(["-c", "import puresasl"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_sasl {
        return Err(Skip(
            "no pure-sasl in the cache folder: run compat-tests/fetch.sh".into(),
        ));
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let told = told_by_both(home.path(), |server, case, _| {
        let mut command = programs::kazoo(PATIENCE, "sasl.py")?;
        command.args([&server.connect_string(), case.path, case.owner]);
        command.args([case.who.user, case.who.password]);
        Ok(command)
    })?;
    compare("kazoo 2.11.0", &told, |case| case.kazoo);
    Ok(())
}

pub(super) fn c() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let client = SecureC::compile(home.path())?;
    let command = |mechanism: &str, server: &Server, case: &Case, folder: &Path| {
        std::fs::create_dir_all(folder).expect("a folder can be made");
        let password = folder.join("password");
        std::fs::write(&password, case.who.password).expect("a file of ours");
        let mut command = client.command(PATIENCE);
        command.args(["sasl", &server.connect_string(), "30", mechanism]);
        command.arg(case.who.user).arg(password);
        command.args([case.path, case.owner]);
        command
    };
    let told = told_by_both(home.path(), |server, case, folder| {
        Ok(command("DIGEST-MD5", server, case, folder))
    })?;
    compare("C client 3.8.0", &told, |case| case.c);
    // Mechanisms that the server does not have, by somebody with the right password. PLAIN begins
    // with the password itself.
    for kind in both() {
        let folder = home.path().join(format!("{kind}-mechanisms"));
        let server = setup(kind, &folder.join("server")).start()?;
        for mechanism in ["PLAIN", "LOGIN", "SCRAM-SHA-1"] {
            let mut command = command(mechanism, &server, &CASES[0], &folder.join(mechanism));
            let output = command.stdin(Stdio::null()).output().expect("it was built");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(said.trim(), "start: auth failed", "{mechanism} on {kind}");
            say(format!(
                "   C client 3.8.0 | {mechanism} | {kind} | refused"
            ));
        }
        let mut after = command("DIGEST-MD5", &server, &CASES[0], &folder.join("after"));
        let output = after.stdin(Stdio::null()).output().expect("it was built");
        assert!(String::from_utf8_lossy(&output.stdout).contains("start: ok"));
        assert!(!server.log().contains(BOB.password), "{}", server.log());
        server.terminate();
    }
    Ok(())
}

/// What the clients of all cases say on each kind of server.
fn told_by_both(
    home: &Path,
    client: impl Fn(&Server, &Case, &Path) -> Result<Command, Skip>,
) -> Result<Vec<(Kind, Vec<String>)>, Skip> {
    let mut told = Vec::new();
    for kind in both() {
        let folder = home.join(kind.to_string());
        let server = setup(kind, &folder.join("server")).start()?;
        let mut lines = Vec::new();
        for (index, case) in CASES.iter().enumerate() {
            let folder = folder.join(format!("client-{index}"));
            let output = client(&server, case, &folder)?
                .stdin(Stdio::null())
                .output()
                .expect("the client can be started");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.status.success(),
                "{} on {kind}:\n{said}\n{}\n{}",
                case.who.user,
                String::from_utf8_lossy(&output.stderr),
                server.log()
            );
            lines.push(said);
        }
        told.push((kind, lines));
        server.terminate();
    }
    Ok(told)
}

/// Both servers have made the client say the same, and what was wanted. Prints a line of the matrix
/// for each case.
fn compare(
    client: &str,
    told: &[(Kind, Vec<String>)],
    wanted: impl Fn(&Case) -> &'static [&'static str],
) {
    for (index, case) in CASES.iter().enumerate() {
        let Who { what, user, .. } = case.who;
        let (kind, lines) = &told[0];
        let is_in = ["start: ok", "SaslAuthenticated"];
        let is_in = is_in.iter().any(|sign| lines[index].contains(sign));
        say(format!(
            "   {client} | DIGEST-MD5, {what} | {} | {}",
            if is_in { "accepted" } else { "refused" },
            lines[index].trim().replace('\n', "; ")
        ));
        for (kind, lines) in told {
            for line in wanted(case) {
                assert!(
                    lines[index].lines().any(|told| told == *line),
                    "{user} on {kind}: no {line:?} in\n{}",
                    lines[index]
                );
            }
        }
        let (reference, same) = &told[1];
        assert_eq!(
            lines[index], same[index],
            "{user}: {kind} and {reference} differ"
        );
    }
}
