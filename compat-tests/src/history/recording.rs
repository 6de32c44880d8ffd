//! The threads that write, each with a session of its own that roams over all servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::recorder::Recorder;
use super::watcher::{Watched, watch};
use super::{History, Lost, Operation, Outcome, What, Written};
use crate::roaming::{Answer, Roaming};
use crate::wire::{Fields, Record, create, op};

/// Pause between a writer's requests: the load is to leave the machine to the servers.
const PACE: Duration = Duration::from_millis(5);

/// A writer's requests come in turns of so many, after each of which it goes to another server.
const TURN: u64 = 40;

/// A load at work.
#[derive(Debug)]
pub struct Recording {
    recorder: Arc<Recorder>,
    stop_writers: Arc<AtomicBool>,
    stop_watchers: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Written>>,
    watchers: Vec<JoinHandle<Watched>>,
}

impl Recording {
    /// Starts writers on all servers and one watcher on each; their folders lie below a new node
    /// `/history-<run>`.
    #[track_caller]
    pub fn start(servers: &[SocketAddr], run: usize, writers: usize, timeout_ms: i32) -> Self {
        let root = format!("/history-{run}");
        let recorder = Recorder::new(servers);
        let mut client = Roaming::open(servers, 0, timeout_ms, &recorder);
        let folders: Vec<String> = (0..writers)
            .map(|index| format!("{root}/{index}"))
            .collect();
        client.insist(op::CREATE, &create(&root, b"", 0));
        for folder in &folders {
            client.insist(op::CREATE, &create(folder, b"", 0));
            client.insist(op::CREATE, &create(&counter(folder), b"0", 0));
        }
        client.close();

        let (stop_writers, stop_watchers) = (Arc::<AtomicBool>::default(), Arc::default());
        let acknowledged = Arc::<AtomicU64>::default();
        let watchers = servers
            .iter()
            .enumerate()
            .map(|(index, server)| {
                let (server, stop) = (*server, Arc::clone(&stop_watchers));
                let path = counter(&folders[index % folders.len()]);
                let recorder = Arc::clone(&recorder);
                thread::spawn(move || watch(server, &path, timeout_ms, &stop, &recorder))
            })
            .collect();
        let writers = folders
            .into_iter()
            .enumerate()
            .map(|(index, folder)| {
                let writer = Writer {
                    session: Roaming::open(servers, index % servers.len(), timeout_ms, &recorder),
                    recorder: Arc::clone(&recorder),
                    servers: servers.to_vec(),
                    folder,
                    acknowledged: Arc::clone(&acknowledged),
                    written: Written {
                        operations: Vec::new(),
                        lost: Vec::new(),
                        went_back: Vec::new(),
                        connections: 0,
                        session: None,
                    },
                };
                let stop = Arc::clone(&stop_writers);
                thread::spawn(move || writer.write(&stop))
            })
            .collect();
        Self {
            recorder,
            stop_writers,
            stop_watchers,
            acknowledged,
            writers,
            watchers,
        }
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends the load; the writers' sessions stay open until `History::close_sessions`.
    pub fn finish(self) -> History {
        self.stop_writers.store(true, Ordering::Relaxed);
        let written = self
            .writers
            .into_iter()
            .map(|writer| writer.join().expect("a writer panicked"))
            .collect();
        // The watchers look for the last time when nothing is written any more.
        self.stop_watchers.store(true, Ordering::Relaxed);
        let watched = self
            .watchers
            .into_iter()
            .map(|watcher| watcher.join().expect("a watcher panicked"))
            .collect();
        History {
            written,
            watched,
            recorder: self.recorder,
        }
    }
}

/// The node that a writer sets again and again.
fn counter(folder: &str) -> String {
    format!("{folder}/counter")
}

struct Writer {
    recorder: Arc<Recorder>,
    servers: Vec<SocketAddr>,
    session: Roaming,
    folder: String,
    acknowledged: Arc<AtomicU64>,
    written: Written,
}

impl Writer {
    fn write(mut self, stop: &AtomicBool) -> Written {
        let mut index = 0;
        while !stop.load(Ordering::Relaxed) {
            index += 1;
            self.ask(index);
            if index % TURN == 0 {
                let other = usize::try_from(index / TURN).expect("a small number");
                self.session
                    .move_to((self.session.at() + other) % self.servers.len());
            }
            thread::sleep(PACE);
        }
        let Self {
            session,
            mut written,
            ..
        } = self;
        keep_account(&mut written, &session);
        written.session = Some(session);
        written
    }

    /// Sends the request at a place of the sequence, and notes what became of it.
    fn ask(&mut self, index: u64) {
        let what = self.what(index);
        let session = self.session.session;
        let (opcode, body) = request(&what);
        let invoked = Instant::now();
        let answer = self.session.call(opcode, &body);
        let returned = Instant::now();
        let (what, outcome) = match answer {
            Answer::Reply(reply) if reply.error == 0 => {
                (with_result(what, &reply.body), Outcome::Done(reply.zxid))
            }
            Answer::Reply(reply) => (what, Outcome::Refused(reply.error)),
            Answer::Unknown(_) => (what, Outcome::Unknown),
            Answer::Expired(silence) => {
                self.lose_session(silence);
                (what, Outcome::Unknown)
            }
        };
        let operation = Operation {
            session,
            what,
            invoked,
            returned,
            outcome,
        };
        if operation.is_acknowledged_write() {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self.written.operations.push(operation);
    }

    fn what(&self, index: u64) -> What {
        let path = |name: &str, index: u64| format!("{}/{name}{index}", self.folder);
        let create = |name: &str, ephemeral| What::Create {
            path: path(name, index),
            data: path(name, index).into_bytes(),
            ephemeral,
        };
        match index % 16 {
            1 | 9 => create("n", false),
            2 | 6 | 10 | 14 => What::Set {
                path: counter(&self.folder),
                value: index,
            },
            3 | 11 => create("e", true),
            4 => What::CreatePair([path("a", index), path("b", index)]),
            // Half of the ephemerals stay until their session ends.
            12 => What::Delete {
                path: path("e", index - 9),
            },
            _ => What::Read {
                path: counter(&self.folder),
                value: None,
            },
        }
    }

    fn lose_session(&mut self, silence: Duration) {
        let timeout_ms = self.session.timeout_ms;
        self.written.lost.push(Lost {
            session: self.session.session,
            timeout: Duration::from_millis(u64::from(timeout_ms.unsigned_abs())),
            silence,
        });
        let next = Roaming::open(&self.servers, self.session.at(), timeout_ms, &self.recorder);
        let old = std::mem::replace(&mut self.session, next);
        keep_account(&mut self.written, &old);
    }
}

fn keep_account(written: &mut Written, session: &Roaming) {
    written.went_back.extend(session.went_back.iter().cloned());
    written.connections += session.connections;
}

fn request(what: &What) -> (i32, Fields) {
    match what {
        What::Create {
            path,
            data,
            ephemeral,
        } => (op::CREATE, create(path, data, i32::from(*ephemeral))),
        What::CreatePair(paths) => {
            let part = |path: &str| {
                let header = Fields::new().int(op::CREATE).boolean(false).int(-1);
                header.raw(&create(path, path.as_bytes(), 0).0)
            };
            let end = Fields::new().int(-1).boolean(true).int(-1);
            (
                op::MULTI,
                part(&paths[0]).raw(&part(&paths[1]).0).raw(&end.0),
            )
        }
        What::Set { path, value } => {
            let data = value.to_string();
            let body = Fields::new().string(path).buffer(Some(data.as_bytes()));
            (op::SET_DATA, body.int(-1))
        }
        What::Delete { path } => (op::DELETE, Fields::new().string(path).int(-1)),
        What::Read { path, .. } => (op::GET_DATA, Fields::new().string(path).boolean(false)),
    }
}

/// The value that a read has found; nothing changes for other requests.
fn with_result(what: What, body: &[u8]) -> What {
    match what {
        What::Read { path, .. } => {
            let data = Record(body).buffer().unwrap_or_default();
            let text = String::from_utf8_lossy(data).into_owned();
            let value = text.parse().ok();
            What::Read { path, value }
        }
        What::Create { .. } | What::CreatePair(_) | What::Set { .. } | What::Delete { .. } => what,
    }
}
