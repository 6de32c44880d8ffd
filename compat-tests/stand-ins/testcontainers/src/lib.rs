//! Stands for the crate of this name in the tests of others: what they know as a container of the
//! image `zookeeper` is a process here, started as `java ... QuorumPeerMain zoo.cfg` with the `java`
//! in PATH, which may be a stand-in, too, and the class path of `ZOOKEEPER_CLASSPATH`.
//!
//! Only what those tests use is here.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Where the image has the port for clients.
const PORT: u16 = 2181;

/// The file that the image makes if it is given none.
const OWN_FILE: &str = "dataDir=/data\ntickTime=2000\ninitLimit=5\nsyncLimit=2\nclientPort=2181\n";

pub mod clients {
    use super::{core::RunnableImage, images::generic::GenericImage, Container};

    /// What starts containers.
    #[derive(Default)]
    pub struct Cli;

    impl Cli {
        pub fn run(&self, image: RunnableImage<GenericImage>) -> Container<'_, GenericImage> {
            Container::run(image.image, image.volumes, image.network.is_some())
        }
    }
}

pub mod core {
    use std::time::Duration;

    pub use super::{Container, LogStream};
    use super::images::generic::GenericImage;

    /// When a container is ready: here, when `srvr` is answered.
    pub enum WaitFor {
        Healthcheck,
    }

    /// How that is found out is not left to the test.
    #[derive(Default)]
    pub struct Healthcheck;

    impl Healthcheck {
        pub fn with_cmd<T>(self, _command: impl Iterator<Item = T>) -> Self {
            self
        }

        pub fn with_interval(self, _interval: Duration) -> Self {
            self
        }

        pub fn with_retries(self, _retries: u32) -> Self {
            self
        }
    }

    /// An image, and what the host lends it.
    pub struct RunnableImage<I> {
        pub(crate) image: I,
        pub(crate) volumes: Vec<(String, String)>,
        pub(crate) network: Option<String>,
    }

    impl<I> RunnableImage<I> {
        /// A path of the host, and what the container calls it.
        pub fn with_volume(mut self, (host, inside): (&str, &str)) -> Self {
            self.volumes.push((host.to_owned(), inside.to_owned()));
            self
        }

        /// The only one there is, is the host's.
        pub fn with_network(mut self, network: &str) -> Self {
            assert_eq!(network, "host");
            self.network = Some(network.to_owned());
            self
        }
    }

    impl From<GenericImage> for RunnableImage<GenericImage> {
        fn from(image: GenericImage) -> Self {
            Self { image, volumes: Vec::new(), network: None }
        }
    }
}

pub mod images {
    pub mod generic {
        use crate::core::{Healthcheck, WaitFor};

        /// An image with its environment; of its tag nothing is known here.
        pub struct GenericImage {
            pub(crate) properties: Vec<String>,
        }

        impl GenericImage {
            pub fn new(name: &str, _tag: &str) -> Self {
                assert_eq!(name, "zookeeper");
                Self { properties: Vec::new() }
            }

            pub fn with_env_var(mut self, name: &str, value: String) -> Self {
                if name == "SERVER_JVMFLAGS" {
                    self.properties.extend(value.split_whitespace().map(str::to_owned));
                }
                self
            }

            pub fn with_healthcheck(self, _healthcheck: Healthcheck) -> Self {
                self
            }

            pub fn with_wait_for(self, _event: WaitFor) -> Self {
                self
            }
        }
    }
}

/// A server.
pub struct Container<'a, I> {
    home: TempDir,
    properties: Vec<String>,
    port: u16,
    child: Mutex<Option<Child>>,
    marker: PhantomData<(&'a (), I)>,
}

impl<I> Container<'_, I> {
    fn run(image: images::generic::GenericImage, volumes: Vec<(String, String)>, host: bool) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let lent = |inside: &str| volumes.iter().find(|volume| volume.1 == inside).map(|volume| &volume.0);
        let file = lent("/conf/zoo.cfg").map(|path| fs::read_to_string(path).expect("a zoo.cfg"));
        let mut file = file.unwrap_or_else(|| OWN_FILE.to_owned());
        if lent("/data").is_none() {
            file = file.replace("/data\n", &format!("{}\n", home.path().join("data").display()));
        }
        for (host, inside) in &volumes {
            file = file.replace(inside, host);
        }
        let port = if host { own_port(&file, lent("/data")) } else { free_port() };
        file = file.replace(&format!("lientPort={PORT}"), &format!("lientPort={port}"));
        file += "\nadmin.enableServer=false\n";
        fs::write(home.path().join("zoo.cfg"), file).expect("a file of ours");
        let properties = image.properties;
        let container = Self { home, properties, port, child: Mutex::default(), marker: PhantomData };
        container.start();
        container.wait_until_ready();
        container
    }

    pub fn start(&self) {
        let log = File::options().append(true).create(true).open(self.log()).expect("a file of ours");
        let child = Command::new("java")
            .args(&self.properties)
            .arg("-cp")
            .arg(std::env::var_os("ZOOKEEPER_CLASSPATH").unwrap_or_default())
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(self.home.path().join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("java can be run");
        *self.child.lock().unwrap() = Some(child);
    }

    pub fn stop(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            Command::new("kill").arg(child.id().to_string()).status().expect("kill can be run");
            child.wait().expect("our own child");
        }
    }

    /// Where the host finds a port of the container.
    pub fn get_host_port(&self, port: u16) -> u16 {
        assert_eq!(port, PORT);
        self.port
    }

    pub fn stdout(&self) -> LogStream {
        LogStream(self.log())
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !answers(self.port) {
            let mut child = self.child.lock().unwrap();
            let ended = child.as_mut().and_then(|child| child.try_wait().expect("our own child"));
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "not ready ({ended:?}):\n{}",
                fs::read_to_string(self.log()).unwrap_or_default()
            );
            drop(child);
            sleep(LOOK);
        }
    }
}

impl<I> Drop for Container<'_, I> {
    fn drop(&mut self) {
        if let Some(child) = self.child.lock().unwrap().as_mut() {
            // An error means that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a server has printed.
pub struct LogStream(PathBuf);

impl LogStream {
    pub fn wait_for_message(&self, message: &str) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if fs::read_to_string(&self.0).unwrap_or_default().contains(message) {
                return Ok(());
            }
            sleep(LOOK);
        }
        Err(format!("never printed: {message}"))
    }
}

fn answers(port: u16) -> bool {
    let mut text = String::new();
    let asked = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"srvr")?;
        stream.read_to_string(&mut text)
    });
    asked.is_ok() && text.contains("Mode:")
}

/// The port for clients in the line of the server whose id lies in the data folder.
fn own_port(file: &str, data: Option<&String>) -> u16 {
    let data = data.expect("on the host's network servers have a folder for data");
    let id = fs::read_to_string(Path::new(data).join("myid")).expect("a myid");
    let begin = format!("server.{}=", id.trim());
    let line = file.lines().find(|line| line.starts_with(&begin)).expect("a line for it");
    line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
    listener.local_addr().expect("a bound socket").port()
}
