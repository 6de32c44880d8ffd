//! The commands: what each is called, how it is used, and where it is carried out.
//!
//! Source: the classes of `org.apache.zookeeper.cli`, and `ZooKeeperMain` for those that are about
//! the shell itself.

mod acl;
mod builtin;
mod ensemble;
mod quota;
mod read;
mod watch;
mod write;

use super::Failure;
use super::options::{self, Options, Parsed, flag, value};
use super::session::Shell;

/// A command as it was typed, told apart.
type Outcome = Result<(), Failure>;

/// One command of the table.
#[derive(Debug)]
struct Command {
    kind: Kind,
    name: &'static str,
    /// What follows the name in its usage.
    usage: &'static str,
    /// Lines about its options, which only some commands have.
    details: &'static str,
    options: Options,
    /// The numbers of arguments it can be used with.
    least: usize,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    AddAuth,
    AddWatch,
    Close,
    Config,
    Connect,
    Create,
    Delete,
    DeleteAll,
    DelQuota,
    Get,
    GetAcl,
    GetAllChildrenNumber,
    GetEphemerals,
    History,
    ListQuota,
    Ls,
    PrintWatches,
    Quit,
    Reconfig,
    Redo,
    RemoveWatches,
    Set,
    SetAcl,
    SetQuota,
    Stat,
    Sync,
    Version,
    WhoAmI,
}

const fn command(
    kind: Kind,
    name: &'static str,
    usage: &'static str,
    options: Options,
    least: usize,
) -> Command {
    Command {
        kind,
        name,
        usage,
        details: "",
        options,
        least,
        most: usize::MAX,
    }
}

const QUOTAS: Options = Options {
    all: &[value("n"), value("b"), value("N"), value("B")],
    exclusive: true,
    required: Some(
        "-n num soft quota, -b bytes soft quota, -N num hard quota, -B bytes hard quota",
    ),
};

/// Sorted as ZooKeeper's help sorts them: by the bytes of their names.
const COMMANDS: &[Command] = &[
    command(
        Kind::AddWatch,
        "addWatch",
        "[-m mode] path # optional mode is one of [PERSISTENT, PERSISTENT_RECURSIVE] - default is \
         PERSISTENT_RECURSIVE",
        Options::of(&[value("m")]),
        1,
    ),
    command(Kind::AddAuth, "addauth", "scheme auth", Options::NONE, 1),
    command(Kind::Close, "close", "", Options::NONE, 0),
    command(
        Kind::Config,
        "config",
        "[-c] [-w] [-s]",
        Options::of(&[flag("c"), flag("w"), flag("s")]),
        0,
    ),
    command(Kind::Connect, "connect", "host:port", Options::NONE, 0),
    command(
        Kind::Create,
        "create",
        "[-s] [-e] [-c] [-t ttl] path [data] [acl]",
        Options::of(&[flag("s"), flag("e"), flag("c"), value("t")]),
        1,
    ),
    command(
        Kind::Delete,
        "delete",
        "[-v version] path",
        Options::of(&[value("v")]),
        1,
    ),
    command(
        Kind::DeleteAll,
        "deleteall",
        "path [-b batch size]",
        Options::of(&[value("b")]),
        1,
    ),
    command(
        Kind::DelQuota,
        "delquota",
        "[-n|-b|-N|-B] path",
        Options {
            all: &[flag("n"), flag("b"), flag("N"), flag("B")],
            exclusive: true,
            required: None,
        },
        1,
    ),
    Command {
        details: " -b   Output data in base64 format\n -s   Print znode stats additionally\n \
                  -w   Watch for changes on the znode\n -x   Output data in hexdump format\n",
        ..command(
            Kind::Get,
            "get",
            "[-s] [-w] [-b] [-x] path",
            Options::of(&[flag("s"), flag("w"), flag("b"), flag("x")]),
            1,
        )
    },
    command(
        Kind::GetAcl,
        "getAcl",
        "[-s] path",
        Options::of(&[flag("s")]),
        1,
    ),
    command(
        Kind::GetAllChildrenNumber,
        "getAllChildrenNumber",
        "path",
        Options::NONE,
        1,
    ),
    command(
        Kind::GetEphemerals,
        "getEphemerals",
        "path",
        Options::NONE,
        0,
    ),
    command(Kind::History, "history", "", Options::NONE, 0),
    command(Kind::ListQuota, "listquota", "path", Options::NONE, 1),
    command(
        Kind::Ls,
        "ls",
        "[-s] [-w] [-R] path",
        Options::of(&[flag("s"), flag("w"), flag("R")]),
        1,
    ),
    command(
        Kind::PrintWatches,
        "printwatches",
        "on|off",
        Options::NONE,
        0,
    ),
    command(Kind::Quit, "quit", "", Options::NONE, 0),
    command(
        Kind::Reconfig,
        "reconfig",
        "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;port3[,...]*]] | \
         [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]",
        Options::of(&[
            flag("s"),
            value("v"),
            value("file"),
            value("members"),
            value("add"),
            value("remove"),
        ]),
        0,
    ),
    command(Kind::Redo, "redo", "cmdno", Options::NONE, 0),
    command(
        Kind::RemoveWatches,
        "removewatches",
        "path [-c|-d|-a] [-l]",
        Options::of(&[
            flag("c"),
            flag("d"),
            flag("p"),
            flag("r"),
            flag("a"),
            flag("l"),
        ]),
        1,
    ),
    Command {
        details: " -b         Supply data in base64 format\n \
                  -s         Print znode stats additionally\n \
                  -v <arg>   Set with an expected version\n",
        ..command(
            Kind::Set,
            "set",
            "path data [-s] [-v version] [-b]",
            Options::of(&[flag("s"), value("v"), flag("b")]),
            2,
        )
    },
    command(
        Kind::SetAcl,
        "setAcl",
        "[-s] [-v version] [-R] path acl",
        Options::of(&[flag("s"), value("v"), flag("R")]),
        2,
    ),
    command(
        Kind::SetQuota,
        "setquota",
        "-n|-b|-N|-B val path",
        QUOTAS,
        1,
    ),
    command(
        Kind::Stat,
        "stat",
        "[-w] path",
        Options::of(&[flag("w")]),
        1,
    ),
    command(Kind::Sync, "sync", "path", Options::NONE, 1),
    Command {
        most: 0,
        ..command(Kind::Version, "version", "", Options::NONE, 0)
    },
    command(Kind::WhoAmI, "whoami", "", Options::NONE, 0),
];

/// ZooKeeper's exit code for a command that there is none of.
const NOT_FOUND: u8 = 127;

/// The names of all commands.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

/// Runs the command that `words` begin with; answers the exit code.
pub(crate) async fn run(shell: &mut Shell, words: &[String]) -> u8 {
    let [name, words @ ..] = words else {
        return 0;
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        shell.console.err(&help());
        shell
            .console
            .err(&format!("Command not found: Command not found {name}"));
        return NOT_FOUND;
    };
    match carry_out(shell, command, words).await {
        Ok(()) => 0,
        Err(Failure::NotConnected) => {
            shell.console.out(&Failure::NotConnected.to_string());
            0
        }
        Err(Failure::Usage) => {
            shell.console.err(&usage(command));
            1
        }
        Err(Failure::Silent) => shell.exit,
        Err(failure) => {
            shell.console.err(&failure.to_string());
            1
        }
    }
}

async fn carry_out(shell: &mut Shell, command: &Command, words: &[String]) -> Outcome {
    let parsed = match command.kind {
        // These take their words as they come, as Java's shell does.
        Kind::AddAuth
        | Kind::Close
        | Kind::Connect
        | Kind::History
        | Kind::PrintWatches
        | Kind::Quit
        | Kind::Redo
        | Kind::WhoAmI => Parsed::arguments(words),
        _ => options::parse(&command.options, words)?,
    };
    if parsed.args.len() < command.least || command.most < parsed.args.len() {
        return Err(Failure::Usage);
    }
    match command.kind {
        Kind::AddAuth => builtin::add_auth(shell, &parsed).await,
        Kind::Close => builtin::close(shell).await,
        Kind::Connect => builtin::connect(shell, &parsed).await,
        Kind::History => builtin::history(shell),
        Kind::PrintWatches => builtin::print_watches(shell, &parsed),
        Kind::Quit => builtin::quit(shell).await,
        Kind::Redo => builtin::redo(shell, &parsed).await,
        Kind::Version => builtin::version(shell),
        Kind::WhoAmI => builtin::who_am_i(shell).await,
        Kind::Get => read::get(shell, &parsed).await,
        Kind::GetAllChildrenNumber => read::all_children_number(shell, &parsed).await,
        Kind::GetEphemerals => read::ephemerals(shell, &parsed).await,
        Kind::Ls => read::ls(shell, &parsed).await,
        Kind::Stat => read::stat(shell, &parsed).await,
        Kind::Sync => read::sync(shell, &parsed).await,
        Kind::Create => write::create(shell, &parsed).await,
        Kind::Delete => write::delete(shell, &parsed).await,
        Kind::DeleteAll => write::delete_all(shell, &parsed).await,
        Kind::Set => write::set(shell, &parsed).await,
        Kind::GetAcl => acl::get(shell, &parsed).await,
        Kind::SetAcl => acl::set(shell, &parsed).await,
        Kind::DelQuota => quota::delete(shell, &parsed).await,
        Kind::ListQuota => quota::list(shell, &parsed).await,
        Kind::SetQuota => quota::set(shell, &parsed).await,
        Kind::AddWatch => watch::add(shell, &parsed).await,
        Kind::RemoveWatches => watch::remove(shell, &parsed).await,
        Kind::Config => ensemble::config(shell, &parsed).await,
        Kind::Reconfig => ensemble::reconfig(shell, &parsed).await,
    }
}

/// How to use one command. Commands with details end their usage with an empty line.
fn usage(command: &Command) -> String {
    let line = format!("{} {}", command.name, command.usage);
    match command.details {
        "" => line,
        details => format!("{line}\n{details}"),
    }
}

/// How to use all of them.
fn help() -> String {
    let mut text =
        String::from("ZooKeeper -server host:port -client-configuration properties-file cmd args");
    for command in COMMANDS {
        text += &format!("\n\t{} {}", command.name, command.usage);
    }
    text
}

/// Notes the use of a form that an option has replaced.
fn note_deprecated(shell: &Shell, form: &str, instead: &str) {
    shell.console.err(&format!(
        "'{form}' has been deprecated. Please use '{instead}' instead."
    ));
}

/// The number that an option carries, if it is given.
fn number<T: std::str::FromStr>(
    parsed: &Parsed,
    option: &str,
    kind: &str,
) -> Result<Option<T>, Failure> {
    parsed
        .value(option)
        .map(|text| {
            text.parse()
                .map_err(|_| Failure::Text(format!("-{option} argument must be {kind} value")))
        })
        .transpose()
}

/// The version to compare with; -1 matches any.
fn version(parsed: &Parsed) -> Result<i32, Failure> {
    Ok(number(parsed, "v", "an int")?.unwrap_or(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_sorted_by_the_bytes_of_their_names() {
        assert!(names().is_sorted());
        assert_eq!(names().count(), 28);
    }

    #[test]
    fn usage_is_a_line_and_for_some_the_options_below_it() {
        let find = |name| {
            COMMANDS
                .iter()
                .find(|command| command.name == name)
                .unwrap()
        };
        assert_eq!(usage(find("stat")), "stat [-w] path");
        assert_eq!(usage(find("version")), "version ");
        assert_eq!(
            usage(find("set")).lines().last(),
            Some(" -v <arg>   Set with an expected version")
        );
    }
}
