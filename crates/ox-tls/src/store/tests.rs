use super::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn store(path: PathBuf, password: &str) -> StoreFile {
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("pem") => StoreKind::Pem,
        _ => StoreKind::Binary,
    };
    let password = Password::Text(Secret::new(password));
    StoreFile {
        path,
        kind,
        password,
    }
}

/// Whose the first certificate is.
fn subject(certificates: &[CertificateDer<'_>]) -> String {
    crate::subject(&certificates[0]).unwrap()
}

#[test]
fn keys_are_found_in_stores_of_every_kind() {
    for (name, owner) in [
        ("key.jks", "CN=zk1,O=Oxkeeper"),
        ("key.p12", "CN=zk1,O=Oxkeeper"),
        ("legacy.p12", "CN=legacy"),
        ("openssl.p12", "CN=ossl"),
        ("p521.p12", "CN=p521"),
        ("plain.pem", "CN=ossl"),
        ("sec1.pem", "CN=ossl"),
        ("sealed.pem", "CN=ossl"),
        ("sealed-old.pem", "CN=ossl"),
    ] {
        let entry = store(golden(name), "changeit").key();
        let entry = entry.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(subject(&entry.chain), owner, "{name}");
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&entry.key);
        let key = rustls::sign::CertifiedKey::new(entry.chain, key.unwrap());
        key.keys_match()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn trust_is_found_in_stores_of_every_kind_and_in_those_of_keys() {
    for (name, owner) in [
        ("trust.jks", "CN=zk1,O=Oxkeeper"),
        ("trust.p12", "CN=zk1,O=Oxkeeper"),
        ("openssl-trust.p12", "CN=ossl"),
        ("plain.pem", "CN=ossl"),
        ("key.jks", "CN=zk1,O=Oxkeeper"),
        ("key.p12", "CN=zk1,O=Oxkeeper"),
    ] {
        let trusted = store(golden(name), "changeit").trusted();
        let trusted = trusted.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            (trusted.len(), subject(&trusted).as_str()),
            (1, owner),
            "{name}"
        );
    }
}

#[track_caller]
fn check_reason(found: Result<KeyEntry, StoreError>, expected: &str) {
    let Err(error) = found else {
        panic!("it was read");
    };
    let text = error.to_string();
    assert!(text.contains(expected), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn a_wrong_password_is_called_one() {
    for name in [
        "key.jks",
        "key.p12",
        "legacy.p12",
        "openssl.p12",
        "sealed.pem",
        "sealed-old.pem",
    ] {
        for password in ["canary", ""] {
            let reason = "password was incorrect";
            check_reason(store(golden(name), password).key(), reason);
        }
    }
}

#[test]
fn what_is_no_such_store_is_named_by_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8], kind: StoreKind, expected: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let store = StoreFile {
            kind,
            ..store(path, "changeit")
        };
        check_reason(store.key(), expected);
    };
    let pem = std::fs::read(golden("plain.pem")).unwrap();
    let jks = std::fs::read(golden("key.jks")).unwrap();
    let p12 = std::fs::read(golden("key.p12")).unwrap();
    check("pem.jks", &pem, StoreKind::Binary, "it is PEM");
    check("jks.pem", &jks, StoreKind::Pem, "binary");
    check("empty.p12", b"", StoreKind::Binary, "it is empty");
    check("garbage.p12", b"garbage", StoreKind::Binary, "0x67");
    check("empty.pem", b"", StoreKind::Pem, "holds no private key");
    check(
        "jceks",
        &[0xce; 40],
        StoreKind::Binary,
        "keytool -importkeystore",
    );
    let trust = std::fs::read(golden("trust.jks")).unwrap();
    check(
        "trust.jks",
        &trust,
        StoreKind::Binary,
        "holds no private key",
    );
    let missing = store(folder.path().join("missing.p12"), "").key();
    check_reason(missing, "cannot be read: No such file");
    for (whole, kind) in [
        (jks, StoreKind::Binary),
        (p12, StoreKind::Binary),
        (pem, StoreKind::Pem),
    ] {
        // Of PEM the last line may be missing: all that counts is there.
        for length in (0..whole.len() - 30).step_by(7) {
            let path = folder.path().join("cut");
            std::fs::write(&path, &whole[..length]).unwrap();
            let store = StoreFile {
                kind,
                ..store(path, "changeit")
            };
            assert!(store.key().is_err(), "{length} of {}", whole.len());
        }
    }
}

#[test]
fn a_password_may_be_in_a_file_with_one_line_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    for (text, is_right) in [
        ("changeit", true),
        ("changeit\n", true),
        ("changeit\r\n", true),
        ("changeit\n\n", false),
        (" changeit", false),
    ] {
        std::fs::write(&path, text).unwrap();
        let store = StoreFile {
            password: Password::File(path.clone()),
            ..store(golden("key.p12"), "")
        };
        assert_eq!(store.key().is_ok(), is_right, "{text:?}");
        assert_eq!(store.paths().count(), 2);
    }
    std::fs::remove_file(&path).unwrap();
    let store = StoreFile {
        password: Password::File(path),
        ..store(golden("key.p12"), "")
    };
    check_reason(store.key(), "password: cannot be read");
}
