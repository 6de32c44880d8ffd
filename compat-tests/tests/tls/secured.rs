//! A server with TLS for clients, and the smallest client there is.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use compat_tests::pki::{Authority, Form, Validity};
use compat_tests::ports::Port;
use compat_tests::programs::compile_java;
use compat_tests::server::{Kind, Server, Setup};
use compat_tests::suite::Skip;

/// What the client's certificate says. The server must tell it as [`NAME`].
const SUBJECT: &str = "CN=Client\\, of many,OU=a=b,O=Example,C=DE";

/// The client's subject as Java writes it.
pub(crate) const NAME: &str = "CN=Client\\, of many,OU=a\\=b,O=Example,C=DE";

/// What all tests use and none changes: keytool takes its time.
pub(crate) struct World {
    /// Has issued `server`, `client`, `member`, `expired`, `serving` and `elsewhere`.
    pub(crate) authority: Authority,
    /// Has issued `client` and `member` too, and nobody trusts it.
    pub(crate) stranger: Authority,
    classes: Result<String, Skip>,
}

/// The world, made when it is first asked for.
pub(crate) fn world() -> Result<&'static World, Skip> {
    static WORLD: OnceLock<Result<World, Skip>> = OnceLock::new();
    WORLD.get_or_init(World::new).as_ref().map_err(Clone::clone)
}

impl World {
    fn new() -> Result<Self, Skip> {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls");
        // Of an earlier run, if there was one.
        let _ = std::fs::remove_dir_all(&home);
        let authority = Authority::new(&home.join("authority"))?;
        for (name, subject) in [
            ("server", "CN=Server"),
            ("client", SUBJECT),
            ("member", "CN=Member"),
        ] {
            authority.issue(name, subject, Validity::Now);
        }
        authority.issue("expired", "CN=Late", Validity::Past);
        authority.issue_for("serving", "CN=Other", Validity::Now, "eku=serverAuth");
        let elsewhere = "san=dns:elsewhere.example.org";
        authority.issue_for("elsewhere", "CN=Elsewhere", Validity::Now, elsewhere);
        let stranger = Authority::new(&home.join("stranger"))?;
        stranger.issue("client", "CN=Client", Validity::Now);
        stranger.issue("member", "CN=Member", Validity::Now);
        Ok(Self {
            authority,
            stranger,
            classes: compile_java(&home),
        })
    }

    /// The class path of the Java client and our programs for it.
    pub(crate) fn classes(&self) -> Result<&str, Skip> {
        self.classes.as_deref().map_err(Clone::clone)
    }
}

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
