//! Two services side by side, and what differs between them after a script.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::time::Instant;

use crate::deliberate::Deliberate;
use crate::drive::{self, Transcript, What};
use crate::normal::Normal;
use crate::reader::Kind;
use crate::script::Script;
use crate::target::{Node, PATIENCE, Target};
use crate::words;

/// The reference and what is tried.
#[derive(Debug)]
pub struct Pair {
    /// Apache ZooKeeper 3.9.5.
    pub reference: Target,
    /// Oxkeeper.
    pub tried: Target,
}

/// Where two services differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// In which step it shows; none for one at the end.
    pub step: Option<usize>,
    /// On which connection, or in what.
    pub place: String,
    /// What the reference says, and its bytes.
    pub reference: (String, String),
    /// What the other says.
    pub tried: (String, String),
}

impl Pair {
    /// Runs a script on both at once, and cleans up; what differs first, if anything.
    pub fn run(&mut self, script: &Script) -> io::Result<Option<Difference>> {
        let (reference, tried) = self.on_both(|target| one(script, target))?;
        let difference = match self.compare(&reference, &tried) {
            Some(difference) => Some(difference),
            None => self.words(&reference.transcript, &tried.transcript)?,
        };
        let (one, other) = (sessions(&reference), sessions(&tried));
        self.on_both(|target| match target.is_reference {
            true => target.clean(&one),
            false => target.clean(&other),
        })?;
        Ok(difference)
    }

    /// Does something with both at once.
    fn on_both<T: Send>(
        &mut self,
        run: impl Fn(&mut Target) -> io::Result<T> + Sync,
    ) -> io::Result<(T, T)> {
        let (reference, tried) = std::thread::scope(|scope| {
            let reference = scope.spawn(|| run(&mut self.reference));
            let tried = run(&mut self.tried);
            let reference = reference.join();
            (reference.expect("a thread that does not panic"), tried)
        });
        Ok((named("the reference", reference)?, named("ours", tried)?))
    }

    /// What differs in the four-letter words. Either may notice a little later than the other that a
    /// connection has gone, and its watches with it.
    fn words(&self, reference: &Transcript, tried: &Transcript) -> io::Result<Option<Difference>> {
        let deadline = Instant::now() + PATIENCE;
        let servers = self.reference.members.iter().zip(&self.tried.members);
        for (server, (one, other)) in servers.enumerate() {
            loop {
                let one = words::ask(one.address, &reference.given.sessions)?;
                let other = words::ask(other.address, &tried.given.sessions)?;
                match words::compare(&one, &other) {
                    None => break,
                    Some(_) if Instant::now() < deadline => {}
                    Some((word, one, other)) => {
                        return Ok(Some(Difference {
                            step: None,
                            place: format!("{word} on server {server}"),
                            reference: (one, String::new()),
                            tried: (other, String::new()),
                        }));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Runs what is meant to differ; what the reference made of it, or how ours was not as the table
    /// has it.
    pub fn run_deliberate(
        &mut self,
        deliberate: &Deliberate,
        asked: bool,
    ) -> Result<String, String> {
        let script = deliberate.script();
        let tried = alone(&script, &mut self.tried).map_err(|error| error.to_string())?;
        deliberate.check(&tried.transcript)?;
        if !asked {
            return Ok("Java was not asked".to_owned());
        }
        Ok(match alone(&script, &mut self.reference) {
            Ok(reference) => match self.compare(&reference, &tried) {
                Some(_) => "Java differs".to_owned(),
                None => "Java did the same this time".to_owned(),
            },
            Err(error) => format!("Java cannot be asked further: {error}"),
        })
    }

    fn compare(&self, reference: &Ran, tried: &Ran) -> Option<Difference> {
        let mut one = Normal::new(&self.reference, &reference.transcript);
        let mut other = Normal::new(&self.tried, &tried.transcript);
        let (stories, others) = (one.stories(), other.stories());
        let labels: BTreeSet<_> = stories.keys().chain(others.keys()).copied().collect();
        let mut found: Option<Difference> = None;
        let empty = Vec::new();
        for label in labels {
            let story = stories.get(&label).unwrap_or(&empty);
            let others = others.get(&label).unwrap_or(&empty);
            // In which step something comes that nobody has asked for is a matter of time.
            let same = story.iter().zip(others).take_while(|(a, b)| a.1 == b.1);
            let index = same.count();
            if index == story.len().max(others.len()) {
                continue;
            }
            let at = |story: &[(usize, String)]| story.get(index).cloned();
            let (a, b) = (at(story), at(others));
            let step = a.as_ref().or(b.as_ref()).map(|(step, _)| *step);
            let step = step.min(b.as_ref().or(a.as_ref()).map(|(step, _)| *step));
            if found.as_ref().is_none_or(|found| step < found.step) {
                let bytes = |ran: &Ran| bytes(&ran.transcript, label, step);
                let text = |line: Option<(usize, String)>| {
                    line.map_or_else(|| "nothing".to_owned(), |(_, line)| line)
                };
                found = Some(Difference {
                    step,
                    place: format!("connection {label}"),
                    reference: (text(a), bytes(reference)),
                    tried: (text(b), bytes(tried)),
                });
            }
        }
        found.or_else(|| trees(&mut one, reference, &mut other, tried))
    }
}

/// What came of a script on one service.
struct Ran {
    transcript: Transcript,
    /// By server, all znodes with the bodies of their getData and getACL.
    trees: Vec<BTreeMap<Vec<u8>, Node>>,
}

fn one(script: &Script, target: &mut Target) -> io::Result<Ran> {
    let transcript = drive::run(script, target)?;
    target.rest()?;
    let servers = 0..target.members.len();
    let trees = servers
        .map(|server| target.tree(server))
        .collect::<Result<_, _>>()?;
    Ok(Ran { transcript, trees })
}

/// Runs a script on one service, and cleans up.
fn alone(script: &Script, target: &mut Target) -> io::Result<Ran> {
    let ran = one(script, target)?;
    target.clean(&sessions(&ran))?;
    Ok(ran)
}

/// All sessions that a script was given.
fn sessions(ran: &Ran) -> Vec<i64> {
    let sessions = ran.transcript.given.sessions.values();
    Vec::from_iter(sessions.copied().collect::<BTreeSet<i64>>())
}

fn named<T>(name: &str, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::other(format!("{name}: {error}")))
}

fn trees(
    one: &mut Normal<'_>,
    reference: &Ran,
    other: &mut Normal<'_>,
    tried: &Ran,
) -> Option<Difference> {
    for (server, (a, b)) in reference.trees.iter().zip(&tried.trees).enumerate() {
        let paths: BTreeSet<&Vec<u8>> = a.keys().chain(b.keys()).collect();
        for path in paths {
            let line = |normal: &mut Normal<'_>, node: Option<&Node>| {
                node.map_or_else(
                    || "no such znode".to_owned(),
                    |node| {
                        let body = |body: &[u8]| [&[0; 16], body].concat();
                        let data = normal.line(&What::Frame(Kind::Reply(4), body(&node.data)));
                        let acl = normal.line(&What::Frame(Kind::Reply(6), body(&node.acl)));
                        format!("{data} {acl}")
                    },
                )
            };
            let bytes = |node: Option<&Node>| {
                node.map(|node| format!("{} {}", hex::encode(&node.data), hex::encode(&node.acl)))
                    .unwrap_or_default()
            };
            let (ours, theirs) = (line(one, a.get(path)), line(other, b.get(path)));
            if ours != theirs {
                return Some(Difference {
                    step: None,
                    place: format!("{} on server {server}", path.escape_ascii()),
                    reference: (ours, bytes(a.get(path))),
                    tried: (theirs, bytes(b.get(path))),
                });
            }
        }
    }
    None
}

/// All that a connection has seen in a step, in hexadecimal, a line for each frame.
fn bytes(transcript: &Transcript, label: usize, step: Option<usize>) -> String {
    let seen = transcript.seen.get(&label).into_iter().flatten();
    let lines = seen
        .filter(|seen| Some(seen.step) == step)
        .map(|seen| match &seen.what {
            What::Frame(_, frame) => hex::encode(frame),
            other => format!("{other:?}"),
        });
    Vec::from_iter(lines).join("\n        ")
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => writeln!(formatter, "{}, step {step}:", self.place)?,
            None => writeln!(formatter, "{}, at the end:", self.place)?,
        }
        for (name, (text, bytes)) in [("Apache", &self.reference), ("ours", &self.tried)] {
            writeln!(formatter, "   {name:6} {text}\n        {bytes}")?;
        }
        Ok(())
    }
}
