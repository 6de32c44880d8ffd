//! `zoo.cfg` with anything in it.
//!
//! Left out are inputs that name other files, and hosts by a name, for that would be looked up.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use ox_proto::properties;
use ox_server::config::{Config, Sources};

use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "config",
    run,
    memory: (256 << 10, 128),
    longest: 4096,
    words: &[
        b"tickTime=2000\n",
        b"dataDir=/data\n",
        b"clientPort=2181\n",
        b"clientPortAddress=127.0.0.1\n",
        b"server.1=127.0.0.1:2888:3888:participant;2181\n",
        b"server.2=[::1]:2888:3888:observer\n",
        b"group.1=1:2\n",
        b"weight.1=0\n",
        b"-2147483648",
        b"9223372036854775807",
        b"99999999999999999999",
        b"\\u0041",
        b"\\\n",
        b"minSessionTimeout=",
        b"autopurge.purgeInterval=",
        b"4lw.commands.whitelist=*\n",
        b"snapshot.compression.method=gz\n",
    ],
    short: 200,
};

/// Files cost less here, where it exists.
const IN_MEMORY: &str = "/dev/shm";

fn run(bytes: &[u8]) {
    if reaches_out(bytes) {
        return;
    }
    let folders = [PathBuf::from(IN_MEMORY), std::env::temp_dir()];
    let folder = folders.iter().find(|folder| folder.is_dir());
    let folder = folder.expect("a folder for temporary files");
    let mut file = tempfile::NamedTempFile::new_in(folder).expect("a temporary file");
    file.write_all(bytes).expect("a file that can be written");
    let arguments = vec![file.path().to_string_lossy().into_owned()];
    let sources = Sources {
        arguments,
        ..Sources::default()
    };
    match Config::load(&sources) {
        Ok(config) => drop(format!("{config:?}")),
        Err(errors) => drop(errors.to_string()),
    }
}

fn reaches_out(bytes: &[u8]) -> bool {
    let entries = properties::parse(bytes).entries;
    entries.iter().any(|entry| {
        let key = entry.key.trim();
        let names_file = key == "dynamicConfigFile" || key == "dataDir" && entry.value != "/data";
        let names_host = key.starts_with("server.") || key.ends_with("Address");
        names_file || names_host && !has_only_addresses(&entry.value)
    })
}

fn has_only_addresses(value: &str) -> bool {
    let is_known = |part: &str| {
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit()) && part.len() < 6;
        let is_role = matches!(part, "participant" | "observer");
        is_number || is_role || part.parse::<IpAddr>().is_ok()
    };
    let without_brackets = value.split(['[', ']']).enumerate();
    without_brackets
        .into_iter()
        .all(|(index, part)| match index % 2 {
            1 => is_known(part),
            _ => part.split([':', ';', '|', ' ']).all(is_known),
        })
}
