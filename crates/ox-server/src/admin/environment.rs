//! `envi`: what the server runs in.
//!
//! The keys are Java's; those that speak of a Java that is not there have the value that Java has
//! for what is not known. Source: operations.md 3.2.

use super::{VERSION, process};

/// What the server runs in. Empty texts are unknown; memory is in bytes.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The machine's name.
    pub host_name: String,
    /// The system, say `Linux`.
    pub os_name: String,
    /// The processor, as Java names it.
    pub os_arch: String,
    /// The kernel's release.
    pub os_version: String,
    /// Who runs the server.
    pub user_name: String,
    /// Where this user is at home.
    pub user_home: String,
    /// The working directory.
    pub user_dir: String,
    /// The memory that the process may use.
    pub memory_limit: u64,
    /// The memory that it uses.
    pub memory_used: u64,
}

impl Environment {
    /// That of this process, now.
    pub fn of_this_process() -> Self {
        let system = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            arch => arch,
        };
        let directory = std::env::current_dir().unwrap_or_default();
        Self {
            host_name: text(system.nodename()),
            os_name: text(system.sysname()),
            os_arch: arch.to_owned(),
            os_version: text(system.release()),
            user_name: process::user_name().unwrap_or_default(),
            user_home: std::env::var("HOME").unwrap_or_default(),
            user_dir: directory.to_string_lossy().into_owned(),
            memory_limit: process::memory_limit(),
            memory_used: process::memory_used().unwrap_or(0),
        }
    }
}

/// The answer to `envi`.
pub fn envi(environment: &Environment) -> String {
    const UNKNOWN: &str = "<NA>";
    let free = environment
        .memory_limit
        .saturating_sub(environment.memory_used);
    let mut out = "Environment:\n".to_owned();
    for (key, value) in [
        ("zookeeper.version", VERSION),
        ("host.name", &environment.host_name),
        ("java.version", UNKNOWN),
        ("java.vendor", UNKNOWN),
        ("java.home", UNKNOWN),
        ("java.class.path", UNKNOWN),
        ("java.library.path", UNKNOWN),
        ("java.io.tmpdir", UNKNOWN),
        ("java.compiler", UNKNOWN),
        ("os.name", &environment.os_name),
        ("os.arch", &environment.os_arch),
        ("os.version", &environment.os_version),
        ("user.name", &environment.user_name),
        ("user.home", &environment.user_home),
        ("user.dir", &environment.user_dir),
        ("os.memory.free", &mebibytes(free)),
        ("os.memory.max", &mebibytes(environment.memory_limit)),
        ("os.memory.total", &mebibytes(environment.memory_used)),
    ] {
        let value = if value.is_empty() { UNKNOWN } else { value };
        out += &format!("{key}={value}\n");
    }
    out
}

fn mebibytes(bytes: u64) -> String {
    format!("{}MB", bytes >> 20)
}
