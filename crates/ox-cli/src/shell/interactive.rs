//! The shell that asks for commands.
//!
//! A thread of its own reads lines, one each time it is asked to, so that events are printed while
//! the prompt waits.

use std::io::{self, BufRead, IsTerminal};
use std::thread;
use std::time::Duration;

use ox_client::Client;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::commands;
use super::console::Console;
use super::line::words;
use super::session::{Shell, State};

/// How long the first prompt waits for the connection, so as to show its state.
const FIRST_ATTEMPT: Duration = Duration::from_secs(1);

/// Asks for commands until the input ends or `quit`; answers the exit code.
pub(crate) async fn run(mut shell: Shell) -> u8 {
    shell.console.out("Welcome to ZooKeeper!");
    shell.console.out("JLine support is enabled");
    // A command that needs the connection finds out by itself.
    let _ = timeout(FIRST_ATTEMPT, shell.client()).await;
    let (asks, mut lines) = reader();
    while !shell.quits {
        let client = match &shell.state {
            State::Connected(client) => Some(client.clone()),
            State::Connecting | State::Closed | State::AuthFailed => None,
        };
        let prompt = shell.prompt();
        let Some(line) = next_line(&mut shell, &asks, &mut lines, Ask { prompt, client }).await
        else {
            break;
        };
        let words = words(&line);
        if !words.is_empty() {
            shell.history.push(line);
            shell.run(&words).await;
        }
    }
    shell.exit
}

/// What the reading thread needs to ask for a line.
struct Ask {
    prompt: String,
    /// For the completion of paths.
    client: Option<Client>,
}

async fn next_line(
    shell: &mut Shell,
    asks: &mpsc::UnboundedSender<Ask>,
    lines: &mut mpsc::UnboundedReceiver<String>,
    ask: Ask,
) -> Option<String> {
    asks.send(ask).ok()?;
    loop {
        tokio::select! {
            line = lines.recv() => return line,
            notice = shell.notice() => {
                shell.heed(notice).await;
            }
        }
    }
}

/// Starts the thread that reads a line for each prompt it is sent. It ends with the input.
fn reader() -> (mpsc::UnboundedSender<Ask>, mpsc::UnboundedReceiver<String>) {
    let (asks, mut asked) = mpsc::unbounded_channel::<Ask>();
    let (sender, lines) = mpsc::unbounded_channel();
    let runtime = Handle::current();
    thread::spawn(move || {
        let mut read = source(runtime);
        while let Some(ask) = asked.blocking_recv() {
            let Some(line) = read(ask) else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    (asks, lines)
}

type Source = Box<dyn FnMut(Ask) -> Option<String>>;

fn source(runtime: Handle) -> Source {
    if io::stdin().is_terminal()
        && let Ok(mut editor) = Editor::<Completion, DefaultHistory>::new()
    {
        return Box::new(move |ask| {
            let client = ask.client;
            let runtime = runtime.clone();
            editor.set_helper(Some(Completion { client, runtime }));
            let line = editor.readline(&ask.prompt).ok()?;
            // A line that cannot be kept can still be run.
            let _ = editor.add_history_entry(&line);
            Some(line)
        });
    }
    let console = Console::new();
    Box::new(move |ask| {
        console.prompt(&ask.prompt);
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(1..) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
            Ok(0) | Err(_) => None,
        }
    })
}

/// Completes commands, and paths by asking the server.
struct Completion {
    client: Option<Client>,
    runtime: Handle,
}

impl Completion {
    fn paths(&self, begun: &str) -> Vec<String> {
        let (Some(client), Some(slash)) = (&self.client, begun.rfind('/')) else {
            return Vec::new();
        };
        let (above, name) = begun.split_at(slash + 1);
        let parent = match above.trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        let Ok(listing) = self.runtime.block_on(client.children(parent, false)) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = listing
            .children
            .into_iter()
            .filter(|child| child.starts_with(name))
            .map(|child| format!("{above}{child}"))
            .collect();
        paths.sort();
        paths
    }
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = &line[..pos];
        let start = begun.rfind(' ').map_or(0, |space| space + 1);
        let word = &begun[start..];
        let candidates = match (start, word.starts_with('/')) {
            (0, _) => commands::names()
                .filter(|name| name.starts_with(word))
                .map(str::to_owned)
                .collect(),
            (_, true) => self.paths(word),
            (_, false) => Vec::new(),
        };
        Ok((start, candidates))
    }
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}
