//! Starts the two services of a pair: a server alone, or three, of each kind.

use std::fmt;
use std::path::Path;

use compat_tests::ensemble::{Ensemble, Plan};
use compat_tests::server::{Kind, Server, Setup};
use compat_tests::suite::Skip;

use crate::draw::MAX_BUFFER;
use crate::pair::Pair;
use crate::target::Target;

/// How many servers a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One.
    Standalone,
    /// Three, whose leader is server 0 of scripts.
    Ensemble,
}

impl Mode {
    /// The number of its servers.
    pub fn servers(self) -> usize {
        match self {
            Self::Standalone => 1,
            Self::Ensemble => 3,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Standalone => "standalone",
            Self::Ensemble => "ensemble",
        })
    }
}

/// When the servers look for znodes to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaper {
    /// Never: scripts may hold anything.
    Never,
    /// All the time: scripts wait for it.
    Soon,
}

impl Reaper {
    fn interval_ms(self) -> &'static str {
        match self {
            Self::Never => "86400000",
            Self::Soon => "50",
        }
    }
}

/// Two services that run, and scripts run on.
#[derive(Debug)]
pub struct Services {
    /// What scripts run on.
    pub pair: Pair,
    running: [Running; 2],
    _home: tempfile::TempDir,
}

#[derive(Debug)]
enum Running {
    Alone(Server),
    Three(Ensemble),
}

/// Settings of all servers, as properties of a Java system: what every server must have to be asked
/// everything, and limits that are reached soon.
fn properties(reaper: Reaper) -> [(&'static str, String); 7] {
    [
        ("jute.maxbuffer", MAX_BUFFER.to_string()),
        ("zookeeper.extendedTypesEnabled", "true".to_owned()),
        ("zookeeper.enforceQuota", "true".to_owned()),
        (
            "zookeeper.DigestAuthenticationProvider.superDigest",
            "super:lK75jTNcA+U9vtVEw5vB51mj/w4=".to_owned(),
        ),
        (
            "znode.container.checkIntervalMs",
            reaper.interval_ms().to_owned(),
        ),
        // Nothing here is to survive.
        ("zookeeper.forceSync", "no".to_owned()),
        ("zookeeper.preAllocSize", "4096".to_owned()),
    ]
}

/// Settings of all servers, as lines of zoo.cfg.
const LINES: [(&str, &str); 5] = [
    ("tickTime", "100"),
    ("initLimit", "200"),
    ("syncLimit", "100"),
    ("minSessionTimeout", "200"),
    ("maxSessionTimeout", "600000"),
];

impl Services {
    /// Starts both and waits until they serve.
    pub fn start(mode: Mode, reaper: Reaper) -> Result<Self, Skip> {
        let home = tempfile::tempdir().expect("a temporary folder");
        let start = |kind: Kind, name: &str| start(kind, &home.path().join(name), mode, reaper);
        let running = [
            start(Kind::REFERENCE, "reference")?,
            start(Kind::under_test(), "tried")?,
        ];
        let target = |is_reference, running: &Running| {
            Target::open(is_reference, &running.servers())
                .expect("a server that serves takes a session")
        };
        let pair = Pair {
            reference: target(true, &running[0]),
            tried: target(false, &running[1]),
        };
        Ok(Self {
            pair,
            running,
            _home: home,
        })
    }

    /// Panics unless the servers of each service have the same tree and digest.
    pub fn check_members(&self) {
        for running in &self.running {
            if let Running::Three(ensemble) = running {
                ensemble.check_same_state();
            }
        }
    }

    /// The ends of all logs, for who has to find out why a service does not answer.
    pub fn logs(&self) -> String {
        let logs = self.running.iter().flat_map(Running::logs);
        let ends = logs.map(|(name, log)| {
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines.len().saturating_sub(SHOWN);
            format!("{name}:\n{}\n", lines[shown..].join("\n"))
        });
        ends.collect()
    }
}

/// Lines of each log that are shown.
const SHOWN: usize = 20;

fn start(kind: Kind, home: &Path, mode: Mode, reaper: Reaper) -> Result<Running, Skip> {
    Ok(match mode {
        Mode::Standalone => {
            let mut setup = Setup::new(kind, home);
            for (key, value) in LINES {
                setup = setup.line(key, value);
            }
            for (name, value) in properties(reaper) {
                setup = setup.property(name, &value);
            }
            Running::Alone(quiet(kind, setup).start()?)
        }
        Mode::Ensemble => {
            let mut plan = Plan::voters(&[kind; 3]);
            for (key, value) in LINES {
                plan = plan.line(key, value);
            }
            for (name, value) in properties(reaper) {
                plan = plan.property(name, &value);
            }
            if kind != Kind::Oxkeeper {
                plan = plan.property("compat.log", "WARN");
            }
            let mut ensemble = plan.lay_out(home);
            ensemble.start_all()?;
            Running::Three(ensemble)
        }
    })
}

/// Apache's server writes some lines for each connection.
fn quiet(kind: Kind, setup: Setup) -> Setup {
    match kind {
        Kind::Oxkeeper => setup,
        Kind::Apache(_) => setup.property("compat.log", "WARN"),
    }
}

impl Running {
    /// Server ids and addresses, the leader first.
    fn servers(&self) -> Vec<(u8, std::net::SocketAddr)> {
        match self {
            Self::Alone(server) => vec![(1, server.address())],
            Self::Three(ensemble) => {
                let leader = ensemble.leader();
                let mut sids = ensemble.sids();
                sids.sort_by_key(|sid| (*sid != leader, *sid));
                let small = |sid| u8::try_from(sid).expect("one of three");
                sids.into_iter()
                    .map(|sid| (small(sid), ensemble.address(sid)))
                    .collect()
            }
        }
    }

    fn logs(&self) -> Vec<(String, String)> {
        match self {
            Self::Alone(server) => vec![(server.connect_string(), server.log())],
            Self::Three(ensemble) => {
                let sids = ensemble.sids().into_iter();
                sids.map(|sid| (format!("server {sid}"), ensemble.log(sid)))
                    .collect()
            }
        }
    }
}
