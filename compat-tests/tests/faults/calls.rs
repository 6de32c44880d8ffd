//! Every system call that touches the disk fails at its k-th time, for every k there is, or the
//! process is killed there: at the first start on a new folder, under writes, at snapshots and new
//! logs, and at the end.
//!
//! Expected: the server ends, or goes on as if nothing were; afterwards it starts, with every
//! write it has acknowledged. A failed sync of the log ends it with 1; the sync is not tried again
//! and nobody is told anything any more.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use compat_tests::faults::seeded;
use compat_tests::faults::tracer::{Attached, Fault, Injection, Trace, needs_strace, wrapper};
use compat_tests::load::Written;
use compat_tests::server::{Kind, Server, Setup};
use compat_tests::suite::{Skip, rounds, say};
use compat_tests::wire::Client;
use rand::seq::SliceRandom;
use rustix::process::Signal;

/// Writes of one run; `SNAP_COUNT` lets several snapshots and new logs come among them.
const WRITES: usize = 40;
const SNAP_COUNT: &str = "14";

/// How long a server may take to end once it has been told to, or has failed.
const END: Duration = Duration::from_secs(15);

/// Errors that each call is made to return.
const ERRORS: [(&str, &[&str]); 11] = [
    ("fsync", &["EIO", "ENOSPC"]),
    ("fdatasync", &["EIO", "ENOSPC"]),
    ("msync", &["EIO", "ENOSPC"]),
    ("rename", &["EIO", "ENOSPC"]),
    ("ftruncate", &["EIO"]),
    ("fallocate", &["ENOSPC", "EIO"]),
    ("openat", &["EIO", "EMFILE"]),
    ("pwrite64", &["ENOSPC", "EIO"]),
    ("pwritev", &["ENOSPC", "EIO"]),
    ("unlink", &["EIO"]),
    ("mkdir", &["ENOSPC"]),
];

/// The same for single files: calls that would be hidden behind those on others, or that do not
/// fail for the disk's sake on others.
const OF_FILES: [(&str, &str, &[&str]); 6] = [
    ("tmp.snapshot.0", "write", &["EIO", "ENOSPC"]),
    ("tmp.log.1", "mmap", &["ENOMEM", "ENODEV"]),
    ("tmp.log.1", "pwrite64", &["EIO", "ENOSPC"]),
    // Of the thread that writes zeros ahead.
    ("log.1", "pwrite64", &["EIO", "ENOSPC"]),
    ("log.1", "fdatasync", &["EIO"]),
    ("log.1", "openat", &["EIO"]),
];

/// All threads from the start on.
pub(crate) fn from_the_start() -> Result<(), Skip> {
    needs_strace()?;
    let sweep = Sweep::new()?;
    let counts = sweep.counts(&sweep.home.path().join("counted"))?;
    let mut plan = Vec::new();
    for (call, errors) in ERRORS {
        plan.extend(injections(call, errors, counts.get(call).copied(), None));
    }
    for (file, call, errors) in OF_FILES {
        plan.extend(injections(call, errors, Some(3), Some(file)));
    }
    sweep.run(plan, None)
}

/// The thread that takes snapshots, by itself: its calls come after those of the same name that
/// others make, of which the first would end the server.
pub(crate) fn of_snapshots() -> Result<(), Skip> {
    needs_strace()?;
    let sweep = Sweep::new()?;
    let mut plan = Vec::new();
    for (call, errors) in [("write", &["ENOSPC", "EIO"][..])].iter().chain(&ERRORS) {
        // What the thread does for the few snapshots of a run.
        plan.extend(injections(call, errors, Some(6), None));
    }
    sweep.run(plan, Some("Snapshot Thread"))
}

fn injections(
    call: &str,
    errors: &[&'static str],
    times: Option<usize>,
    file: Option<&'static str>,
) -> Vec<Injection> {
    let faults = errors.iter().map(|error| Fault::Error(error));
    let faults: Vec<Fault> = faults.chain([Fault::Kill]).collect();
    let mut all = Vec::new();
    for when in 1..=times.unwrap_or_default() {
        for fault in &faults {
            all.push(Injection {
                call: call.to_owned(),
                fault: fault.clone(),
                when: Some(when),
                file,
            });
        }
    }
    all
}

struct Sweep {
    home: tempfile::TempDir,
    random: std::cell::RefCell<rand::rngs::StdRng>,
}

/// What has become of the servers.
#[derive(Default)]
struct Ends {
    ends: BTreeMap<String, usize>,
    acknowledged: usize,
    syncs: usize,
    /// Injections whose call never came.
    missed: usize,
}

impl Sweep {
    fn new() -> Result<Self, Skip> {
        Ok(Self {
            home: tempfile::tempdir().expect("a temporary folder"),
            random: std::cell::RefCell::new(seeded()),
        })
    }

    fn setup(&self, folder: &Path) -> Setup {
        Setup::new(Kind::Oxkeeper, folder)
            .line("snapCount", SNAP_COUNT)
            .line("preAllocSize", "1024")
    }

    /// How often each call is made in a run without faults.
    fn counts(&self, folder: &Path) -> Result<BTreeMap<String, usize>, Skip> {
        let out = folder.join("trace");
        let setup = self.setup(folder);
        let server = setup
            .clone()
            .wrapper(&words(&wrapper(None, folder, &out)))
            .start()?;
        let written = Written::one_by_one(server.address(), 0, WRITES);
        assert_eq!(written.acknowledged(), WRITES, "nothing fails yet");
        let pid = server.pid();
        server.terminate();
        Ok(Trace::read(&out, pid).counts())
    }

    /// Runs a plan, or as much of it, in random order, as is asked for.
    fn run(&self, mut plan: Vec<Injection>, thread: Option<&str>) -> Result<(), Skip> {
        let planned = plan.len();
        plan.shuffle(&mut self.random.borrow_mut());
        plan.truncate(rounds("OX_INJECTIONS", 12));
        let mut ends = Ends::default();
        for (index, injection) in plan.iter().enumerate() {
            let folder = self.home.path().join(format!("run-{index}"));
            self.one(&folder, injection, thread, &mut ends)?;
            std::fs::remove_dir_all(&folder).expect("a folder of ours");
        }
        say(format!(
            "   {} of {planned} injected failures ({} syncs of the log among them, {} calls never \
             came), {} acknowledged writes, 0 lost, 0 starts refused; the server ended with {:?}",
            plan.len(),
            ends.syncs,
            ends.missed,
            ends.acknowledged,
            ends.ends
        ));
        Ok(())
    }

    fn one(
        &self,
        folder: &Path,
        injection: &Injection,
        thread: Option<&str>,
        ends: &mut Ends,
    ) -> Result<(), Skip> {
        let out = folder.join("trace");
        let setup = self.setup(folder);
        let traced = match thread {
            None => {
                setup
                    .clone()
                    .wrapper(&words(&wrapper(Some(injection), &setup.snapshots(), &out)))
            }
            Some(_) => setup.clone(),
        };
        let (written, end) = match traced.try_start()? {
            Err(refused) => (None, format!("exit {:?} at its start", refused.code)),
            Ok(server) => {
                let attached = thread.map(|thread| {
                    Attached::to(&server, thread, injection, &setup.snapshots(), &out)
                });
                let written = Written::one_by_one(server.address(), 0, WRITES);
                let end = self.end(
                    server,
                    injection,
                    &written,
                    thread.is_none().then_some(&*out),
                    ends,
                );
                drop(attached);
                (Some(written), end)
            }
        };
        *ends.ends.entry(end).or_default() += 1;
        // Without faults it starts, whatever has become of the files.
        let server = setup.start()?;
        if let Some(written) = written {
            written.check(&mut Client::connect(server.address()));
            ends.acknowledged += written.acknowledged();
        }
        server.kill();
        Ok(())
    }

    /// Lets a server come to its end, and says to which.
    fn end(
        &self,
        server: Server,
        injection: &Injection,
        written: &Written,
        out: Option<&Path>,
        ends: &mut Ends,
    ) -> String {
        let pid = server.pid();
        if written.acknowledged() == WRITES {
            server.signal(Signal::TERM);
        }
        let (status, log) = server.wait(END);
        let Some(status) = status else {
            panic!(
                "{injection}: the server hangs after {} writes:\n{log}",
                written.acknowledged()
            );
        };
        assert!(!log.contains("panicked"), "{injection}:\n{log}");
        let Some(out) = out else {
            return status.to_string();
        };
        let trace = Trace::read(out, pid);
        ends.missed += usize::from(trace.injected().is_none() && injection.fault != Fault::Kill);
        if trace.failed_sync_of_log() {
            ends.syncs += 1;
            assert_eq!(status.code(), Some(1), "{injection}:\n{log}");
            let wrong = trace.after_failed_sync();
            assert!(
                wrong.is_empty(),
                "{injection}: after {:?}: {wrong:#?}",
                trace.injected()
            );
        }
        status.to_string()
    }
}

fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}
