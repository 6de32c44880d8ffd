//! Two services side by side, and what differs between them after a script.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use crate::deliberate::Deliberate;
use crate::drive::{self, Transcript, What};
use crate::normal::Normal;
use crate::reader::Kind;
use crate::script::Script;
use crate::target::{Node, Target};
use crate::words::{self, Words};

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
        let (reference, tried) = std::thread::scope(|scope| {
            let reference = scope.spawn(|| one(script, &mut self.reference));
            let tried = one(script, &mut self.tried);
            let reference = reference.join();
            (reference.expect("a thread that does not panic"), tried)
        });
        let (reference, tried) = (named("the reference", reference)?, named("ours", tried)?);
        Ok(self.compare(&reference, &tried))
    }

    /// Runs what is meant to differ; what the reference made of it, or how ours was not as the table
    /// has it.
    pub fn run_deliberate(
        &mut self,
        deliberate: &Deliberate,
        asked: bool,
    ) -> Result<String, String> {
        let script = deliberate.script();
        let tried = one(&script, &mut self.tried).map_err(|error| error.to_string())?;
        deliberate.check(&tried.transcript)?;
        if !asked {
            return Ok("Java was not asked".to_owned());
        }
        Ok(match one(&script, &mut self.reference) {
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
            let same = story.iter().zip(others).take_while(|(a, b)| a == b);
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
        found
            .or_else(|| trees(&mut one, reference, &mut other, tried))
            .or_else(|| all_words(reference, tried))
    }
}

/// What came of a script on one service.
struct Ran {
    transcript: Transcript,
    /// By server, all znodes with the bodies of their getData and getACL.
    trees: Vec<BTreeMap<Vec<u8>, Node>>,
    /// By server, the four-letter words.
    words: Vec<Words>,
}

fn one(script: &Script, target: &mut Target) -> io::Result<Ran> {
    let transcript = drive::run(script, target)?;
    target.rest()?;
    let servers = 0..target.members.len();
    let trees = servers
        .map(|server| target.tree(server))
        .collect::<Result<_, _>>()?;
    let asked = target.members.iter();
    let words = asked
        .map(|member| words::ask(member.address, &transcript.given.sessions))
        .collect::<Result<_, _>>()?;
    let sessions: BTreeSet<i64> = transcript.given.sessions.values().copied().collect();
    target.clean(&Vec::from_iter(sessions))?;
    Ok(Ran {
        transcript,
        trees,
        words,
    })
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

fn all_words(reference: &Ran, tried: &Ran) -> Option<Difference> {
    let pairs = reference.words.iter().zip(&tried.words).enumerate();
    let mut differences = pairs.filter_map(|(server, (one, other))| {
        let (word, one, other) = words::compare(one, other)?;
        Some(Difference {
            step: None,
            place: format!("{word} on server {server}"),
            reference: (one, String::new()),
            tried: (other, String::new()),
        })
    });
    differences.next()
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
