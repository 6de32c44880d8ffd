//! Keys, certificates and stores, made by keytool and OpenSSL as an operator makes them.
//!
//! Everything an authority has issued lies in its folder, under the name it was issued for, in each
//! form: `.p12` and `.jks` with the password [`PASSWORD`], `.pem` with none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cache;
use crate::suite::Skip;

/// Opens every store.
pub const PASSWORD: &str = "store-secret";

/// How a store is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Form {
    Jks,
    Pkcs12,
    Pem,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Jks, Self::Pkcs12, Self::Pem];

    /// How names of its files end.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Jks => "jks",
            Self::Pkcs12 => "p12",
            Self::Pem => "pem",
        }
    }
}

/// An authority.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// For ten years.
    Now,
    /// Until a week ago.
    Past,
}

impl Authority {
    /// A new one with stores that trust it: `trust.*`.
    pub fn new(folder: &Path) -> Result<Self, Skip> {
        cache::needs_command("keytool")?;
        cache::needs_command("openssl")?;
        fs::create_dir_all(folder).expect("a folder can be made");
        let folder = folder.to_path_buf();
        let authority = Self { folder };
        let name = format!("CN=Authority,OU={}", authority.folder.display());
        authority.keytool(&[
            "-genkeypair",
            "-alias",
            "ca",
            "-keyalg",
            "EC",
            "-groupname",
            "secp256r1",
            "-validity",
            "3650",
            "-dname",
            &name,
            "-ext",
            "bc:c=ca:true",
            "-keystore",
            "ca.p12",
        ]);
        let export = ["-exportcert", "-rfc", "-alias", "ca", "-keystore", "ca.p12"];
        authority.keytool(&[&export[..], &["-file", "trust.pem"]].concat());
        for (form, kind) in [("jks", "JKS"), ("p12", "PKCS12")] {
            let store = format!("trust.{form}");
            authority.keytool(&[
                "-importcert",
                "-alias",
                "ca",
                "-file",
                "trust.pem",
                "-keystore",
                &store,
                "-storetype",
                kind,
            ]);
        }
        Ok(authority)
    }

    /// Issues a key and a certificate for `localhost` and `127.0.0.1`.
    pub fn issue(&self, name: &str, subject: &str, validity: Validity) {
        self.issue_for(name, subject, validity, "san=dns:localhost,ip:127.0.0.1");
    }

    /// The same with another extension.
    pub fn issue_for(&self, name: &str, subject: &str, validity: Validity, extension: &str) {
        let store = format!("{name}.p12");
        for ending in ["p12", "jks", "pem"] {
            let _ = fs::remove_file(self.folder.join(format!("{name}.{ending}")));
        }
        let alias = ["-alias", name, "-keystore", &store];
        self.keytool(
            &[
                &[
                    "-genkeypair",
                    "-keyalg",
                    "RSA",
                    "-keysize",
                    "2048",
                    "-dname",
                    subject,
                ][..],
                &alias,
            ]
            .concat(),
        );
        let request = format!("{name}.csr");
        self.keytool(&[&["-certreq", "-file", &request][..], &alias].concat());
        let (start, days) = match validity {
            Validity::Now => ("-1d", "3650"),
            Validity::Past => ("-14d", "7"),
        };
        let issued = format!("{name}.crt");
        self.keytool(&[
            "-gencert",
            "-alias",
            "ca",
            "-keystore",
            "ca.p12",
            "-infile",
            &request,
            "-outfile",
            &issued,
            "-startdate",
            start,
            "-validity",
            days,
            "-ext",
            extension,
            "-rfc",
        ]);
        self.keytool(&[
            "-importcert",
            "-alias",
            "ca",
            "-file",
            "trust.pem",
            "-keystore",
            &store,
        ]);
        self.keytool(&[&["-importcert", "-file", &issued][..], &alias].concat());
        let jks = format!("{name}.jks");
        self.run(Command::new("keytool").args([
            "-importkeystore",
            "-noprompt",
            "-srckeystore",
            &store,
            "-destkeystore",
            &jks,
            "-deststoretype",
            "JKS",
            "-srcstorepass",
            PASSWORD,
            "-deststorepass",
            PASSWORD,
            "-srcalias",
            name,
        ]));
        let pass = format!("pass:{PASSWORD}");
        let pem = self.run(
            Command::new("openssl").args(["pkcs12", "-in", &store, "-passin", &pass, "-nodes"]),
        );
        fs::write(self.store(name, Form::Pem), pem.stdout).expect("a file can be written");
    }

    /// A file of this authority.
    pub fn store(&self, name: &str, form: Form) -> PathBuf {
        self.folder.join(format!("{name}.{}", form.ending()))
    }

    /// Lines of zoo.cfg that name stores: the key of `name`, and trust in this authority.
    pub fn lines(&self, prefix: &str, name: &str, form: Form) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        for (store, name) in [("keyStore", name), ("trustStore", "trust")] {
            let path = self.store(name, form).display().to_string();
            lines.push((format!("{prefix}.{store}.location"), path));
            if form != Form::Pem {
                lines.push((format!("{prefix}.{store}.password"), PASSWORD.to_owned()));
            }
        }
        lines
    }

    fn keytool(&self, arguments: &[&str]) {
        let mut command = Command::new("keytool");
        command.args(arguments);
        self.run(command.args(["-noprompt", "-storepass", PASSWORD]));
    }

    fn run(&self, command: &mut Command) -> Output {
        let output = command.current_dir(&self.folder).output();
        let output = output.expect("it was found before");
        assert!(
            output.status.success(),
            "{command:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }
}

/// An authority and what it issues as OpenSSL makes them when nobody asks for more: the
/// certificates are of version 1, and have no extensions. Only PEM.
pub fn plain_openssl(folder: &Path) -> Result<Authority, Skip> {
    cache::needs_command("openssl")?;
    fs::create_dir_all(folder).expect("a folder can be made");
    let authority = Authority {
        folder: folder.to_path_buf(),
    };
    let openssl = |words: &str| {
        authority.run(Command::new("openssl").args(words.split(' ')));
    };
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=plain -keyout ca.key -out trust.pem",
    );
    for name in ["server", "client"] {
        openssl(&format!(
            "req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA trust.pem -CAkey ca.key -CAcreateserial -days 3650 -out {name}.crt"
        ));
        let parts = ["key", "crt"].map(|ending| {
            let part = folder.join(format!("{name}.{ending}"));
            fs::read_to_string(part).expect("it was just written")
        });
        fs::write(authority.store(name, Form::Pem), parts.concat()).expect("a file can be written");
    }
    Ok(authority)
}
