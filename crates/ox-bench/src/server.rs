//! A server process: started, asked, measured, ended.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ox_client::Servers;
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process};

use crate::Error;

/// How long a server may take to serve, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Flags of the JVM: the heap that Apache's own start script gives it, all else as it comes.
const JVM_FLAGS: [&str; 1] = ["-Xmx1000m"];

/// Which server, and how it is started.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    command: Vec<String>,
    /// True if system properties stand before the configuration, after `serve`.
    is_java: bool,
}

impl Kind {
    pub(crate) fn oxkeeper(binary: &Path) -> Result<Self, Error> {
        let binary = binary
            .canonicalize()
            .map_err(Error::io(format!("the server {}", binary.display())))?;
        Ok(Self {
            name: "Oxkeeper",
            command: vec![binary.display().to_string(), "serve".into()],
            is_java: false,
        })
    }

    /// Or why there is none.
    pub(crate) fn apache(jars: &Path) -> Result<Self, String> {
        let has_jars = fs::read_dir(jars).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| {
                    let name = entry.file_name();
                    name.to_string_lossy().starts_with("zookeeper-3.9.5")
                })
            })
        });
        if !has_jars {
            return Err(format!(
                "no jars of Apache ZooKeeper 3.9.5 in {}",
                jars.display()
            ));
        }
        let java = Command::new("java")
            .arg("-version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !java.is_ok_and(|status| status.success()) {
            return Err("no java in PATH".into());
        }
        let mut command = vec!["java".to_owned()];
        command.extend(JVM_FLAGS.map(str::to_owned));
        command.extend(["-cp".into(), format!("{}/*", jars.display())]);
        Ok(Self {
            name: "Apache 3.9.5",
            command,
            is_java: true,
        })
    }

    /// How it is started, for the reader.
    pub(crate) fn describe(&self) -> String {
        self.command.join(" ")
    }
}

/// A folder of a server, which may be started more than once.
#[derive(Debug)]
pub(crate) struct Home {
    kind: Kind,
    folder: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new(kind: &Kind, data: &Path) -> Result<Self, Error> {
        let folder = tempfile::tempdir_in(data).map_err(Error::io("a folder for a server"))?;
        Ok(Self {
            kind: kind.clone(),
            folder,
        })
    }

    /// Where the snapshots and logs lie.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("data/version-2")
    }

    /// Starts a server that is alone; answers it and how long it took from exec to the first
    /// `srvr` with a mode.
    pub(crate) fn start(&self, properties: &[&str]) -> Result<(Server, Duration), Error> {
        let port = free_ports(1)?[0];
        let begun = Instant::now();
        let mut server = self.launch(port, "", properties)?;
        server.wait_until_serving()?;
        Ok((server, begun.elapsed()))
    }

    /// Makes this the home of the ensemble's member `id`.
    pub(crate) fn become_member(&self, id: usize) -> Result<(), Error> {
        let data = self.folder.path().join("data");
        fs::create_dir_all(&data)
            .and_then(|()| fs::write(data.join("myid"), format!("{id}\n")))
            .map_err(Error::io("the id of a server"))
    }

    /// Starts the server, which may take long until it serves. `ensemble` stands at the end of
    /// its zoo.cfg.
    pub(crate) fn launch(
        &self,
        port: u16,
        ensemble: &str,
        properties: &[&str],
    ) -> Result<Server, Error> {
        let home = self.folder.path();
        let config = home.join("zoo.cfg");
        let mut text = String::new();
        for (key, value) in [
            ("tickTime", "2000".to_owned()),
            ("dataDir", home.join("data").display().to_string()),
            ("clientPort", port.to_string()),
            ("clientPortAddress", "127.0.0.1".to_owned()),
            ("maxClientCnxns", "0".to_owned()),
            ("admin.enableServer", "false".to_owned()),
            ("4lw.commands.whitelist", "*".to_owned()),
        ] {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{key}={value}");
        }
        text.push_str(ensemble);
        let quiet = home.join("logback.xml");
        fs::write(&config, text)
            .and_then(|()| fs::write(&quiet, "<configuration/>"))
            .and_then(|()| File::create(home.join("server.log")))
            .map_err(Error::io("the files of a server"))
            .and_then(|log| self.spawn(&config, &quiet, properties, port, log))
    }

    fn spawn(
        &self,
        config: &Path,
        quiet: &Path,
        properties: &[&str],
        port: u16,
        log: File,
    ) -> Result<Server, Error> {
        let (program, words) = self
            .kind
            .command
            .split_first()
            .expect("a kind has a command");
        let mut command = Command::new(program);
        command.args(words);
        command.args(properties.iter().map(|property| format!("-D{property}")));
        if self.kind.is_java {
            command
                .arg(format!("-Dlogback.configurationFile={}", quiet.display()))
                .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
        }
        let errors = log.try_clone().map_err(Error::io("the log of a server"))?;
        let child = command
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(Error::io(format!("starting {program}")))?;
        Ok(Server {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        })
    }
}

/// So many ports of the loopback address that nobody listens on, all different.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>, Error> {
    let listener = |_| TcpListener::bind(("127.0.0.1", 0));
    // All are held until the last is found.
    let listeners: io::Result<Vec<_>> = (0..count).map(listener).collect();
    let port = |listener: &TcpListener| Ok(listener.local_addr()?.port());
    listeners
        .and_then(|listeners| listeners.iter().map(port).collect())
        .map_err(Error::io("a free port"))
}

/// A running server; it ends with this.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    pub(crate) fn servers(&self) -> Servers {
        let Ok(servers) = self.address.to_string().parse();
        servers
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it serves clients: there is nothing to wait on but to ask again. Answers what
    /// `srvr` calls its mode.
    pub(crate) fn wait_until_serving(&mut self) -> Result<String, Error> {
        const PAUSE: Duration = Duration::from_millis(1);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let text = self.srvr().unwrap_or_default();
            if let Some(mode) = text.lines().find_map(|line| line.strip_prefix("Mode: ")) {
                return Ok(mode.to_owned());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::Other(format!("the server did not start: {status}")));
            }
            thread::sleep(PAUSE);
        }
        Err(Error::Other("the server does not serve".into()))
    }

    fn srvr(&self) -> io::Result<String> {
        const ANSWER: Duration = Duration::from_millis(500);
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(b"srvr")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// The last zxid, by `srvr`.
    pub(crate) fn last_zxid(&self) -> Result<i64, Error> {
        let text = self.srvr().map_err(Error::io("asking srvr"))?;
        text.lines()
            .find_map(|line| line.strip_prefix("Zxid: 0x"))
            .and_then(|hex| i64::from_str_radix(hex, 16).ok())
            .ok_or_else(|| Error::Other("srvr tells no zxid".into()))
    }

    /// CPU seconds used so far, in user and system mode, by all its threads.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Error> {
        let stat = self.proc("stat")?;
        let ticks = cpu_ticks(&stat).ok_or_else(|| Error::Other("unreadable stat".into()))?;
        #[expect(clippy::cast_precision_loss, reason = "ticks of hours fit a double")]
        Ok(ticks as f64 / clock_ticks_per_second() as f64)
    }

    /// A line of its status in bytes: `VmRSS`, `RssAnon`.
    pub(crate) fn memory(&self, field: &str) -> Result<u64, Error> {
        self.proc("status")?
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| *key == field)
            .and_then(|(_, value)| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .map(|kib| kib * 1024)
            .ok_or_else(|| Error::Other(format!("no {field}")))
    }

    fn proc(&self, file: &str) -> Result<String, Error> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).map_err(Error::io(path))
    }

    /// Asks it to end, as an operator does, and waits for it.
    pub(crate) fn stop(mut self) -> Result<(), Error> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::Other("no pid".into()))?;
        kill_process(pid, Signal::TERM).map_err(|errno| Error::io("SIGTERM")(errno.into()))?;
        self.child
            .wait()
            .map_err(Error::io("waiting for a server"))?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// utime and stime: the 14th and 15th field, counted behind the name in parentheses, which may
/// hold spaces.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 1 0 5 0 0";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (a"), None);
    }
}
