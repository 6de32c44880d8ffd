//! Starts, watches and ends one real server process: Oxkeeper, or a version of Apache ZooKeeper.
//!
//! Invariant: a process started here ends with the value that stands for it.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cache;
use crate::suite::Skip;

/// How long a server may take from its start to its first `srvr` with a mode.
const START: Duration = Duration::from_secs(60);
/// The promise of a clean stop (SIGTERM).
const STOP: Duration = Duration::from_secs(10);
/// A starting Apache server may accept a connection and then forget it: ask again soon.
pub(crate) const PROBE: Duration = Duration::from_millis(500);
/// Pause between two looks at another process; there is nothing to wait on.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// Which implementation a test drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The binary under test: `OXKEEPER_BIN`, or `target/release/oxkeeper`.
    Oxkeeper,
    /// Apache ZooKeeper from the cache folder.
    Apache(ApacheVersion),
}

/// The versions of Apache ZooKeeper that the tests drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApacheVersion {
    /// The first of its line: it writes epochs before data, and acks proposals early.
    V3_8_0,
    /// The newest of its line that can be had.
    V3_8_6,
    /// The reference.
    V3_9_5,
}

impl ApacheVersion {
    /// All of them, the reference first.
    pub const ALL: [Self; 3] = [Self::V3_9_5, Self::V3_8_0, Self::V3_8_6];
}

impl Kind {
    /// The server whose behaviour is the standard.
    pub const REFERENCE: Self = Self::Apache(ApacheVersion::V3_9_5);

    /// Oxkeeper, unless `OX_SERVER=apache` asks to try the tests themselves on the real server.
    pub fn under_test() -> Self {
        match std::env::var("OX_SERVER").as_deref() {
            Ok("apache") => Self::REFERENCE,
            _ => Self::Oxkeeper,
        }
    }

    /// For the head line of a suite.
    pub fn describe(self) -> String {
        match self {
            Self::Oxkeeper => format!("oxkeeper ({})", oxkeeper_binary().display()),
            Self::Apache(_) => format!("Apache ZooKeeper {self}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Oxkeeper => "oxkeeper",
            Self::Apache(ApacheVersion::V3_8_0) => "3.8.0",
            Self::Apache(ApacheVersion::V3_8_6) => "3.8.6",
            Self::Apache(ApacheVersion::V3_9_5) => "3.9.5",
        })
    }
}

/// The binary under test.
pub fn oxkeeper_binary() -> PathBuf {
    std::env::var_os("OXKEEPER_BIN").map_or_else(
        || cache::repository().join("target/release/oxkeeper"),
        PathBuf::from,
    )
}

/// Everything a start needs; the same value can start a server again and again on its data.
#[derive(Clone, Debug)]
pub struct Setup {
    kind: Kind,
    home: PathBuf,
    host: Ipv4Addr,
    port: Option<u16>,
    lines: Vec<(String, String)>,
    properties: Vec<(String, String)>,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
}

/// What a server said when it did not start.
#[derive(Debug)]
pub struct Refused {
    /// Its exit code, if it was not ended by a signal.
    pub code: Option<i32>,
    /// All it wrote to standard output and error.
    pub log: String,
}

impl Setup {
    /// A server with its files below `home`: `zoo.cfg`, `server.log` and, unless a later `line`
    /// says otherwise, `home/data` as dataDir. All four-letter words are allowed.
    pub fn new(kind: Kind, home: &Path) -> Self {
        fs::create_dir_all(home).expect("the server's folder can be made");
        let setup = Self {
            kind,
            home: home.to_path_buf(),
            host: Ipv4Addr::LOCALHOST,
            port: None,
            lines: Vec::new(),
            properties: Vec::new(),
            options: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        };
        let setup = setup
            .line("tickTime", "2000")
            .line("maxClientCnxns", "0")
            .line("4lw.commands.whitelist", "*")
            .line("admin.enableServer", "false");
        let data = home.join("data");
        setup.line("dataDir", &data.display().to_string())
    }

    /// The same files with another implementation.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The same server with its own files in another folder; dataDir stays.
    #[must_use]
    pub fn at(&self, home: &Path) -> Self {
        fs::create_dir_all(home).expect("the server's folder can be made");
        Self {
            home: home.to_path_buf(),
            ..self.clone()
        }
    }

    /// Sets a key of zoo.cfg.
    #[must_use]
    pub fn line(mut self, key: &str, value: &str) -> Self {
        self.lines.retain(|(known, _)| known != key);
        self.lines.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Clients connect to this port; its `server.N` line says so, and no line `clientPort`.
    #[must_use]
    pub fn port_in_server_line(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Clients find it at this address, which is not of this machine's own loopback.
    #[must_use]
    pub fn host(mut self, host: Ipv4Addr) -> Self {
        self.host = host;
        self
    }

    /// Sets a Java system property.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.retain(|(known, _)| known != name);
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Options of `oxkeeper serve`, in place of those before; Apache's server has none.
    #[must_use]
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
        self
    }

    /// Sets an environment variable of the server.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts words in front of the server's command (`prlimit`, ...), which must exec it.
    #[must_use]
    pub fn wrapper(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The folder of this server's files.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The value of a key as set so far.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.lines
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    /// Where snapshots lie.
    pub fn snapshots(&self) -> PathBuf {
        PathBuf::from(self.value("dataDir").expect("new() sets it")).join("version-2")
    }

    /// Starts the server and waits until it serves; panics with its log if it does not.
    #[track_caller]
    pub fn start(&self) -> Result<Server, Skip> {
        Ok(self.try_start()?.unwrap_or_else(|refused| {
            panic!(
                "the server did not start (exit code {:?}):\n{}",
                refused.code, refused.log
            )
        }))
    }

    /// Starts the server and waits until it serves or has ended.
    #[track_caller]
    pub fn try_start(&self) -> Result<Result<Server, Refused>, Skip> {
        let mut server = self.spawn()?;
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = server.child.try_wait().expect("our own child") {
                return Ok(Err(Refused {
                    code: status.code(),
                    log: server.log(),
                }));
            }
            if server
                .ask("srvr", PROBE)
                .is_ok_and(|text| text.contains("Mode:"))
            {
                return Ok(Ok(server));
            }
            assert!(
                Instant::now() < deadline,
                "not serving after {START:?}:\n{}",
                server.log()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Starts the server without waiting for it.
    #[track_caller]
    pub fn spawn(&self) -> Result<Server, Skip> {
        let mut text = String::new();
        for (key, value) in &self.lines {
            writeln!(text, "{key}={value}").expect("a String takes all");
        }
        let in_lines = self
            .value("clientPort")
            .map(|text| text.parse().expect("a port"));
        let port = in_lines.or(self.port).unwrap_or_else(|| {
            let port = free_port();
            writeln!(text, "clientPort={port}\nclientPortAddress=127.0.0.1").expect("as above");
            port
        });
        let config = self.home.join("zoo.cfg");
        // What a reconfiguration has changed stays.
        let old = fs::read_to_string(&config).unwrap_or_default();
        if !old.contains("dynamicConfigFile=") {
            fs::write(&config, text).expect("zoo.cfg can be written");
        }
        let log_path = self.home.join("server.log");
        let log = File::create(&log_path).expect("server.log can be made");
        let mut words = self.wrapper.clone();
        words.extend(self.command()?);
        words.push(config.display().to_string());
        let child = Command::new(&words[0])
            .args(&words[1..])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be copied"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", words[0]));
        Ok(Server {
            kind: self.kind,
            child,
            address: SocketAddr::from((self.host, port)),
            log_path,
        })
    }

    /// The server's command line, up to the name of its zoo.cfg.
    fn command(&self) -> Result<Vec<String>, Skip> {
        let properties = self
            .properties
            .iter()
            .map(|(name, value)| format!("-D{name}={value}"));
        match self.kind {
            Kind::Oxkeeper => {
                let binary = oxkeeper_binary();
                assert!(
                    binary.exists(),
                    "no {}: cargo build --release -p ox-cli, or set OXKEEPER_BIN",
                    binary.display()
                );
                let mut words = vec![binary.display().to_string(), "serve".into()];
                words.extend(properties);
                words.extend(self.options.clone());
                Ok(words)
            }
            Kind::Apache(version) => {
                let logback = Path::new(env!("CARGO_MANIFEST_DIR")).join("java/logback.xml");
                let mut words: Vec<String> = [
                    "java",
                    "-Xmx512m",
                    "-XX:+UseSerialGC",
                    "-XX:TieredStopAtLevel=1",
                ]
                .map(str::to_owned)
                .into();
                words.push(format!("-Dlogback.configurationFile={}", logback.display()));
                words.push("-Dzookeeper.admin.enableServer=false".into());
                words.push("-Dfile.encoding=UTF-8".into());
                words.extend(properties);
                words.extend(["-cp".into(), cache::server_jars(version)?]);
                words.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".into());
                Ok(words)
            }
        }
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    child: Child,
    address: SocketAddr,
    log_path: PathBuf,
}

impl Server {
    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `127.0.0.1:port`, as clients want it.
    pub fn connect_string(&self) -> String {
        self.address.to_string()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has logged so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log_path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The answer to a four-letter word.
    pub fn four_letter_word(&self, word: &str) -> std::io::Result<String> {
        self.ask(word, Duration::from_secs(10))
    }

    /// As `four_letter_word`, giving up after `patience` for each of connecting and reading.
    pub fn ask(&self, word: &str, patience: Duration) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(word.as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last zxid as `srvr` shows it.
    pub fn last_zxid(&self) -> i64 {
        let text = self.four_letter_word("srvr").expect("srvr is answered");
        let hex = text
            .lines()
            .find_map(|line| line.strip_prefix("Zxid: 0x"))
            .unwrap_or_else(|| panic!("no Zxid in srvr:\n{text}"));
        i64::from_str_radix(hex.trim(), 16).expect("a hexadecimal zxid")
    }

    /// Resident memory of the process that is not a file's, in bytes.
    pub fn anonymous_memory(&self) -> u64 {
        self.memory_probe().anonymous_memory()
    }

    /// Something that can measure the memory from another thread.
    pub fn memory_probe(&self) -> MemoryProbe {
        MemoryProbe(PathBuf::from(format!("/proc/{}/status", self.child.id())))
    }

    /// Whether the process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGTERM, and then a clean end: in time, and with exit code 0 (a JVM has 143).
    #[track_caller]
    pub fn terminate(self) {
        self.signal(Signal::TERM);
        let clean = match self.kind {
            Kind::Oxkeeper => 0,
            Kind::Apache(_) => 143,
        };
        let (status, log) = self.wait(STOP);
        let Some(status) = status else {
            panic!("still there {STOP:?} after SIGTERM:\n{log}");
        };
        assert_eq!(
            status.code(),
            Some(clean),
            "exit code after SIGTERM:\n{log}"
        );
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a pid");
        kill_process(pid, signal).expect("our own child");
    }

    /// Whether SIGSTOP has reached every thread: until then some go on working.
    pub fn is_stopped(&self) -> bool {
        let folder = format!("/proc/{}/task", self.child.id());
        let threads = fs::read_dir(folder).expect("our own child");
        threads.flatten().all(|thread| {
            // A thread that has ended meanwhile does nothing either.
            let text = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state follows the name, which may hold anything but ends at the last bracket.
            let state = text
                .rsplit_once(") ")
                .map(|(_, rest)| rest.starts_with('T'));
            state.unwrap_or(true)
        })
    }

    /// Waits for the process to end by itself: its status, if it did, and its log.
    pub fn wait(mut self, patience: Duration) -> (Option<ExitStatus>, String) {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.child.try_wait().expect("our own child");
            if status.is_some() || Instant::now() >= deadline {
                return (status, self.log());
            }
            std::thread::sleep(LOOK);
        }
    }

    fn end(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Measures a server's memory.
#[derive(Clone, Debug)]
pub struct MemoryProbe(PathBuf);

impl MemoryProbe {
    /// Resident memory that is not a file's, in bytes.
    #[track_caller]
    pub fn anonymous_memory(&self) -> u64 {
        let text = fs::read_to_string(&self.0).expect("the server runs");
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let line = line.unwrap_or_else(|| panic!("the server has ended:\n{text}"));
        let kib: u64 = line
            .trim()
            .trim_end_matches("kB")
            .trim()
            .parse()
            .expect("a number");
        kib * 1024
    }
}
