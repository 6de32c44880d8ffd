//! Namespaces of its own for a whole run, as root: what it mounts, the network it makes and the
//! processes it starts are gone when it is, also when it is killed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{needs_root_and, run};
use crate::suite::say;

/// Set for the run inside.
const INSIDE: &str = "OX_ENCLOSED";

/// Mounts, network, processes; whoever ends `unshare` ends all that is inside.
const UNSHARE: [&str; 7] = [
    "unshare",
    "--mount",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// The first process of a namespace inherits all whose parent is gone; a shell takes leave of
/// them when they end.
const FIRST: [&str; 4] = ["sh", "-c", "\"$@\"; exit $?", "sh"];

/// Where the names of network namespaces are.
const NAMES: &str = "/run/netns";

/// Goes on with this program inside, and returns there; or here, where that cannot be had: then
/// what a test makes goes at its end, unless the run is killed.
pub fn enter() {
    if std::env::var_os(INSIDE).is_some() {
        furnish().expect("the namespaces are ours");
        return;
    }
    let probe: Vec<&str> = UNSHARE.into_iter().chain(["true"]).collect();
    if needs_root_and(&["unshare", "ip", "mount", "sh"]).is_err() || run(&probe).is_err() {
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let error = Command::new(UNSHARE[0])
        .args(&UNSHARE[1..])
        .args(FIRST)
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    say(format!("   no namespaces of our own: {error}"));
}

fn furnish() -> Result<(), String> {
    run(&["ip", "link", "set", "lo", "up"])?;
    fs::create_dir_all(NAMES).map_err(|error| error.to_string())?;
    run(&["mount", "-t", "tmpfs", "tmpfs", NAMES]).map(|_| ())
}
