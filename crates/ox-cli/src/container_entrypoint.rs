//! `oxkeeper container-entrypoint`: the variables and paths of the official image of ZooKeeper
//! (operations.md 2.4), for an image without a shell.
//!
//! Invariant: files that exist are left as they are.

use std::fs;
use std::io;
use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use ox_server::config::Sources;

use crate::serve;

/// The user and the group of the official image.
const USER: u32 = 1000;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// `zkServer.sh start-foreground`, the official image's command, or nothing.
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let command: Vec<&str> = arguments.command.iter().map(String::as_str).collect();
    if !matches!(command[..], [] | ["zkServer.sh", "start-foreground"]) {
        eprintln!("only the command `zkServer.sh start-foreground` is known, or none");
        return ExitCode::from(2);
    }
    let container = Container::from_environment(|name| std::env::var(name).ok());
    match container.drop_root().and_then(|()| container.prepare()) {
        Ok(config) => {
            let arguments = vec![config.to_string_lossy().into_owned()];
            serve::serve(&Sources::from_process(Vec::new(), arguments), false)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What the variables say.
struct Container {
    conf_dir: PathBuf,
    data_dir: PathBuf,
    data_log_dir: PathBuf,
    log_dir: PathBuf,
    id: String,
    /// The lines of `zoo.cfg`.
    config: Vec<String>,
}

/// A step that failed, with its path.
#[derive(Debug)]
struct StepError {
    step: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl std::fmt::Display for StepError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cannot {} {}: {}",
            self.step,
            self.path.display(),
            self.error
        )
    }
}

fn step<'a>(step: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StepError + 'a {
    move |error| StepError {
        step,
        path: path.to_owned(),
        error,
    }
}

impl Container {
    fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        // A variable that is set but empty counts as not set, as in the image's own script.
        let value = |name: &str, default: &str| {
            variable(name)
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| default.to_owned())
        };
        let data_dir = value("ZOO_DATA_DIR", "/data");
        let data_log_dir = value("ZOO_DATA_LOG_DIR", "/datalog");
        let mut config = vec![
            format!("dataDir={data_dir}"),
            format!("dataLogDir={data_log_dir}"),
        ];
        for (key, name, default) in [
            ("tickTime", "ZOO_TICK_TIME", "2000"),
            ("initLimit", "ZOO_INIT_LIMIT", "5"),
            ("syncLimit", "ZOO_SYNC_LIMIT", "2"),
            (
                "autopurge.snapRetainCount",
                "ZOO_AUTOPURGE_SNAPRETAINCOUNT",
                "3",
            ),
            (
                "autopurge.purgeInterval",
                "ZOO_AUTOPURGE_PURGEINTERVAL",
                "0",
            ),
            ("maxClientCnxns", "ZOO_MAX_CLIENT_CNXNS", "60"),
            ("standaloneEnabled", "ZOO_STANDALONE_ENABLED", "true"),
            ("admin.enableServer", "ZOO_ADMINSERVER_ENABLED", "true"),
        ] {
            config.push(format!("{key}={}", value(name, default)));
        }
        let servers = value("ZOO_SERVERS", "server.1=localhost:2888:3888;2181");
        config.extend(servers.split_whitespace().map(str::to_owned));
        let words = value("ZOO_4LW_COMMANDS_WHITELIST", "");
        if !words.is_empty() {
            config.push(format!("4lw.commands.whitelist={words}"));
        }
        let extra = value("ZOO_CFG_EXTRA", "");
        config.extend(extra.split_whitespace().map(str::to_owned));
        Self {
            conf_dir: value("ZOO_CONF_DIR", "/conf").into(),
            data_dir: data_dir.into(),
            data_log_dir: data_log_dir.into(),
            log_dir: value("ZOO_LOG_DIR", "/logs").into(),
            id: value("ZOO_MY_ID", "1"),
            config,
        }
    }

    /// As root: gives the directories to the image's user and starts again as that user. Returns
    /// only if there was nothing to drop, or on an error.
    fn drop_root(&self) -> Result<(), StepError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        for directory in [&self.data_dir, &self.data_log_dir, &self.log_dir] {
            fs::create_dir_all(directory).map_err(step("create", directory))?;
            give_away(directory)?;
        }
        let program = std::env::current_exe().map_err(step("find", Path::new("this program")))?;
        let arguments = std::env::args_os().skip(1);
        let error = Command::new(&program)
            .args(arguments)
            .uid(USER)
            .gid(USER)
            .exec();
        Err(step("run as user 1000", &program)(error))
    }

    /// Writes `zoo.cfg` and `myid` where they are missing, and returns the path of the former.
    fn prepare(&self) -> Result<PathBuf, StepError> {
        let config = self.conf_dir.join("zoo.cfg");
        if !config.is_file() {
            let text: String = self.config.iter().map(|line| format!("{line}\n")).collect();
            fs::write(&config, text).map_err(step("write", &config))?;
        }
        let id = self.data_dir.join("myid");
        if !id.is_file() {
            fs::write(&id, format!("{}\n", self.id)).map_err(step("write", &id))?;
        }
        for name in ["java.env", "zookeeper-env.sh"] {
            let path = self.conf_dir.join(name);
            if path.exists() {
                let path = path.display();
                eprintln!("{path} is for a shell, and there is none here: set JVMFLAGS instead");
            }
        }
        Ok(config)
    }
}

/// `chown -R`, links themselves and not what they point to.
fn give_away(path: &Path) -> Result<(), StepError> {
    lchown(path, Some(USER), Some(USER)).map_err(step("change the owner of", path))?;
    if fs::symlink_metadata(path)
        .map_err(step("look at", path))?
        .is_dir()
    {
        for entry in fs::read_dir(path).map_err(step("list", path))? {
            give_away(&entry.map_err(step("list", path))?.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ox_server::config::Config;

    use super::*;

    /// The `zoo.cfg` and the `myid` that `variables` lead to, with what was there before.
    #[track_caller]
    fn check(variables: &[(&str, &str)], before: &[(&str, &str)], config: &[&str], id: &str) {
        let root = tempfile::tempdir().unwrap();
        let mut all: BTreeMap<String, String> = variables
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (name, directory) in [
            ("ZOO_CONF_DIR", "conf"),
            ("ZOO_DATA_DIR", "data"),
            ("ZOO_DATA_LOG_DIR", "datalog"),
        ] {
            let path = root.path().join(directory);
            fs::create_dir(&path).unwrap();
            all.insert(name.to_owned(), path.display().to_string());
        }
        for (name, text) in before {
            fs::write(root.path().join(name), text).unwrap();
        }
        let path = Container::from_environment(|name| all.get(name).cloned())
            .prepare()
            .unwrap();
        assert_eq!(path, root.path().join("conf/zoo.cfg"));
        let text = fs::read_to_string(path).unwrap();
        let text = text.replace(&root.path().display().to_string(), "");
        assert_eq!(text.lines().collect::<Vec<_>>(), config);
        assert_eq!(
            fs::read_to_string(root.path().join("data/myid")).unwrap(),
            id
        );
    }

    const DEFAULT: [&str; 11] = [
        "dataDir=/data",
        "dataLogDir=/datalog",
        "tickTime=2000",
        "initLimit=5",
        "syncLimit=2",
        "autopurge.snapRetainCount=3",
        "autopurge.purgeInterval=0",
        "maxClientCnxns=60",
        "standaloneEnabled=true",
        "admin.enableServer=true",
        "server.1=localhost:2888:3888;2181",
    ];

    #[test]
    fn without_variables_it_is_the_official_images_file() {
        check(&[], &[], &DEFAULT, "1\n");
        check(
            &[("ZOO_SERVERS", ""), ("ZOO_MY_ID", "")],
            &[],
            &DEFAULT,
            "1\n",
        );
    }

    #[test]
    fn every_variable_has_its_line() {
        check(
            &[
                ("ZOO_TICK_TIME", "1"),
                ("ZOO_INIT_LIMIT", "2"),
                ("ZOO_SYNC_LIMIT", "3"),
                ("ZOO_AUTOPURGE_SNAPRETAINCOUNT", "4"),
                ("ZOO_AUTOPURGE_PURGEINTERVAL", "5"),
                ("ZOO_MAX_CLIENT_CNXNS", "6"),
                ("ZOO_STANDALONE_ENABLED", "false"),
                ("ZOO_ADMINSERVER_ENABLED", "false"),
                ("ZOO_SERVERS", "server.7=a:1:2;3  server.8=b:1:2;3"),
                ("ZOO_4LW_COMMANDS_WHITELIST", "srvr, ruok"),
                ("ZOO_CFG_EXTRA", "snapCount=9 forceSync=no"),
                ("ZOO_MY_ID", "7"),
            ],
            &[],
            &[
                "dataDir=/data",
                "dataLogDir=/datalog",
                "tickTime=1",
                "initLimit=2",
                "syncLimit=3",
                "autopurge.snapRetainCount=4",
                "autopurge.purgeInterval=5",
                "maxClientCnxns=6",
                "standaloneEnabled=false",
                "admin.enableServer=false",
                "server.7=a:1:2;3",
                "server.8=b:1:2;3",
                "4lw.commands.whitelist=srvr, ruok",
                "snapCount=9",
                "forceSync=no",
            ],
            "7\n",
        );
    }

    #[test]
    fn the_file_of_three_servers_is_an_ensemble() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name).display().to_string();
        let container = Container::from_environment(|name| match name {
            "ZOO_CONF_DIR" | "ZOO_DATA_DIR" | "ZOO_DATA_LOG_DIR" => Some(path("")),
            "ZOO_MY_ID" => Some("2".to_owned()),
            "ZOO_SERVERS" => Some(
                "server.1=127.0.0.1:1:2;3 server.2=127.0.0.1:4:5;6 server.3=127.0.0.1:7:8;9\n"
                    .to_owned(),
            ),
            _ => None,
        });
        let file = container.prepare().unwrap().display().to_string();
        let config = Config::load(&Sources {
            arguments: vec![file],
            ..Sources::default()
        })
        .unwrap();
        let ensemble = config.ensemble.unwrap();
        assert_eq!((ensemble.id.0, ensemble.members.members.len()), (2, 3));
        assert_eq!(ensemble.settings.init_limit.count, 5);
        assert_eq!(ensemble.settings.sync_limit.count, 2);
        assert_eq!(config.client.unwrap().port, 6);
    }

    #[test]
    fn a_file_that_exists_makes_all_variables_but_the_id_ignored() {
        let variables = [("ZOO_TICK_TIME", "1"), ("ZOO_MY_ID", "7")];
        check(
            &variables,
            &[("conf/zoo.cfg", "tickTime=9\n")],
            &["tickTime=9"],
            "7\n",
        );
    }

    #[test]
    fn an_id_that_exists_is_kept() {
        check(&[("ZOO_MY_ID", "7")], &[("data/myid", "3")], &DEFAULT, "3");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let container = Container::from_environment(|name| {
            (name == "ZOO_CONF_DIR").then(|| "/nowhere/conf".to_owned())
        });
        let error = container.prepare().unwrap_err().to_string();
        assert!(
            error.starts_with("cannot write /nowhere/conf/zoo.cfg: "),
            "{error}"
        );
    }
}
