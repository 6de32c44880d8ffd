//! Golden rows of operations.md 1.8: TLS, x509, and that nobody sees what is secret.

use ox_tls::{ClientAuth, Password, Protocol, StoreKind};

use super::*;

/// Where the stores are that keytool and OpenSSL have written.
const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ox-tls/tests/golden");

/// A server that takes clients with TLS, and more lines.
fn secure(more: &str) -> Start {
    file(&format!(
        "secureClientPort=2281\nssl.keyStore.location={STORES}/key.jks\n\
         ssl.keyStore.password=changeit\nssl.trustStore.location={STORES}/trust.jks\n\
         ssl.trustStore.password=changeit\n{more}"
    ))
}

fn member(more: &str) -> Start {
    file(&format!(
        "initLimit=5\nsyncLimit=2\nserver.1=127.0.0.1:1:2\nserver.2=127.0.0.2:1:2\nserver.3=127.0.0.3:1:2\n\
         ssl.quorum.keyStore.location={STORES}/key.jks\nssl.quorum.keyStore.password=changeit\n\
         ssl.quorum.trustStore.location={STORES}/trust.jks\n\
         ssl.quorum.trustStore.password=changeit\n{more}"
    ))
    .and("myid", "1")
}

fn client_tls(start: &Start) -> ClientTls {
    start.config().tls.client.expect("it has TLS for clients")
}

#[test]
fn defaults_are_javas() {
    let config = secure("").config();
    let tls = config.tls.client.unwrap();
    let port = ListenConfig {
        address: None,
        port: 2281,
        backlog: None,
    };
    assert_eq!(tls.listen, Some(port));
    assert!(!tls.on_client_port && !tls.early_drop);
    assert_eq!(tls.handshakes, None);
    let settings = tls.settings;
    assert_eq!(settings.protocols, [Protocol::Tls12, Protocol::Tls13]);
    assert_eq!(settings.client_auth, ClientAuth::Need);
    assert_eq!(settings.key_store.kind, StoreKind::Binary);
    assert!(settings.suites.is_empty() && settings.reload);
    // FIPS mode, which is on, leaves the hosts alone.
    assert!(!settings.check_server_host && !settings.check_client_host);
    assert!(config.tls.x509);
    assert_eq!(config.tls.quorum, None);
    let open = file("").config();
    assert_eq!(open.tls, TlsSettings::default());
}

#[test]
fn settings_may_be_flags_too() {
    let start = file("client.portUnification=true").flags(&[
        &format!("zookeeper.ssl.keyStore.location={STORES}/plain.pem"),
        &format!("zookeeper.ssl.trustStore.location={STORES}/plain.pem"),
        "zookeeper.ssl.clientAuth=WANT",
        "zookeeper.ssl.protocol=TLSv1.3",
        "zookeeper.client.certReload=false",
        "zookeeper.X509AuthenticationProvider.superUser=CN=root",
    ]);
    let tls = client_tls(&start);
    assert_eq!(tls.listen, None);
    assert!(tls.on_client_port && !tls.settings.reload);
    assert_eq!(tls.settings.key_store.kind, StoreKind::Pem);
    assert_eq!(tls.settings.client_auth, ClientAuth::Want);
    assert_eq!(tls.settings.protocols, [Protocol::Tls13]);
    let super_user = start.config().tls.x509_super_user;
    assert_eq!(super_user.as_deref(), Some("CN=root"));
    check_warned(&start, &[]);
}

#[test]
fn protocols_and_suites_are_javas_and_what_is_not_spoken_is_named() {
    let start = secure("ssl.enabledProtocols=TLSv1.1, TLSv1.2");
    assert_eq!(client_tls(&start).settings.protocols, [Protocol::Tls12]);
    check_warned(
        &start,
        &["zoo.cfg:8: ssl.enabledProtocols: TLSv1.1 is not spoken here"],
    );
    check_refused(
        &secure("ssl.protocol=TLSv1.1"),
        &[
            "zoo.cfg:8: ssl.protocol: none of \"TLSv1.1\" is a protocol that is spoken here \
             (allowed: TLSv1.2, TLSv1.3, or both)",
        ],
    );
    let start =
        secure("ssl.ciphersuites=TLS_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256");
    assert_eq!(client_tls(&start).settings.suites.len(), 1);
    check_warned(
        &start,
        &[
            "zoo.cfg:8: ssl.ciphersuites: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 is not spoken here, \
           and passed over",
        ],
    );
    let (found, _) = secure("ssl.ciphersuites=TLS_RSA_WITH_NULL_SHA").refused();
    assert!(found[0].contains("no cipher suite is left"), "{found:?}");
    let only = "ssl.protocol=TLSv1.2\nssl.ciphersuites=TLS_AES_128_GCM_SHA256";
    assert_eq!(secure(only).refused().0.len(), 1);
}

#[test]
fn stores_are_opened_at_once_and_told_by_their_line() {
    let refused = |more: &str, expected: &str| {
        let (found, code) = secure(more).refused();
        assert_eq!((found.len(), code), (1, 2), "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
        assert!(found[0].starts_with("zoo.cfg:"), "{found:?}");
        assert!(!found[0].contains("c4n4ry"), "{found:?}");
    };
    refused("ssl.keyStore.password=c4n4ry", "password was incorrect");
    refused(
        "ssl.trustStore.password=c4n4ry",
        "trust.jks: keystore password was incorrect",
    );
    refused(
        "ssl.keyStore.passwordPath=/canary/not/there",
        "cannot be read",
    );
    refused(
        "ssl.keyStore.location=/not/there.jks",
        "/not/there.jks: cannot be read",
    );
    refused("ssl.keyStore.type=PEM", "not a PEM file");
    refused(
        "ssl.keyStore.type=BCFKS",
        "BCFKS stores are not supported; keytool",
    );
    refused("ssl.keyStore.type=DKS", "Unknown type of a store: DKS");
    refused(
        "ssl.keyStore.location=/etc/passwd",
        "Unable to auto-detect store file type from file name: /etc/passwd",
    );
    refused(
        "ssl.keyStore.location=",
        "Keystore is required for SSL server: zookeeper.ssl.keyStore",
    );
    refused("ssl.clientAuth=maybe", "none, want, need");
    refused(
        "ssl.authProvider=own",
        "No auth provider configured for the SSL authentication scheme",
    );
    refused("secureClientPort=70000", "port out of range:70000");
    // A name that lies about the kind does not matter between Java's own two.
    let path = format!("ssl.keyStore.type=pkcs12\nssl.keyStore.location={STORES}/key.jks");
    client_tls(&secure(&path));
}

#[test]
fn a_password_in_a_file_wins() {
    let start = secure("ssl.keyStore.password=wrong\nssl.keyStore.passwordPath={dir}/password");
    let start = start.and("password", "changeit\n");
    let password = client_tls(&start).settings.key_store.password;
    assert!(matches!(password, Password::File(_)), "{password:?}");
}

#[test]
fn what_would_guard_and_is_not_here_is_refused_by_name() {
    for key in ["ssl.crl", "ssl.ocsp", "ssl.context.supplier.class"] {
        let (found, code) = secure(&format!("{key}=true")).refused();
        assert_eq!((found.len(), code), (1, 2), "{found:?}");
        assert!(
            found[0].starts_with(&format!("zoo.cfg:8: {key}: ")),
            "{found:?}"
        );
        assert!(found[0].contains("less guarded"), "{found:?}");
    }
    let start = secure("ssl.trustStore.location=").flags(&["javax.net.ssl.trustStore=/t"]);
    let (found, _) = start.refused();
    assert!(
        found[0].contains("the JVM's own trust store is not read"),
        "{found:?}"
    );
}

#[test]
fn without_tls_its_settings_have_no_effect_and_that_is_said() {
    check_warned(
        &file("ssl.keyStore.location=/k\nssl.crl=true\nX509AuthenticationProvider.superUser=CN=a"),
        &[
            "zoo.cfg:3: ssl.keyStore.location: no effect without secureClientPort or \
             client.portUnification=true",
            "zoo.cfg:5: X509AuthenticationProvider.superUser: no effect: no client has a \
             certificate, for there is no TLS",
        ],
    );
}

#[test]
fn hosts_are_checked_outside_of_fips_mode_or_when_it_is_asked_for() {
    let both = |start: &Start| {
        let settings = start.config().tls.quorum.unwrap().settings;
        (settings.check_server_host, settings.check_client_host)
    };
    let quorum = |more: &str| member(&format!("sslQuorum=true\n{more}"));
    assert_eq!(both(&quorum("")), (false, false));
    assert_eq!(both(&quorum("fips-mode=false")), (true, true));
    assert_eq!(
        both(&quorum("ssl.quorum.hostnameVerification=true")),
        (true, false)
    );
    let off = "fips-mode=false\nssl.quorum.hostnameVerification=false";
    assert_eq!(both(&quorum(off)), (false, false));
    let half = "fips-mode=false\nssl.quorum.clientHostnameVerification=false";
    assert_eq!(both(&quorum(half)), (true, false));
}

#[test]
fn servers_have_tls_among_them_when_asked_to() {
    for (lines, dials_tls, takes_plain) in [
        ("sslQuorum=true", true, false),
        ("portUnification=true", false, true),
        ("sslQuorum=true\nportUnification=true", true, true),
    ] {
        let tls = member(lines).config().tls.quorum.unwrap();
        assert_eq!((tls.dials_tls, tls.takes_plain), (dials_tls, takes_plain));
        assert_eq!(tls.settings.client_auth, ClientAuth::Need);
        assert_eq!(tls.detection, Duration::from_secs(5));
        assert_eq!(tls.settings.protocols, [Protocol::Tls12, Protocol::Tls13]);
    }
    let newest = member("sslQuorum=true\nssl.quorum.protocol=TLSv1.3").config();
    assert_eq!(newest.tls.quorum.unwrap().settings.protocols.len(), 2);
    assert_eq!(member("").config().tls.quorum, None);
    // A server alone has no others.
    assert_eq!(file("sslQuorum=true").config().tls.quorum, None);
}

#[test]
fn x509_is_a_scheme_that_can_be_asked_for() {
    let asked = "enforce.auth.enabled=true\nenforce.auth.schemes=x509";
    assert_eq!(secure(asked).config().auth.required_schemes, ["x509"]);
    let (found, _) = file(asked).refused();
    assert!(
        found[0].contains("Authentication scheme x509 is not available."),
        "{found:?}"
    );
    let provider = "authProvider.1=org.apache.zookeeper.server.auth.X509AuthenticationProvider";
    assert!(file(provider).config().tls.x509);
}

/// Each key that holds a secret, wherever somebody may write it.
#[test]
fn no_secret_is_told_by_errors_warnings_or_what_is_printed() {
    const CANARY: &str = "c4n4ry";
    let keys = [
        "ssl.keyStore.password",
        "ssl.trustStore.password",
        "ssl.quorum.keyStore.password",
        "ssl.quorum.trustStore.password",
        "DigestAuthenticationProvider.superDigest",
        "SASLAuthenticationProvider.superPassword",
        "ensembleAuthName",
    ];
    let told = |start: &Start| match start.load() {
        Ok(config) => format!("{config:?} {:?}", start.lines(&config.warnings)),
        Err(errors) => format!("{errors} {errors:?}"),
    };
    // Keys of elliptic curves are read sooner.
    let store = format!("{STORES}/plain.pem");
    let ours = format!(
        "client.portUnification=true\nssl.keyStore.location={store}\n\
         ssl.trustStore.location={store}\nsslQuorum=true\n\
         ssl.quorum.keyStore.location={store}\nssl.quorum.trustStore.location={store}"
    );
    for key in keys {
        let misspelt = key.replace("ass", "as");
        for name in [
            key,
            &misspelt,
            &key.to_lowercase(),
            &format!("zookeeper.{key}"),
        ] {
            let in_file = member(&format!("{ours}\n{name}={CANARY}"));
            let repeated = file(&format!("{ours}\n{name}={CANARY}\n{name}={CANARY}2"));
            let as_flags = [name.to_owned(), format!("zookeeper.{name}")].map(|name| {
                file(&ours).environment(
                    &format!("-D{name}={CANARY}"),
                    &format!("-D{name}=x {CANARY} --opt={CANARY}"),
                )
            });
            for start in [in_file, repeated].into_iter().chain(as_flags) {
                let told = told(&start);
                assert!(!told.contains(CANARY), "{name}: {told}");
            }
        }
    }
}
