//! System calls that fail, one at a time: `strace` in front of a server, or on one of its threads.
//!
//! `strace` counts the calls of each thread by itself: "the third fsync" is that of every thread
//! which gets so far. What it has written tells afterwards what the server did behind a failure.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::run;
use crate::cache;
use crate::server::{LOOK, Server};
use crate::suite::Skip;

/// How long `strace` may take to be there, and to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is done to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It returns this error and has no effect.
    Error(&'static str),
    /// The process is killed when it enters the call.
    Kill,
    /// It takes so many microseconds longer.
    Delay(u64),
}

/// Which calls, and what of them.
#[derive(Clone, Debug)]
pub struct Injection {
    /// Name of the call, or several with commas.
    pub call: String,
    /// What happens to it.
    pub fault: Fault,
    /// In which call of a thread, from 1; `None` is every one.
    pub when: Option<usize>,
    /// Only calls that have to do with this file among the server's data.
    pub file: Option<&'static str>,
}

impl std::fmt::Display for Injection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            call, fault, when, ..
        } = self;
        let when = when.map_or("every".to_owned(), |when| format!("#{when}"));
        write!(formatter, "{when} {call}: {fault:?}")?;
        self.file
            .map_or(Ok(()), |name| write!(formatter, " on {name}"))
    }
}

impl Injection {
    /// The words after `strace` but for what is to be traced; also what is sent to clients is
    /// written down.
    fn words(&self, data: &Path, out: &Path) -> Vec<String> {
        let Self { call, fault, .. } = self;
        let what = match fault {
            Fault::Error(name) => format!("error={name}"),
            Fault::Kill => "signal=KILL".to_owned(),
            Fault::Delay(microseconds) => format!("delay_enter={microseconds}"),
        };
        let when = self
            .when
            .map_or(String::new(), |when| format!(":when={when}"));
        let mut words: Vec<String> = ["-yy", "-q", "-o"].map(str::to_owned).into();
        words.push(out.display().to_string());
        words.extend(["-e".to_owned(), format!("trace={TRACED},sendto")]);
        words.extend(["-e".to_owned(), format!("inject={call}:{what}{when}")]);
        if let Some(name) = self.file {
            words.extend(["-P".to_owned(), data.join(name).display().to_string()]);
        }
        words
    }
}

/// The calls that change what is on a disk, and those that open files.
const TRACED: &str = "fsync,fdatasync,msync,rename,ftruncate,fallocate,openat,pwrite64,pwritev,\
                      write,unlink,unlinkat,mkdir,mmap,flock";

/// Skips where no process can be traced.
pub fn needs_strace() -> Result<(), Skip> {
    cache::needs_command("strace")?;
    match run(&["strace", "-o", "/dev/null", "true"]) {
        Ok(_) => Ok(()),
        Err(error) => Err(Skip(format!("no process can be traced here: {error}"))),
    }
}

/// Words to put in front of a server's command, of which all threads are traced. The server is
/// still our own child: `strace` hides behind it. `data` is the folder of its snapshots and logs.
pub fn wrapper(injection: Option<&Injection>, data: &Path, out: &Path) -> Vec<String> {
    let mut words: Vec<String> = ["strace", "-D", "-f"].map(str::to_owned).into();
    match injection {
        Some(injection) => words.extend(injection.words(data, out)),
        None => {
            let out = out.display().to_string();
            let traced = format!("trace={TRACED}");
            words.extend(["-yy", "-q", "-o", &out, "-e", &traced].map(str::to_owned));
        }
    }
    words
}

/// `strace` on one thread of a server that runs.
#[derive(Debug)]
pub struct Attached(Child);

impl Attached {
    /// Attaches to the thread of this name.
    #[track_caller]
    pub fn to(
        server: &Server,
        thread: &str,
        injection: &Injection,
        data: &Path,
        out: &Path,
    ) -> Self {
        let mut task = 0;
        wait_until("the thread is there", || {
            task = thread_id(server.pid(), thread).unwrap_or_default();
            task != 0
        });
        let child = Command::new("strace")
            .args(["-p", &task.to_string()])
            .args(injection.words(data, out))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace is there");
        let status = format!("/proc/{}/task/{task}/status", server.pid());
        wait_until("the thread is traced", || {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let tracer = text
                .lines()
                .find_map(|line| line.strip_prefix("TracerPid:"));
            tracer.is_some_and(|pid| pid.trim() != "0")
        });
        Self(child)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // An error means that it has ended, with its thread.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn thread_id(pid: u32, name: &str) -> Option<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("our own child");
    let mut threads = threads.flatten();
    let found = threads.find(|thread| {
        let comm = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        comm.trim() == name
    });
    found?.file_name().to_string_lossy().parse().ok()
}

/// What `strace` has written.
#[derive(Clone, Debug)]
pub struct Trace {
    lines: Vec<String>,
}

/// The calls that make a file durable.
const SYNCS: [&str; 3] = ["fsync(", "fdatasync(", "msync("];

impl Trace {
    /// Of a server that has ended.
    #[track_caller]
    pub fn read(out: &Path, pid: u32) -> Self {
        let pid = pid.to_string();
        let end = |line: &str| {
            let rest = line.strip_prefix(&pid).unwrap_or_default();
            rest.trim_start().starts_with("+++ ")
        };
        let mut text = String::new();
        wait_until("strace is done", || {
            text = String::from_utf8_lossy(&fs::read(out).unwrap_or_default()).into_owned();
            text.lines().any(end)
        });
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        // A call during which others were seen stands in two pieces: the second has its result.
        let mut begun: BTreeMap<String, String> = BTreeMap::new();
        let mut lines = Vec::new();
        for line in text.lines() {
            let (thread, call) = line.split_once(' ').unwrap_or((line, ""));
            let call = call.trim_start();
            if let Some(begin) = call.strip_suffix(" <unfinished ...>") {
                begun.insert(thread.to_owned(), begin.to_owned());
            } else if let Some((_, end)) = call.split_once(" resumed>") {
                let begin = begun.remove(thread).unwrap_or_default();
                lines.push(format!("{thread} {begin}{end}"));
            } else {
                lines.push(format!("{thread} {call}"));
            }
        }
        Self { lines }
    }

    /// How often each call was made, by the thread that made it most often.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for line in &self.lines {
            if let Some((thread, rest)) = line.split_once(' ')
                && let Some((call, _)) = rest.split_once('(')
            {
                *by_thread.entry((call, thread)).or_default() += 1;
            }
        }
        let mut counts = BTreeMap::new();
        for ((call, _), count) in by_thread {
            let most = counts.entry(call.to_owned()).or_default();
            *most = count.max(*most);
        }
        counts
    }

    /// The first call that was made to fail.
    pub fn injected(&self) -> Option<&str> {
        self.first_injected().map(|at| self.lines[at].as_str())
    }

    fn first_injected(&self) -> Option<usize> {
        self.lines
            .iter()
            .position(|line| line.contains("(INJECTED)"))
    }

    /// Whether what failed was a sync of the log, or of the note of what of it is durable.
    pub fn failed_sync_of_log(&self) -> bool {
        self.injected().is_some_and(|line| {
            let of_log = line.contains("log.") || line.contains("oxkeeper.synced");
            SYNCS.iter().any(|call| line.contains(call)) && (of_log || line.contains("msync("))
        })
    }

    /// What the server did behind a failed sync that it must not do: try it again, or tell a
    /// client anything.
    pub fn after_failed_sync(&self) -> Vec<&str> {
        let Some(at) = self.first_injected() else {
            return Vec::new();
        };
        let failed = file(&self.lines[at]);
        let wrong = |line: &&String| {
            let again = SYNCS.iter().any(|call| line.contains(call)) && file(line) == failed;
            let told = line.contains("sendto(") && !line.contains("= -1");
            again || told
        };
        let behind = self.lines[at + 1..].iter();
        behind.filter(wrong).map(String::as_str).collect()
    }
}

/// The file of a call, as in `fsync(4</folder/file>)`; or the address, as in `msync(0x7f00, 20)`.
fn file(line: &str) -> Option<&str> {
    let (_, arguments) = line.split_once('(')?;
    match arguments.split_once('<') {
        Some((_, rest)) => rest.split_once('>').map(|(file, _)| file),
        None => arguments.split_once(',').map(|(address, _)| address),
    }
}

#[track_caller]
fn wait_until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "not after {PATIENCE:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
10 fsync(4</d/version-2>) = 0
11 fdatasync(5</d/version-2/log.1> <unfinished ...>
10 write(1</d/out>, \"x\", 1) = 1
11 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)
11 write(1</d/out>, \"x\", 1) = 1
10 +++ exited with 1 +++
";

    #[test]
    fn a_failed_sync_is_found_and_what_is_wrong_behind_it() {
        let trace = Trace::parse(TEXT);
        assert!(trace.failed_sync_of_log());
        assert_eq!(trace.after_failed_sync(), [""; 0]);
        let again = TEXT.replace(
            "11 write",
            "11 fdatasync(5</d/version-2/log.1>) = 0\n11 write",
        );
        assert_eq!(Trace::parse(&again).after_failed_sync().len(), 1);
        let told = TEXT.replace(
            "11 write",
            "10 sendto(9<TCP:[a->b]>, \"x\", 1) = 1\n11 write",
        );
        assert_eq!(Trace::parse(&told).after_failed_sync().len(), 1);
    }

    #[test]
    fn calls_are_counted_by_thread() {
        let counts = Trace::parse(TEXT).counts();
        assert_eq!((counts["fsync"], counts["write"]), (1, 1));
    }
}
