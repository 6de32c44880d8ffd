//! A server with TLS for clients, and the smallest client there is.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use compat_tests::pki::{Authority, Form};
use compat_tests::ports::Port;
use compat_tests::server::{Kind, Server, Setup};
use compat_tests::suite::Skip;

/// A server, and its port for TLS.
pub(crate) struct Secured {
    pub(crate) server: Server,
    pub(crate) port: u16,
    _claim: Port,
}

/// A server with the key of `server`, and no port yet where it is needed.
pub(crate) fn with_key(home: &Path, authority: &Authority, form: Form) -> Setup {
    let mut setup = Setup::new(Kind::under_test(), home).property(
        "zookeeper.serverCnxnFactory",
        "org.apache.zookeeper.server.NettyServerCnxnFactory",
    );
    for (key, value) in authority.lines("ssl", "server", form) {
        setup = setup.line(&key, &value);
    }
    setup
}

/// The same with a secure port.
pub(crate) fn setup(home: &Path, authority: &Authority, form: Form) -> (Setup, Port) {
    let claim = Port::claim();
    let setup = with_key(home, authority, form)
        .line("secureClientPort", &claim.number().to_string())
        .line("secureClientPortAddress", "127.0.0.1");
    (setup, claim)
}

/// Starts it.
#[track_caller]
pub(crate) fn start((setup, claim): (Setup, Port)) -> Result<Secured, Skip> {
    Ok(Secured {
        server: setup.start()?,
        port: claim.number(),
        _claim: claim,
    })
}

impl Secured {
    /// Where clients connect with TLS.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// `srvr` sent by OpenSSL's client; more of its options.
pub(crate) fn srvr(address: &str, trust: &Path, options: &[&str]) -> Output {
    let mut child = Command::new("timeout")
        .args([
            "20",
            "openssl",
            "s_client",
            "-quiet",
            "-verify_return_error",
        ])
        .args(["-connect", address, "-CAfile"])
        .arg(trust)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl can be run");
    // It may have ended already.
    let _ = std::io::Write::write_all(&mut child.stdin.take().expect("it is piped"), b"srvr");
    child.wait_with_output().expect("our own child")
}

/// Whether the server has answered.
pub(crate) fn is_answer(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stdout).contains("Mode: ")
}
