//! A network of hosts made of namespaces: a bridge here, and for each host a namespace with an
//! address of its own, in which packets can be dropped or refused.
//!
//! The test itself sits on the bridge and reaches every host, whatever these think of each other.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use super::{needs_root_and, run, said};
use crate::ensemble::{Place, Sid};
use crate::suite::{Skip, say};

/// What becomes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They vanish.
    Dropped,
    /// The sender's connection is reset.
    Reset,
    /// So many of a hundred vanish.
    Lost(u8),
}

/// Packets from one host to another, by what becomes of them.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// From which host.
    pub from: Sid,
    /// To which.
    pub to: Sid,
    /// Only those from or to this port, at whichever end.
    pub port: Option<u16>,
    /// What becomes of them.
    pub verdict: Verdict,
}

/// Hosts 1 to n on a bridge.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    bridge: String,
}

#[derive(Debug)]
struct Host {
    /// Our end of its cable.
    cable: String,
    namespace: String,
    address: Ipv4Addr,
}

impl Network {
    /// Makes so many hosts. Names and addresses are made from our process id.
    pub fn create(hosts: u8) -> Result<Self, Skip> {
        needs_root_and(&["ip", "nft"])?;
        let pid = std::process::id();
        let [_, _, high, low] = pid.to_be_bytes();
        let address = |host| Ipv4Addr::new(10, high, low, host);
        // What is made goes again when this is dropped, also if the next step fails.
        let mut network = Self {
            hosts: Vec::new(),
            bridge: format!("oxb{pid}"),
        };
        network
            .make(hosts, address)
            .map_err(|error| Skip(format!("no network can be made here: {error}")))?;
        Ok(network)
    }

    fn make(&mut self, hosts: u8, address: impl Fn(u8) -> Ipv4Addr) -> Result<(), String> {
        let pid = std::process::id();
        let bridge = self.bridge.clone();
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("address add {}/24 dev {bridge}", address(254)))?;
        ip(&format!("link set {bridge} up"))?;
        for number in 1..=hosts {
            let (cable, there) = (format!("oxv{pid}-{number}"), "eth0");
            let namespace = format!("ox-{pid}-{number}");
            let address = address(number);
            ip(&format!("netns add {namespace}"))?;
            self.hosts.push(Host {
                cable: cable.clone(),
                namespace: namespace.clone(),
                address,
            });
            ip(&format!(
                "link add {cable} type veth peer name {there} netns {namespace}"
            ))?;
            ip(&format!("link set {cable} master {bridge} up"))?;
            ip(&format!(
                "-n {namespace} address add {address}/24 dev {there}"
            ))?;
            ip(&format!("-n {namespace} link set {there} up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(())
    }

    /// Where the members of an ensemble run, host 1 first.
    pub fn places(&self) -> Vec<Place> {
        let place = |host: &Host| Place {
            host: host.address,
            enter: ["ip", "netns", "exec", &host.namespace]
                .map(str::to_owned)
                .into(),
        };
        self.hosts.iter().map(place).collect()
    }

    /// From now on these packets fare like this; all others get through.
    #[track_caller]
    pub fn cut(&self, cuts: &[Cut]) {
        for (index, host) in self.hosts.iter().enumerate() {
            let mut rules = String::new();
            for cut in cuts.iter().filter(|cut| cut.to == index + 1) {
                let source = self.hosts[cut.from - 1].address;
                let what = match cut.verdict {
                    Verdict::Dropped => "drop".to_owned(),
                    Verdict::Reset => "reject with tcp reset".to_owned(),
                    Verdict::Lost(percent) => {
                        format!("numgen random mod 100 < {percent} drop")
                    }
                };
                let ends: &[String] = &match (cut.port, cut.verdict) {
                    (Some(port), _) => ["sport", "dport"]
                        .map(|end| format!("tcp {end} {port}"))
                        .to_vec(),
                    (None, Verdict::Reset) => vec!["meta l4proto tcp".to_owned()],
                    (None, _) => vec![String::new()],
                };
                for end in ends {
                    rules.push_str(&format!("ip saddr {source} {end} {what}\n"));
                }
            }
            // Made, if it is not there, so that it can be deleted and made anew at one moment.
            let table = format!(
                "table inet ox {{ }}\ndelete table inet ox\ntable inet ox {{\n chain in {{\n type \
                 filter hook input priority 0;\n{rules}}}\n}}\n"
            );
            nft(&host.namespace, &table);
        }
    }

    /// All packets get through again.
    #[track_caller]
    pub fn heal(&self) {
        self.cut(&[]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            // A namespace stays for as long as there are sockets in it that nobody answers.
            remove(&format!("link delete {}", host.cable));
            remove(&format!("netns delete {}", host.namespace));
        }
        remove(&format!("link delete {}", self.bridge));
    }
}

fn remove(words: &str) {
    if let Err(error) = ip(words) {
        say(format!("   left behind: {error}"));
    }
}

fn ip(words: &str) -> Result<String, String> {
    let words: Vec<&str> = ["ip"].into_iter().chain(words.split(' ')).collect();
    run(&words)
}

#[track_caller]
fn nft(namespace: &str, rules: &str) {
    let words = ["ip", "netns", "exec", namespace, "nft", "-f", "-"];
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nft is there");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(rules.as_bytes()).expect("nft reads it");
    drop(input);
    let output = child.wait_with_output().expect("our own child");
    said(&words, &output).unwrap_or_else(|error| panic!("{error}\n{rules}"));
}
