//! What an ensemble is made of, and its files.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use super::{Ensemble, Member};
use crate::ports::Ports;
use crate::server::{Kind, Setup};

/// What an ensemble is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    voters: Vec<Kind>,
    observers: Vec<Kind>,
    client_ports: ClientPorts,
    lines: Vec<(String, String)>,
    properties: Vec<(String, String)>,
    places: Vec<Place>,
    initial: Option<usize>,
}

/// A network namespace of a member's own.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its address there, as clients and the other members see it.
    pub host: Ipv4Addr,
    /// Words in front of a command that is to run there.
    pub enter: Vec<String>,
}

/// Where a configuration says on which port clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPorts {
    /// `server.1=host:quorum:election:role;host:port`, so that every member knows it.
    InServerLines,
    /// `clientPort=port`, as before 3.5.
    InOwnLines,
}

impl Plan {
    /// These voters, client ports in the server lines, and settings that let tests be quick on a
    /// slow machine: short ticks, many of them before anybody is given up.
    pub fn voters(kinds: &[Kind]) -> Self {
        let plan = Self {
            voters: kinds.to_vec(),
            observers: Vec::new(),
            client_ports: ClientPorts::InServerLines,
            lines: Vec::new(),
            properties: Vec::new(),
            places: Vec::new(),
            initial: None,
        };
        plan.line("tickTime", "500")
            .line("initLimit", "40")
            .line("syncLimit", "20")
            .line("maxSessionTimeout", "120000")
    }

    /// Observers beside the voters.
    #[must_use]
    pub fn observers(mut self, kinds: &[Kind]) -> Self {
        self.observers = kinds.to_vec();
        self
    }

    /// Where the configuration says what the client ports are.
    #[must_use]
    pub fn client_ports(mut self, client_ports: ClientPorts) -> Self {
        self.client_ports = client_ports;
        self
    }

    /// Sets a key of every zoo.cfg.
    #[must_use]
    pub fn line(mut self, key: &str, value: &str) -> Self {
        self.lines.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Sets a Java system property of every member.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Members run in namespaces of their own instead of all on loopback; one for each.
    #[must_use]
    pub fn places(mut self, places: Vec<Place>) -> Self {
        self.places = places;
        self
    }

    /// Only the first voters belong to the ensemble in the beginning. The files of the others name those
    /// and the server itself, as of one that is to join.
    #[must_use]
    pub fn initial(mut self, voters: usize) -> Self {
        self.initial = Some(voters);
        self
    }

    /// Writes the files of an ensemble of which no member runs yet.
    pub fn lay_out(&self, home: &Path) -> Ensemble {
        let kinds: Vec<Kind> = self.voters.iter().chain(&self.observers).copied().collect();
        let ports = |index: usize| match self.places.get(index) {
            Some(place) => Ports::standard(place.host),
            None => Ports::claim(),
        };
        let ports: Vec<Ports> = (0..kinds.len()).map(ports).collect();
        let server_lines: Vec<(String, String)> = ports
            .iter()
            .enumerate()
            .map(|(index, ports)| self.server_line(index, ports))
            .collect();
        let members = kinds
            .iter()
            .zip(ports)
            .enumerate()
            .map(|(index, (kind, ports))| {
                let folder = home.join(format!("server-{}", index + 1));
                let mut setup = Setup::new(*kind, &folder);
                let initial = self.initial.unwrap_or(usize::MAX);
                let own = server_lines.iter().enumerate();
                let own = own.filter(|(line, _)| *line < initial || *line == index);
                let own = own.map(|(_, line)| line);
                for (key, value) in own.chain(&self.lines) {
                    setup = setup.line(key, value);
                }
                for (name, value) in &self.properties {
                    setup = setup.property(name, value);
                }
                if self.voters.len() <= index {
                    setup = setup.line("peerType", "observer");
                }
                if let Some(place) = self.places.get(index) {
                    let words: Vec<&str> = place.enter.iter().map(String::as_str).collect();
                    setup = setup.host(place.host).wrapper(&words);
                }
                let client = ports.client;
                setup = match self.client_ports {
                    ClientPorts::InServerLines => setup.port_in_server_line(client),
                    ClientPorts::InOwnLines => setup
                        .line("clientPort", &client.to_string())
                        .line("clientPortAddress", &ports.host.to_string()),
                };
                let data = folder.join("data");
                fs::create_dir_all(&data).expect("a folder can be made");
                fs::write(data.join("myid"), format!("{}\n", index + 1))
                    .expect("myid can be written");
                let (_, line) = &server_lines[index];
                Member {
                    kind: *kind,
                    line: line.clone(),
                    setup,
                    ports,
                    server: None,
                    paused: false,
                    runs: 0,
                }
            });
        Ensemble {
            members: members.collect(),
        }
    }

    fn server_line(&self, index: usize, ports: &Ports) -> (String, String) {
        let role = if index < self.voters.len() {
            "participant"
        } else {
            "observer"
        };
        let Ports {
            host,
            quorum,
            election,
            ..
        } = ports;
        let mut value = format!("{host}:{quorum}:{election}:{role}");
        if self.client_ports == ClientPorts::InServerLines {
            write!(value, ";{}", ports.address()).expect("a String takes all");
        }
        (format!("server.{}", index + 1), value)
    }
}
