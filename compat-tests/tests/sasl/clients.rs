//! Real clients: who they are, what they may read, and what becomes of a wrong password.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use compat_tests::programs::{self, compile_java};
use compat_tests::server::{Kind, Server};
use compat_tests::suite::{Skip, say};

use super::{both, jaas, setup};

const PATIENCE: Duration = Duration::from_secs(60);

/// Who connects: a user and a password.
struct Who {
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
}

const BOB: Who = Who {
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
    },
    Case {
        who: Who {
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
    },
    Case {
        who: Who {
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
        kazoo: &[],
    },
    Case {
        who: Who {
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
    },
    Case {
        who: Who {
            user: "bob",
            password: "wrong",
        },
        path: "/bobs",
        owner: "bob",
        java: &["states: [SyncConnected, AuthFailed]", "get: AUTHFAILED"],
        kazoo: &[],
    },
    Case {
        who: Who {
            user: "eve",
            password: "bobsecret",
        },
        path: "/bobs",
        owner: "bob",
        java: &["states: [SyncConnected, AuthFailed]", "get: AUTHFAILED"],
        kazoo: &[],
    },
];

pub(super) fn java() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let class_path = compile_java(home.path())?;
    let told = told_by_both(home.path(), |server, case, folder| {
        let Who { user, password } = case.who;
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
    compare(&told, |case| case.java);
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
    compare(&told, |case| case.kazoo);
    Ok(())
}

/// The library that can be had has no SASL.
pub(super) fn c() -> Result<(), Skip> {
    let root = compat_tests::cache::debian()?;
    let library = std::fs::read_dir(root.join("usr/lib"))
        .expect("the packages have libraries")
        .map(|entry| entry.expect("readable").path().join("libzookeeper_mt.so"))
        .find(|path| path.exists())
        .expect("libzookeeper_mt.so is in the package");
    let bytes = std::fs::read(library).expect("readable");
    let needed = b"libsasl2";
    assert!(
        !bytes.windows(needed.len()).any(|window| window == needed),
        "the C library has SASL by now: have it tried"
    );
    Err(Skip("Debian builds the C client without SASL".into()))
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

fn compare(told: &[(Kind, Vec<String>)], wanted: impl Fn(&Case) -> &'static [&'static str]) {
    for (index, case) in CASES.iter().enumerate() {
        let Who { user, .. } = case.who;
        let (kind, lines) = &told[0];
        say(format!(
            "   {user}: {}",
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
