use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{
    ClientAuth, HandshakeError, Hosts, Password, Protocol, QuorumTls, Secret, StoreFile, StoreKind,
    Stream,
};

/// An authority, and a folder for what it issues.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        Self::made(|_| {})
    }

    /// One that is changed before it signs itself.
    fn made(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, folder.path().display().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("trust.pem"), certificate.pem()).unwrap();
        let itself = key.serialize_pem() + &certificate.pem();
        fs::write(folder.path().join("itself.pem"), itself).unwrap();
        let issuer = Issuer::new(params, key);
        Self { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A key and its certificate in one file.
    fn issue(&self, file: &str, change: impl FnOnce(&mut CertificateParams)) -> PathBuf {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "a server");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = self.path(file);
        fs::write(&path, key.serialize_pem() + &certificate.pem()).unwrap();
        path
    }

    fn settings(&self, key: PathBuf) -> Settings {
        Settings {
            key_store: pem(key),
            trust_store: Some(pem(self.path("trust.pem"))),
            protocols: vec![Protocol::Tls12, Protocol::Tls13],
            suites: Vec::new(),
            client_auth: ClientAuth::Need,
            check_server_host: true,
            check_client_host: true,
            reload: true,
        }
    }
}

fn pem(path: PathBuf) -> StoreFile {
    StoreFile {
        path,
        kind: StoreKind::Pem,
        password: Password::Text(Secret::default()),
    }
}

fn quorum(settings: Settings, hosts: &[&str]) -> QuorumTls {
    QuorumTls {
        context: Arc::new(Context::load(settings).unwrap()),
        dials_tls: true,
        takes_plain: false,
        detection: Duration::from_secs(5),
        hosts: Hosts::new(hosts.iter().map(|&host| host.to_owned())),
    }
}

/// One connection: how either side's handshake ended.
async fn meet(
    dialer: &QuorumTls,
    hosts: &[&str],
    acceptor: &QuorumTls,
) -> (
    Result<Stream, HandshakeError>,
    Result<Stream, HandshakeError>,
) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
    let dial = async {
        let mut stream = dialer
            .dial(TcpStream::connect(address).await.unwrap(), &hosts)
            .await?;
        // Under TLS 1.3 only the answer tells whether it was accepted.
        let mut answer = [0; 4];
        stream
            .write_all(b"ping")
            .await
            .map_err(HandshakeError::from_io)?;
        stream.flush().await.map_err(HandshakeError::from_io)?;
        stream
            .read_exact(&mut answer)
            .await
            .map_err(HandshakeError::from_io)?;
        Ok(stream)
    };
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await?;
        let mut question = [0; 4];
        stream
            .read_exact(&mut question)
            .await
            .map_err(HandshakeError::from_io)?;
        stream
            .write_all(&question)
            .await
            .map_err(HandshakeError::from_io)?;
        stream.flush().await.map_err(HandshakeError::from_io)?;
        Ok(stream)
    };
    tokio::join!(dial, accept)
}

#[track_caller]
fn check_failed(result: Result<Stream, HandshakeError>, expected: &str) {
    let text = result.expect_err("it must not be connected").to_string();
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn servers_of_one_authority_meet_under_either_version() {
    let authority = Authority::new();
    let settings = authority.settings(authority.issue("own.pem", |_| {}));
    let acceptor = quorum(settings.clone(), &["localhost"]);
    for protocol in [Protocol::Tls12, Protocol::Tls13] {
        let protocols = vec![protocol];
        let dialer = quorum(
            Settings {
                protocols,
                ..settings.clone()
            },
            &[],
        );
        let (dialed, accepted) = meet(&dialer, &["localhost"], &acceptor).await;
        assert!(matches!(dialed.unwrap(), Stream::Tls(_)));
        assert!(matches!(accepted.unwrap(), Stream::Tls(_)));
    }
}

#[tokio::test]
async fn versions_that_have_nothing_in_common_do_not_meet() {
    let authority = Authority::new();
    let settings = authority.settings(authority.issue("own.pem", |_| {}));
    let only = |protocol| {
        let protocols = vec![protocol];
        quorum(
            Settings {
                protocols,
                ..settings.clone()
            },
            &["localhost"],
        )
    };
    let (old, new) = (only(Protocol::Tls12), only(Protocol::Tls13));
    let (dialed, accepted) = meet(&old, &["localhost"], &new).await;
    check_failed(dialed, "alert");
    check_failed(accepted, "no version or cipher suite");
}

#[tokio::test]
async fn who_has_a_certificate_of_somebody_else_is_refused_on_both_sides() {
    let (authority, other) = (Authority::new(), Authority::new());
    let own = quorum(
        authority.settings(authority.issue("own.pem", |_| {})),
        &["localhost"],
    );
    let stranger = other.settings(other.issue("own.pem", |_| {}));
    let trusting = Settings {
        trust_store: Some(pem(authority.path("trust.pem"))),
        ..stranger.clone()
    };
    let (dialed, accepted) = meet(&quorum(trusting, &["localhost"]), &["localhost"], &own).await;
    check_failed(accepted, "UnknownIssuer");
    check_failed(dialed, "alert");
    let (dialed, accepted) = meet(&own, &["localhost"], &quorum(stranger, &["localhost"])).await;
    check_failed(dialed, "UnknownIssuer");
    check_failed(accepted, "does not trust our certificate");
}

#[tokio::test]
async fn expired_certificates_and_those_for_other_uses_are_refused() {
    let authority = Authority::new();
    let own = quorum(
        authority.settings(authority.issue("own.pem", |_| {})),
        &["localhost"],
    );
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    let expired = authority.issue("expired.pem", |params| params.not_after = yesterday.into());
    let expired = quorum(authority.settings(expired), &["localhost"]);
    check_failed(
        meet(&expired, &["localhost"], &own).await.1,
        "certificate expired",
    );
    check_failed(
        meet(&own, &["localhost"], &expired).await.0,
        "certificate expired",
    );
    let serving = authority.issue("serving.pem", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let serving = quorum(authority.settings(serving), &["localhost"]);
    check_failed(
        meet(&serving, &["localhost"], &own).await.1,
        "does not allow extended key usage",
    );
    meet(&own, &["localhost"], &serving).await.0.unwrap();
}

#[tokio::test]
async fn a_certificate_must_be_for_a_host_of_the_ensemble() {
    let authority = Authority::new();
    let settings = authority.settings(authority.issue("own.pem", |_| {}));
    let own = quorum(settings.clone(), &["localhost"]);
    let (dialed, _) = meet(&own, &["zk1"], &own).await;
    check_failed(dialed, "CN=a server is not for zk1");
    let elsewhere = quorum(settings.clone(), &["zk1", "zk2"]);
    let (_, accepted) = meet(&own, &["localhost"], &elsewhere).await;
    check_failed(accepted, "is not for zk1, zk2");
    // Unless that is not asked for.
    let unchecked = Settings {
        check_server_host: false,
        check_client_host: false,
        ..settings
    };
    let unchecked = quorum(unchecked, &[]);
    meet(&unchecked, &["zk1"], &unchecked).await.0.unwrap();
}

#[tokio::test]
async fn a_certificate_for_an_address_is_one_for_the_host_that_has_it() {
    let authority = Authority::new();
    let by_address = authority.issue("address.pem", |params| {
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        params.subject_alt_names = vec![rcgen::SanType::IpAddress(address)];
    });
    let settings = authority.settings(by_address);
    let own = quorum(settings.clone(), &["localhost"]);
    let (dialed, accepted) = meet(&own, &["localhost"], &own).await;
    dialed.unwrap();
    accepted.unwrap();
    let elsewhere = quorum(settings, &["192.0.2.1"]);
    check_failed(
        meet(&own, &["localhost"], &elsewhere).await.1,
        "is not for 192.0.2.1",
    );
}

#[tokio::test]
async fn without_a_certificate_one_gets_in_where_none_is_needed() {
    let authority = Authority::new();
    let settings = authority.settings(authority.issue("own.pem", |_| {}));
    for (client_auth, gets_in) in [
        (ClientAuth::None, true),
        (ClientAuth::Want, true),
        (ClientAuth::Need, false),
    ] {
        let acceptor = quorum(
            Settings {
                client_auth,
                ..settings.clone()
            },
            &["localhost"],
        );
        let mut anonymous = quorum(settings.clone(), &["localhost"]);
        let mut config = (*anonymous.context.client()).clone();
        config.client_auth_cert_resolver = Arc::new(NoCertificate);
        let context = Context::load(settings.clone()).unwrap();
        let server = context.server();
        let client = Arc::new(config);
        context.state.lock().configs = Arc::new(Configs { server, client });
        anonymous.context = Arc::new(context);
        let (_, accepted) = meet(&anonymous, &["localhost"], &acceptor).await;
        match gets_in {
            true => drop(accepted.unwrap()),
            false => check_failed(accepted, "one is needed"),
        }
    }
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn what_is_no_tls_is_taken_only_where_ports_take_both() {
    let authority = Authority::new();
    let settings = authority.settings(authority.issue("own.pem", |_| {}));
    let strict = quorum(settings.clone(), &["localhost"]);
    let mut both = quorum(settings, &["localhost"]);
    both.takes_plain = true;
    both.dials_tls = false;
    let (_, accepted) = meet(&both, &["localhost"], &strict).await;
    check_failed(accepted, "no TLS");
    let (dialed, accepted) = meet(&both, &["localhost"], &both).await;
    assert!(matches!(dialed.unwrap(), Stream::Plain(_)));
    assert!(matches!(accepted.unwrap(), Stream::Plain(_)));
    let (_, accepted) = meet(&strict, &["localhost"], &both).await;
    assert!(matches!(accepted.unwrap(), Stream::Tls(_)));
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_has_no_tls() {
    let authority = Authority::new();
    let mut both = quorum(authority.settings(authority.issue("own.pem", |_| {})), &[]);
    both.takes_plain = true;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let accepted = both.accept(listener.accept().await.unwrap().0).await;
    assert!(matches!(accepted.unwrap(), Stream::Plain(_)));
}

#[tokio::test]
async fn a_certificate_that_is_itself_trusted_may_be_an_authority_but_not_expired() {
    let folder = tempfile::tempdir().unwrap();
    let own = |file: &str, not_after: SystemTime| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = not_after.into();
        let certificate = params.self_signed(&key).unwrap();
        let path = folder.path().join(file);
        fs::write(&path, key.serialize_pem() + &certificate.pem()).unwrap();
        let settings = Authority::new().settings(path.clone());
        quorum(
            Settings {
                trust_store: Some(pem(path)),
                ..settings
            },
            &["localhost"],
        )
    };
    let day = Duration::from_secs(86_400);
    let good = own("good.pem", SystemTime::now() + day);
    let (dialed, accepted) = meet(&good, &["localhost"], &good).await;
    dialed.unwrap();
    accepted.unwrap();
    let expired = own("expired.pem", SystemTime::now() - day);
    check_failed(
        meet(&expired, &["localhost"], &expired).await.0,
        "certificate expired",
    );
}

/// Whoever is trusted is not trusted for what else it signs, unless it is an authority.
#[tokio::test]
async fn a_trusted_certificate_that_is_no_authority_speaks_for_itself_alone() {
    let no_authority: [fn(&mut CertificateParams); 3] = [
        |params| params.is_ca = IsCa::NoCa,
        |params| params.is_ca = IsCa::ExplicitNoCa,
        |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
    ];
    for change in no_authority {
        let pinned = Authority::made(change);
        let itself = pinned.settings(pinned.path("itself.pem"));
        let acceptor = quorum(itself.clone(), &["localhost"]);
        let dialer = quorum(itself, &["localhost"]);
        let (dialed, accepted) = meet(&dialer, &["localhost"], &acceptor).await;
        dialed.unwrap();
        accepted.unwrap();
        let minted = pinned.settings(pinned.issue("minted.pem", |_| {}));
        let minted = quorum(minted, &["localhost"]);
        check_failed(
            meet(&minted, &["localhost"], &acceptor).await.1,
            "UnknownIssuer",
        );
        check_failed(
            meet(&dialer, &["localhost"], &minted).await.0,
            "UnknownIssuer",
        );
    }
}

#[tokio::test]
async fn who_joins_is_let_in_and_who_has_left_is_not() {
    let authority = Authority::new();
    let settings = authority.settings(authority.issue("own.pem", |_| {}));
    let dialer = quorum(settings.clone(), &["localhost"]);
    let acceptor = quorum(settings, &["elsewhere.invalid"]);
    let (_, accepted) = meet(&dialer, &["localhost"], &acceptor).await;
    check_failed(accepted, "elsewhere.invalid");
    acceptor.hosts.set(["localhost".to_owned()]);
    meet(&dialer, &["localhost"], &acceptor).await.1.unwrap();
    acceptor.hosts.set([]);
    let (_, accepted) = meet(&dialer, &["localhost"], &acceptor).await;
    assert!(matches!(accepted, Err(HandshakeError::Host { .. })));
}

#[tokio::test]
async fn stores_that_change_are_read_again_and_bad_ones_change_nothing() {
    let authority = Authority::new();
    let path = authority.issue("own.pem", |_| {});
    let dialer = quorum(authority.settings(path.clone()), &["localhost"]);
    let acceptor = quorum(authority.settings(path.clone()), &["localhost"]);
    assert!(!acceptor.context.reload(false).unwrap());
    authority.issue("own.pem", |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "renewed");
    });
    assert!(acceptor.context.reload(false).unwrap());
    assert!(!acceptor.context.reload(false).unwrap());
    let Stream::Tls(stream) = meet(&dialer, &["localhost"], &acceptor).await.0.unwrap() else {
        panic!("it has TLS");
    };
    let shown = stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(crate::subject(&shown[0]).unwrap(), "CN=renewed");

    fs::write(&path, "-----BEGIN").unwrap();
    acceptor.context.reload(false).unwrap_err();
    assert!(!acceptor.context.reload(false).unwrap(), "it is told once");
    meet(&dialer, &["localhost"], &acceptor).await.0.unwrap();
    acceptor.context.reload(true).unwrap_err();
}

#[test]
fn stores_that_do_not_fit_together_are_refused() {
    let authority = Authority::new();
    let first = authority.issue("first.pem", |_| {});
    let second = authority.issue("second.pem", |_| {});
    let (first, second) = (
        fs::read_to_string(first).unwrap(),
        fs::read_to_string(second).unwrap(),
    );
    let key = first.split("-----BEGIN CERTIFICATE").next().unwrap();
    let certificate = second.split("-----END PRIVATE KEY-----").nth(1).unwrap();
    let mixed = authority.path("mixed.pem");
    fs::write(&mixed, format!("{key}{certificate}")).unwrap();
    let error = Context::load(authority.settings(mixed))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("mixed.pem: its private key cannot be used"),
        "{error}"
    );
    let suites = vec![crate::Suite::from_name("TLS_AES_128_GCM_SHA256").unwrap()];
    let protocols = vec![Protocol::Tls12];
    let own = authority.path("first.pem");
    let settings = Settings {
        suites,
        protocols,
        ..authority.settings(own)
    };
    let error = Context::load(settings).unwrap_err();
    assert!(matches!(error, LoadError::Suites(_)), "{error}");
}

#[tokio::test]
async fn garbage_and_silence_end_in_an_error_and_not_in_a_panic() {
    let authority = Authority::new();
    let own = quorum(authority.settings(authority.issue("own.pem", |_| {})), &[]);
    for garbage in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        &[0x16, 3, 1, 0xff, 0xff],
        &[0; 100],
        b"",
    ] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut stranger = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        stranger.write_all(garbage).await.unwrap();
        stranger.shutdown().await.unwrap();
        let error = own
            .accept(listener.accept().await.unwrap().0)
            .await
            .unwrap_err();
        match error {
            HandshakeError::Tls(_) => {}
            HandshakeError::Io(error) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
            other => panic!("{other}"),
        }
    }
}
