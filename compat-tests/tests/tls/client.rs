//! Clients that get in.

use std::process::Stdio;
use std::time::Duration;

use compat_tests::ensemble::wait_for;
use compat_tests::pki::{self, Authority, Form, Validity};
use compat_tests::programs;
use compat_tests::server::{Kind, Server};
use compat_tests::suite::{Skip, say};

use rustix::process::Signal;

use crate::secured::{NAME, Secured, World, is_answer, setup, srvr, start, with_key, world};

/// How long a client program may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the Java client prints, with the stores of one authority.
#[track_caller]
pub(crate) fn run_java(
    classes: &str,
    address: &str,
    authority: &Authority,
    form: Form,
    more: &[&str],
) -> (bool, String) {
    let class_path = format!("-cp\n{classes}");
    let mut command = programs::bounded(PATIENCE, "java");
    command.args([
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dcompat.log=ERROR",
    ]);
    command.arg(format!(
        "-Dlogback.configurationFile={}",
        programs::source("java/logback.xml").display()
    ));
    command.arg("-Dzookeeper.client.secure=true");
    command.arg("-Dzookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty");
    for (key, value) in authority.lines("zookeeper.ssl", "client", form) {
        command.arg(format!("-D{key}={value}"));
    }
    command
        .args(more)
        .args(class_path.split('\n'))
        .args(["Tls", address]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("java can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (
        output.status.success(),
        said + &String::from_utf8_lossy(&output.stderr),
    )
}

#[track_caller]
fn check_java(server: &Server, result: (bool, String), lines: &[&str]) {
    let (is_ok, said) = result;
    assert!(is_ok, "{said}\nserver:\n{}", server.log());
    for line in lines {
        assert!(
            said.lines().any(|found| found == *line),
            "no {line:?} in:\n{said}"
        );
    }
}

pub(crate) fn java() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let World { authority, .. } = world()?;
    let classes = world()?.classes()?;
    for form in Form::ALL {
        let secured = start(setup(&home.path().join(form.ending()), authority, form))?;
        for version in ["TLSv1.2", "TLSv1.3"] {
            // Netty knows the name of the host; Java's check of it is on.
            let address = format!("localhost:{}", secured.port);
            let version = format!("-Dzookeeper.ssl.protocol={version}");
            let result = run_java(classes, &address, authority, form, &[&version]);
            let ids = [format!("id x509 {NAME}"), format!("acl x509 {NAME}")];
            check_java(&secured.server, result, &[&ids[0], &ids[1], "done"]);
            say(format!(
                "   Java client 3.9.5, {form:?} on both sides, {version}: passed"
            ));
        }
        secured.server.terminate();
    }
    Ok(())
}

pub(crate) fn java_and_plain_openssl() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let classes = world()?.classes()?;
    let authority = pki::plain_openssl(&home.path().join("authority"))?;
    let secured = start(setup(&home.path().join("server"), &authority, Form::Pem))?;
    let address = format!("localhost:{}", secured.port);
    // The certificates name no host that could be checked.
    let unchecked = ["-Dzookeeper.ssl.hostnameVerification=false"];
    let result = run_java(classes, &address, &authority, Form::Pem, &unchecked);
    check_java(&secured.server, result, &["id x509 CN=client", "done"]);
    say("   Java client 3.9.5, certificates of version 1 from OpenSSL: passed");
    Ok(())
}

pub(crate) fn kazoo() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let World { authority, .. } = world()?;
    let trust = authority.store("trust", Form::Pem);
    let own = authority.store("client", Form::Pem);
    for (mode, certificates) in [
        ("need", &[true][..]),
        ("want", &[true, false]),
        ("none", &[true, false]),
    ] {
        let (setup, claim) = setup(&home.path().join(mode), authority, Form::Pkcs12);
        let secured = start((setup.line("ssl.clientAuth", mode), claim))?;
        for &with_certificate in certificates {
            let mut command = programs::kazoo(PATIENCE, "tls.py")?;
            command
                .arg(format!("localhost:{}", secured.port))
                .arg(&trust)
                .arg("15");
            if with_certificate {
                command.arg(&own);
            }
            let output = command
                .stdin(Stdio::null())
                .output()
                .expect("python can be run");
            assert!(
                output.status.success(),
                "clientAuth={mode}: {}\nserver:\n{}",
                String::from_utf8_lossy(&output.stderr),
                secured.server.log()
            );
            let with = if with_certificate { "with" } else { "without" };
            say(format!(
                "   kazoo, clientAuth={mode}, {with} a certificate: passed"
            ));
        }
    }
    Ok(())
}

pub(crate) fn one_port() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let World { authority, .. } = world()?;
    let classes = world()?.classes()?;
    let x509 = "org.apache.zookeeper.server.auth.X509AuthenticationProvider";
    let setup = with_key(&home.path().join("server"), authority, Form::Jks)
        .line("client.portUnification", "true")
        .line("authProvider.x509", x509);
    let server = setup.start()?;
    let plain = server.address();
    let address = format!("localhost:{}", plain.port());
    let result = run_java(classes, &address, authority, Form::Jks, &[]);
    check_java(&server, result, &["done"]);
    let mut client = compat_tests::wire::Client::connect(plain);
    client.create("/plain", b"", 0);
    client.close();
    say("   Java client 3.9.5 with TLS, and one without, on clientPort: passed");
    Ok(())
}

pub(crate) fn super_user() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let World { authority, .. } = world()?;
    let classes = world()?.classes()?;
    let (setup, claim) = setup(&home.path().join("server"), authority, Form::Pkcs12);
    let key = "zookeeper.X509AuthenticationProvider.superUser";
    let secured = start((setup.property(key, NAME), claim))?;
    let address = format!("localhost:{}", secured.port);
    let result = run_java(classes, &address, authority, Form::Pkcs12, &[]);
    check_java(
        &secured.server,
        result,
        &["id super ", &format!("id x509 {NAME}"), "done"],
    );
    Ok(())
}

/// The subject that the server shows.
fn shown(secured: &Secured, authority: &Authority) -> String {
    let own = authority.store("client", Form::Pem).display().to_string();
    let trust = authority.store("trust", Form::Pem);
    let output = srvr(&secured.address(), &trust, &["-cert", &own, "-key", &own]);
    assert!(is_answer(&output), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // `depth=0 CN = Server`
    let line = said.lines().find(|line| line.starts_with("depth=0 "));
    line.unwrap_or_default().to_owned()
}

pub(crate) fn renewal() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new(&home.path().join("authority"))?;
    authority.issue("server", "CN=Server", Validity::Now);
    authority.issue("client", "CN=Client", Validity::Now);
    let (setup, claim) = setup(&home.path().join("server"), &authority, Form::Pkcs12);
    // Java asks for it; here it is so without.
    let secured = start((setup.line("client.certReload", "true"), claim))?;
    assert!(shown(&secured, &authority).ends_with("Server"));
    // A session that is there goes on.
    let mut open = compat_tests::wire::Client::connect(secured.server.address());
    // keytool writes a store in several steps, and the server looks at it while it does.
    let store = authority.store("server", Form::Pkcs12);
    authority.issue("renewed", "CN=Renewed", Validity::Now);
    std::fs::rename(authority.store("renewed", Form::Pkcs12), &store).expect("it was written");
    wait_for("the new certificate", || {
        shown(&secured, &authority)
            .ends_with("Renewed")
            .then_some(())
    });
    // A store that cannot be opened changes nothing.
    let good = std::fs::read(&store).expect("it is there");
    std::fs::write(&store, &good[..good.len() / 2]).expect("it can be written");
    if Kind::under_test() == Kind::Oxkeeper {
        wait_for("a line about it", || {
            secured
                .server
                .log()
                .contains("cannot be read again")
                .then_some(())
        });
        assert!(shown(&secured, &authority).ends_with("Renewed"));
        std::fs::write(&store, &good).expect("it can be written");
        let before = read_again(&secured);
        secured.server.signal(Signal::HUP);
        wait_for("SIGHUP to be heard", || {
            (before < read_again(&secured)).then_some(())
        });
    }
    assert!(shown(&secured, &authority).ends_with("Renewed"));
    open.create("/still-there", b"", 0);
    Ok(())
}

fn read_again(secured: &Secured) -> usize {
    let log = secured.server.log();
    log.matches("have been read again").count()
}
