//! Several servers as one ensemble on loopback: voters and observers, each of a kind of its own.
//!
//! Members are named by their server id, from 1; observers come after the voters. A member keeps
//! its folder, ports and configuration for as long as the ensemble lives, so it can be stopped,
//! killed, paused, and started again as another kind on the same data.
//!
//! Invariant: every wait ends, either with what was waited for or with a panic that shows the logs.

mod plan;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;

pub use plan::{ClientPorts, Place, Plan};

use crate::ports::Ports;
use crate::server::{Kind, LOOK, PROBE, Refused, Server, Setup};
use crate::suite::{Skip, say};
use crate::tree::{self, Node};
use crate::wire::{Client, Fields, op};

/// How long anything may take on a machine that does much else: an election, a sync, a start.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Lines of each member's log that a failed test shows.
const SHOWN: usize = 60;

/// A server id.
pub type Sid = usize;

/// What a serving member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are ZooKeeper's")]
pub enum Mode {
    Leader,
    Follower,
    Observer,
}

/// An ensemble.
#[derive(Debug)]
pub struct Ensemble {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    kind: Kind,
    setup: Setup,
    ports: Ports,
    server: Option<Server>,
    paused: bool,
    runs: usize,
}

impl Ensemble {
    /// All server ids.
    pub fn sids(&self) -> Vec<Sid> {
        (1..=self.members.len()).collect()
    }

    /// The members that run and are not paused.
    pub fn awake(&self) -> Vec<Sid> {
        let awake = |sid: &Sid| self.member(*sid).server.is_some() && !self.member(*sid).paused;
        self.sids().into_iter().filter(awake).collect()
    }

    /// Where clients find a member, whether it runs or not.
    pub fn address(&self, sid: Sid) -> SocketAddr {
        self.member(sid).ports.address()
    }

    /// Where clients find the members, in the order of their ids.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members
            .iter()
            .map(|member| member.ports.address())
            .collect()
    }

    /// All addresses as clients want them.
    pub fn connect_string(&self) -> String {
        let texts: Vec<String> = self.addresses().iter().map(ToString::to_string).collect();
        texts.join(",")
    }

    /// What a member is, or was when it ran last.
    pub fn kind(&self, sid: Sid) -> Kind {
        self.member(sid).kind
    }

    /// Whether all that two members ask the leader comes by one connection, so that it takes them
    /// for one: a follower and the observers behind it. Of more than one follower nothing is known.
    #[track_caller]
    pub fn share_a_follower(&self, one: Sid, other: Sid) -> bool {
        let behind = self.member(one).setup.value("observerMasterPort").is_some();
        let leader = self.leader();
        behind && one != other && one != leader && other != leader
    }

    /// Folder of a member's snapshots and, as dataLogDir is not set, of its log.
    pub fn data(&self, sid: Sid) -> std::path::PathBuf {
        self.member(sid).setup.snapshots()
    }

    /// All that a member has logged since it was started.
    #[track_caller]
    pub fn log(&self, sid: Sid) -> String {
        self.running(sid).log()
    }

    /// Starts a member; it may take long until it serves.
    #[track_caller]
    pub fn start(&mut self, sid: Sid) -> Result<(), Skip> {
        let member = self.member_mut(sid);
        assert!(member.server.is_none(), "server {sid} runs already");
        let log = member.setup.home().join("server.log");
        if log.exists() {
            let kept = log.with_file_name(format!("server-{}.log", member.runs));
            fs::rename(&log, kept).expect("a file of ours");
        }
        member.server = Some(member.setup.spawn()?);
        member.runs += 1;
        Ok(())
    }

    /// Changes a member's configuration, from its next start on.
    pub fn configure(&mut self, sid: Sid, change: impl FnOnce(Setup) -> Setup) {
        let member = self.member_mut(sid);
        member.setup = change(member.setup.clone());
    }

    /// A member's ports for votes and for learners.
    pub fn peer_ports(&self, sid: Sid) -> (u16, u16) {
        let ports = &self.member(sid).ports;
        (ports.election, ports.quorum)
    }

    /// Starts a member that is to refuse.
    #[track_caller]
    pub fn refusal(&mut self, sid: Sid) -> Result<Refused, Skip> {
        match self.member(sid).setup.try_start()? {
            Ok(server) => panic!("server {sid} serves:\n{}", server.log()),
            Err(refused) => Ok(refused),
        }
    }

    /// Starts a member with options of `oxkeeper serve`.
    #[track_caller]
    pub fn start_with(&mut self, sid: Sid, options: &[&str]) -> Result<(), Skip> {
        let member = self.member_mut(sid);
        let plain = member.setup.clone();
        member.setup = plain.clone().options(options);
        let started = self.start(sid);
        self.member_mut(sid).setup = plain;
        started
    }

    /// As `start`, with words in front of the member's command for this once.
    #[track_caller]
    pub fn start_behind(&mut self, sid: Sid, words: &[&str]) -> Result<(), Skip> {
        let member = self.member_mut(sid);
        let plain = member.setup.clone();
        member.setup = plain.clone().wrapper(words);
        let started = self.start(sid);
        self.member_mut(sid).setup = plain;
        started
    }

    /// Starts a member as another kind on the data it has.
    #[track_caller]
    pub fn start_as(&mut self, sid: Sid, kind: Kind) -> Result<(), Skip> {
        let member = self.member_mut(sid);
        member.kind = kind;
        member.setup = member.setup.clone().kind(kind);
        self.start(sid)
    }

    /// Sets a key of a member's zoo.cfg, from its next start on.
    pub fn set_line(&mut self, sid: Sid, key: &str, value: &str) {
        let member = self.member_mut(sid);
        member.setup = member.setup.clone().line(key, value);
    }

    /// Starts all members that do not run, and waits until all serve.
    #[track_caller]
    pub fn start_all(&mut self) -> Result<(), Skip> {
        for sid in self.sids() {
            if self.member(sid).server.is_none() {
                self.start(sid)?;
            }
        }
        self.wait_until_all_serve();
        Ok(())
    }

    /// Ends a member by SIGTERM; it must end cleanly.
    #[track_caller]
    pub fn stop(&mut self, sid: Sid) {
        self.take(sid).terminate();
    }

    /// The process of a member that runs.
    #[track_caller]
    pub fn server(&self, sid: Sid) -> &Server {
        self.running(sid)
    }

    /// Waits until a member has ended by itself: how, and all that it had logged.
    #[track_caller]
    pub fn wait_for_end(&mut self, sid: Sid) -> (ExitStatus, String) {
        let (status, log) = self.end_after(sid, DEADLINE);
        let status = status.unwrap_or_else(|| panic!("server {sid} goes on:\n{log}"));
        (status, log)
    }

    /// Ends a member, by kill -9 if it has not ended by itself before: how, if it has.
    #[track_caller]
    pub fn end_after(&mut self, sid: Sid, patience: Duration) -> (Option<ExitStatus>, String) {
        self.take(sid).wait(patience)
    }

    /// kill -9, also of a paused member.
    #[track_caller]
    pub fn kill(&mut self, sid: Sid) {
        self.take(sid).kill();
    }

    /// SIGSTOP: the member keeps its connections and does nothing.
    #[track_caller]
    pub fn pause(&mut self, sid: Sid) {
        let server = self.running(sid);
        server.signal(Signal::STOP);
        wait_for("all threads stopped", || server.is_stopped().then_some(()));
        self.member_mut(sid).paused = true;
    }

    /// SIGCONT.
    #[track_caller]
    pub fn resume(&mut self, sid: Sid) {
        self.running(sid).signal(Signal::CONT);
        self.member_mut(sid).paused = false;
    }

    /// What a member answers to a four-letter word; nothing while it does not answer.
    #[track_caller]
    pub fn ask(&self, sid: Sid, word: &str) -> String {
        self.running(sid).ask(word, PROBE).unwrap_or_default()
    }

    /// What a member says it is; none while it does not serve.
    #[track_caller]
    pub fn mode(&self, sid: Sid) -> Option<Mode> {
        let text = self.ask(sid, "srvr");
        let mode = text.lines().find_map(|line| line.strip_prefix("Mode: "))?;
        Some(match mode.trim() {
            "leader" => Mode::Leader,
            "follower" => Mode::Follower,
            "observer" => Mode::Observer,
            other => panic!("server {sid} is {other}"),
        })
    }

    /// Waits until a member serves, and says as what.
    #[track_caller]
    pub fn wait_until_serving(&mut self, sid: Sid) -> Mode {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(mode) = self.mode(sid) {
                return mode;
            }
            self.check_alive(sid);
            assert!(
                Instant::now() < deadline,
                "server {sid} does not serve after {DEADLINE:?}"
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until every member that is awake serves.
    #[track_caller]
    pub fn wait_until_all_serve(&mut self) {
        for sid in self.awake() {
            self.wait_until_serving(sid);
        }
    }

    /// The leader, once there is one.
    #[track_caller]
    pub fn leader(&self) -> Sid {
        wait_for("a leader", || {
            let mut awake = self.awake().into_iter();
            awake.find(|sid| self.mode(*sid) == Some(Mode::Leader))
        })
    }

    /// Members that serve and do not lead: followers, then observers.
    #[track_caller]
    pub fn learners(&self) -> Vec<Sid> {
        let leader = self.leader();
        let mut learners = self.awake();
        learners.retain(|sid| *sid != leader);
        learners
    }

    /// The last zxid a member has processed; none while it does not serve.
    #[track_caller]
    pub fn zxid(&self, sid: Sid) -> Option<i64> {
        let text = self.running(sid).ask("srvr", PROBE).ok()?;
        let hex = text
            .lines()
            .find_map(|line| line.strip_prefix("Zxid: 0x"))?;
        Some(i64::from_str_radix(hex.trim(), 16).expect("a hexadecimal zxid"))
    }

    /// Waits until all members that are awake have processed the same last zxid: nothing must be
    /// written meanwhile.
    #[track_caller]
    pub fn wait_until_agreed(&self) -> i64 {
        wait_for("the same zxid everywhere", || {
            let mut zxids = self.awake().into_iter().map(|sid| self.zxid(sid));
            let first = zxids.next()??;
            zxids.all(|zxid| zxid == Some(first)).then_some(first)
        })
    }

    /// All members that are awake have the same tree: every path, its data, Stat and ACL, and the
    /// digest at a recent zxid. Returns the tree.
    #[track_caller]
    pub fn check_same_state(&self) -> BTreeMap<String, Node> {
        self.pass_a_digest();
        let zxid = self.wait_until_agreed();
        let mut digests: Option<(Sid, i64)> = None;
        let mut trees: Option<(Sid, BTreeMap<String, Node>)> = None;
        for sid in self.awake() {
            let digest = self.digest_at(sid, zxid / DIGEST_INTERVAL * DIGEST_INTERVAL);
            let (first, wanted) = digests.get_or_insert((sid, digest));
            assert_eq!(
                digest, *wanted,
                "digests of server {sid} and {first} differ"
            );

            let mut client = Client::connect(self.address(sid));
            let mut tree = tree::read(&mut client);
            client.close();
            // Each server makes this node for itself when it starts, at a time of its own.
            if let Some(node) = tree.get_mut("/zookeeper/config") {
                node.stat.mtime = 0;
            }
            match &trees {
                None => trees = Some((sid, tree)),
                Some((first, wanted)) => {
                    tree::compare(&format!("server {sid} against {first}"), &tree, wanted);
                }
            }
        }
        for sid in self.awake() {
            let mismatch = digest_mismatch(&self.log(sid));
            assert!(
                mismatch.is_none(),
                "server {sid}: {}",
                mismatch.unwrap_or_default()
            );
        }
        trees.expect("some member is awake").1
    }

    /// Writes until a zxid is reached at which every server notes its digest.
    fn pass_a_digest(&self) {
        let mut client = Client::connect(self.address(self.leader()));
        let path = "/pass-a-digest";
        let reply = client.call(op::CREATE, &crate::wire::create(path, b"", 0));
        assert!([0, -110].contains(&reply.error), "create {path}");
        let set = Fields::new().string(path).buffer(Some(b"")).int(-1);
        let mut zxid = reply.zxid;
        // One is always behind the one that is waited for: 3.8.0 may answer a request only after
        // the next commit.
        client.send(op::SET_DATA, &set);
        while zxid % DIGEST_INTERVAL != 0 {
            client.send(op::SET_DATA, &set);
            let reply = client.reply().expect("a set is answered");
            assert_eq!(reply.error, 0, "set {path}");
            zxid = reply.zxid;
        }
        client.close();
    }

    /// The digest that a member has noted for a zxid.
    #[track_caller]
    fn digest_at(&self, sid: Sid, zxid: i64) -> i64 {
        let digests = self.digests(sid);
        let digest = digests.get(&zxid);
        *digest.unwrap_or_else(|| panic!("server {sid}: no {zxid:#x} in {digests:x?}"))
    }

    /// The digests that a member has noted of late, by zxid, from its four-letter word `hash`.
    #[track_caller]
    pub fn digests(&self, sid: Sid) -> BTreeMap<i64, i64> {
        let text = self.running(sid).four_letter_word("hash");
        let text = text.expect("hash is answered");
        let digest = |line: &str| {
            let (zxid, digest) = line.split_once(": ")?;
            let zxid = i64::from_str_radix(zxid.trim(), 16).ok()?;
            Some((zxid, digest.trim().parse().ok()?))
        };
        text.lines().filter_map(digest).collect()
    }

    /// Panics with the log of a member that has ended by itself.
    #[track_caller]
    fn check_alive(&mut self, sid: Sid) {
        let server = self.member_mut(sid).server.as_mut();
        let server = server.unwrap_or_else(|| panic!("server {sid} does not run"));
        assert!(server.is_running(), "server {sid} has ended by itself");
    }

    fn take(&mut self, sid: Sid) -> Server {
        let member = self.member_mut(sid);
        member.paused = false;
        let server = member.server.take();
        server.unwrap_or_else(|| panic!("server {sid} does not run"))
    }

    fn running(&self, sid: Sid) -> &Server {
        let server = self.member(sid).server.as_ref();
        server.unwrap_or_else(|| panic!("server {sid} does not run"))
    }

    fn member(&self, sid: Sid) -> &Member {
        &self.members[sid - 1]
    }

    fn member_mut(&mut self, sid: Sid) -> &mut Member {
        &mut self.members[sid - 1]
    }
}

/// A server notes its digest for zxids that this divides (DataTree.DIGEST_LOG_INTERVAL).
pub const DIGEST_INTERVAL: i64 = 128;

/// The line of a Java server that has computed another digest than came with a transaction, while
/// it served. When it loads its data it may say so for no reason: a snapshot that was written while
/// transactions were applied holds some of them, and they are applied to it again.
fn digest_mismatch(log: &str) -> Option<String> {
    let mut serving = false;
    for line in log.lines() {
        if let Some((_, state)) = line.split_once("Peer state changed: ") {
            serving = state.ends_with("broadcast");
        }
        if serving && line.contains("Digests are not matching") {
            return Some(line.to_owned());
        }
    }
    None
}

impl Drop for Ensemble {
    /// A failed test is of little use without the servers' logs, and their folder goes with it.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (index, member) in self.members.iter().enumerate() {
            let log = fs::read(member.setup.home().join("server.log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
            let (sid, kind) = (index + 1, member.kind);
            say(format!(
                "---- end of the log of server {sid} ({kind}):\n{shown}"
            ));
        }
    }
}

/// Looks until there is something to see.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not after {DEADLINE:?}: {what}");
        std::thread::sleep(LOOK);
    }
}
