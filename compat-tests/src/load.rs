//! Writers that pipeline requests until the server dies, and what must be there afterwards.
//!
//! Each writer has its own folder and sends a fixed sequence of writes over one connection. A
//! connection's writes are executed in order, so after any crash its folder must look as after
//! some first part of the sequence: no shorter than what was acknowledged, no longer than what
//! was sent. That catches a lost write, a reordered one, and a multi done by half.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::wire::{Client, Fields, op};

/// Requests a writer keeps in flight.
const WINDOW: usize = 32;

/// Writers at work.
pub struct Load {
    writers: Vec<JoinHandle<Written>>,
    acknowledged: Arc<AtomicUsize>,
}

/// What one writer did before its connection broke.
#[derive(Clone, Debug)]
pub struct Written {
    folder: String,
    /// Whether the folder and the counter in it were acknowledged; without, nothing was sent.
    prepared: bool,
    acknowledged: usize,
    sent: usize,
    /// The highest zxid a reply carried.
    pub zxid: i64,
}

/// The contents of a writer's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents {
    names: BTreeSet<String>,
    /// Of the node `counter`: its data, and how often it was set.
    counter: (Vec<u8>, i32),
}

impl Load {
    /// Starts writers, each with a new folder below `/`; `run` makes the names unique.
    #[track_caller]
    pub fn start(address: SocketAddr, run: usize, writers: usize) -> Self {
        let total = Arc::<AtomicUsize>::default();
        let writers = (0..writers).map(|writer| {
            let folder = format!("/load-{run}-{writer}");
            let mut client = Client::connect(address);
            client.create(&folder, b"", 0);
            client.create(&format!("{folder}/counter"), b"", 0);
            let total = Arc::clone(&total);
            let mut written = Written::new(folder);
            written.prepared = true;
            thread::spawn(move || {
                written.write(&mut client, WINDOW, usize::MAX, &total);
                written
            })
        });
        Self {
            writers: writers.collect(),
            acknowledged: total,
        }
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits for all connections to break: kill the server first.
    pub fn finish(self) -> Vec<Written> {
        self.writers
            .into_iter()
            .map(|writer| writer.join().expect("a writer panicked"))
            .collect()
    }
}

/// The write at a place of the sequence: creates, a set, a delete, a multi.
fn request(folder: &str, index: usize) -> (i32, Fields) {
    match index % 8 {
        5 => {
            let data = index.to_string();
            let path = format!("{folder}/counter");
            (
                op::SET_DATA,
                Fields::new()
                    .string(&path)
                    .buffer(Some(data.as_bytes()))
                    .int(-1),
            )
        }
        6 => {
            let path = format!("{folder}/n{}", index - 3);
            (op::DELETE, Fields::new().string(&path).int(0))
        }
        7 => {
            let part =
                |name: &str| {
                    Fields::new().int(op::CREATE).boolean(false).int(-1).raw(
                        &crate::wire::create(&format!("{folder}/m{index}{name}"), b"multi", 0).0,
                    )
                };
            let end = Fields::new().int(-1).boolean(true).int(-1);
            (op::MULTI, part("a").raw(&part("b").0).raw(&end.0))
        }
        _ => (
            op::CREATE,
            crate::wire::create(&format!("{folder}/n{index}"), &[b'x'; 100], 0),
        ),
    }
}

impl Contents {
    fn after_one_more(&mut self, index: usize) {
        match index % 8 {
            5 => self.counter = (index.to_string().into_bytes(), self.counter.1 + 1),
            6 => {
                self.names.remove(&format!("n{}", index - 3));
            }
            7 => {
                self.names.insert(format!("m{index}a"));
                self.names.insert(format!("m{index}b"));
            }
            _ => {
                self.names.insert(format!("n{index}"));
            }
        }
    }
}

impl Written {
    fn new(folder: String) -> Self {
        Self {
            folder,
            prepared: false,
            acknowledged: 0,
            sent: 0,
            zxid: 0,
        }
    }

    /// Sends so many writes, each when the one before it has been answered, and less if the
    /// connection breaks, or there is none.
    pub fn one_by_one(address: SocketAddr, run: usize, writes: usize) -> Self {
        let mut written = Self::new(format!("/load-{run}"));
        let Ok(mut client) = Client::handshake(address, 0, &[0; 16], 30_000) else {
            return written;
        };
        written.prepared = written.prepare(&mut client).is_ok();
        if written.prepared {
            written.write(&mut client, 1, writes, &AtomicUsize::new(0));
        }
        written
    }

    fn prepare(&self, client: &mut Client) -> std::io::Result<()> {
        for path in [self.folder.clone(), format!("{}/counter", self.folder)] {
            client.send(op::CREATE, &crate::wire::create(&path, b"", 0));
            let reply = client.reply()?;
            assert_eq!(reply.error, 0, "create {path}");
        }
        Ok(())
    }

    /// Sends writes until the connection breaks or so many are acknowledged.
    fn write(&mut self, client: &mut Client, window: usize, most: usize, total: &AtomicUsize) {
        while self.acknowledged < most {
            while self.sent < most.min(self.acknowledged + window) {
                let (opcode, body) = request(&self.folder, self.sent);
                client.send(opcode, &body);
                self.sent += 1;
            }
            let Ok(reply) = client.reply() else {
                return;
            };
            assert_eq!(
                reply.error, 0,
                "write {} of {}",
                self.acknowledged, self.folder
            );
            self.acknowledged += 1;
            total.fetch_add(1, Ordering::Relaxed);
            self.zxid = reply.zxid;
        }
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// Panics unless the folder looks as after a first part of the sequence that is neither
    /// shorter than what was acknowledged nor longer than what was sent.
    #[track_caller]
    pub fn check(&self, client: &mut Client) {
        if !self.prepared {
            return;
        }
        let mut names: BTreeSet<String> = client.children(&self.folder).into_iter().collect();
        assert!(names.remove("counter"), "{}: no counter", self.folder);
        let (data, stat) = client
            .get(&format!("{}/counter", self.folder))
            .expect("just seen");
        let found = Contents {
            names,
            counter: (data.unwrap_or_default(), stat.version),
        };

        let mut wanted = Contents::default();
        (0..self.acknowledged).for_each(|index| wanted.after_one_more(index));
        let mut candidates = vec![wanted.clone()];
        for index in self.acknowledged..self.sent {
            wanted.after_one_more(index);
            candidates.push(wanted.clone());
        }
        if !candidates.contains(&found) {
            let least = &candidates[0];
            panic!(
                "{}: {} acknowledged, {} sent; lost {:?}, counter {:?}, at least {:?} expected",
                self.folder,
                self.acknowledged,
                self.sent,
                least
                    .names
                    .difference(&found.names)
                    .take(10)
                    .collect::<Vec<_>>(),
                found.counter,
                least.counter,
            );
        }
    }
}
