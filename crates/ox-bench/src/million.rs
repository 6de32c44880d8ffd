//! A million znodes: memory, start, and what a snapshot does to readers.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ox_client::Servers;
use tokio::task::LocalSet;

use crate::compare::quantile;
use crate::load::{self, histogram, rate, record};
use crate::report::{Report, median, say};
use crate::server::{Home, Kind, Server};
use crate::workload::{Numbers, Template};
use crate::{Error, Plan};

const ZNODES: u64 = 1_000_000;
const PREFIX: &str = "/f/n";
const WIDTH: usize = 7;

/// Bytes of anonymous memory that a znode may take.
const BYTES: f64 = 250.0;
/// What a start may take, with at most so many transactions to replay.
const START: Duration = Duration::from_millis(800);
const REPLAYED: i64 = 100_000;
/// Starts that are timed.
const STARTS: usize = 5;
/// Microseconds that a snapshot may add to the readers' p99, if half of it is less.
const SLOWER: f64 = 300.0;
/// Snapshots that are to be seen, and how long they may take to come.
const SNAPSHOTS: usize = 3;
const SNAPSHOTS_WITHIN: Duration = Duration::from_secs(60);

pub(crate) async fn run(
    plan: &Plan,
    kind: &Kind,
    data: &Path,
    report: &mut Report,
) -> Result<(), Error> {
    say(format!(
        "\n{ZNODES} znodes {PREFIX}0000123 with 100 bytes each"
    ));
    let home = Home::new(kind, data)?;
    let (server, _) = home.start(&[])?;
    let empty = server.memory("RssAnon")?;
    let begun = Instant::now();
    load::folder(&server.servers(), "/f").await?;
    load::fill(&server.servers(), PREFIX, WIDTH, ZNODES).await?;
    say(format!("created in {:.1} s", begun.elapsed().as_secs_f64()));
    let behind = settle(&server, &home.files()).await?;
    memory(&server, empty, "before a restart", report)?;
    server.stop()?;

    let server = starts(&home, behind, report)?;
    memory(&server, empty, "after a restart", report)?;
    server.stop()?;
    snapshots(plan, &home, report).await
}

fn memory(server: &Server, empty: u64, when: &str, report: &mut Report) -> Result<(), Error> {
    let anonymous = server.memory("RssAnon")?;
    let each = |bytes| rate(bytes, rate(ZNODES, 1.0));
    report.check(
        each(anonymous) <= BYTES,
        &format!("at most {BYTES} bytes of RssAnon per znode {when}"),
        format!(
            "{:.0} ({:.0} without the {:.0} MiB of an empty server)",
            each(anonymous),
            each(anonymous.saturating_sub(empty)),
            rate(empty, 1024.0 * 1024.0)
        ),
    );
    Ok(())
}

/// Waits until no snapshot is being written, and sets znodes until the newest one is near enough.
/// Answers how many transactions come after it.
async fn settle(server: &Server, files: &Path) -> Result<i64, Error> {
    const PATIENCE: Duration = Duration::from_secs(60);
    const LOOK: Duration = Duration::from_millis(100);
    let begun = Instant::now();
    loop {
        while is_being_written(files) {
            tokio::time::sleep(LOOK).await;
        }
        let behind = server.last_zxid()? - newest_snapshot(files);
        if behind <= REPLAYED {
            return Ok(behind);
        }
        if PATIENCE < begun.elapsed() {
            return Err(Error::Other(format!(
                "the newest snapshot stays {behind} transactions behind"
            )));
        }
        let stop = Rc::new(Cell::new(false));
        let seconds = Duration::from_secs(1);
        let writer = writer(server.servers(), stop.clone());
        let timer = async {
            tokio::time::sleep(seconds).await;
            stop.set(true);
        };
        tokio::join!(writer, timer).0?;
    }
}

/// The zxid in the name of the newest snapshot; 0 if there is none.
fn newest_snapshot(files: &Path) -> i64 {
    names(files)
        .iter()
        .filter_map(|name| name.strip_prefix("snapshot."))
        .filter_map(|rest| i64::from_str_radix(rest.split('.').next()?, 16).ok())
        .max()
        .unwrap_or(0)
}

fn is_being_written(files: &Path) -> bool {
    names(files)
        .iter()
        .any(|name| name.starts_with("tmp.snapshot."))
}

fn names(files: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(files) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Starts it some times; answers the last one.
fn starts(home: &Home, behind: i64, report: &mut Report) -> Result<Server, Error> {
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    loop {
        // Whatever else ran meanwhile, the files are in the page cache now.
        let bytes: usize = names(&home.files())
            .iter()
            .filter_map(|name| fs::read(home.files().join(name)).ok())
            .map(|file| file.len())
            .sum();
        let (server, took) = home.start(&[])?;
        times.push(took.as_secs_f64());
        cpu.push(server.cpu_seconds()?);
        if times.len() < STARTS {
            server.stop()?;
            continue;
        }
        say(format!(
            "starts: {times:.2?} s, of the CPU {cpu:.2?} s; {behind} transactions to replay, {} MiB \
             of files",
            bytes >> 20
        ));
        let middle = median(times);
        report.check(
            middle <= START.as_secs_f64(),
            &format!("from exec to the first srvr with a mode at most {START:?}"),
            format!("{middle:.2} s"),
        );
        return Ok(server);
    }
}

/// Readers beside a writer, with snapshots following one another.
async fn snapshots(plan: &Plan, home: &Home, report: &mut Report) -> Result<(), Error> {
    // One every 20,000 to 40,000 sets, so that there is time with and without.
    let (server, _) = home.start(&["zookeeper.snapCount=40000"])?;
    let servers = server.servers();
    read_for(&servers, plan.warm_up.min(Duration::from_secs(3)), None).await?;
    let watch = SnapshotWatch::new(home.files());
    let duration = plan.measure * 4;
    let (idle, busy) = read_for(&servers, duration, Some(&watch)).await?;
    let seen = watch.stop();
    server.stop()?;
    let goal = format!("a snapshot raises the readers' p99 by at most half or {SLOWER} us");
    if seen == 0 || busy.len() < 10_000 {
        report.skip(
            &goal,
            format!("{seen} snapshots were seen within {duration:?}"),
        );
        return Ok(());
    }
    let (without, with) = (quantile(&idle, 0.99), quantile(&busy, 0.99));
    report.check(
        with <= without + SLOWER.max(without / 2.0),
        &goal,
        format!(
            "p99 {without:.0} us without and {with:.0} us with one (p50 {:.0} and {:.0} us; \
             {} and {} reads; {seen} snapshots)",
            quantile(&idle, 0.5),
            quantile(&busy, 0.5),
            idle.len(),
            busy.len()
        ),
    );
    Ok(())
}

type Latencies = hdrhistogram::Histogram<u64>;

/// Reads for a while beside a writer; answers the latencies without and with a snapshot under way.
async fn read_for(
    servers: &Servers,
    duration: Duration,
    watch: Option<&SnapshotWatch>,
) -> Result<(Latencies, Latencies), Error> {
    let stop = Rc::new(Cell::new(false));
    let latencies = Rc::new(RefCell::new((histogram(), histogram())));
    let under_way = watch.map_or_else(Arc::default, |watch| watch.under_way.clone());
    let local = LocalSet::new();
    let mut tasks = vec![local.spawn_local(writer(servers.clone(), stop.clone()))];
    for connection in 1..load::CONNECTIONS {
        let (servers, stop) = (servers.clone(), stop.clone());
        let (latencies, under_way) = (latencies.clone(), under_way.clone());
        tasks.push(local.spawn_local(async move {
            let mut template = Template::get(PREFIX, WIDTH);
            let mut numbers = Numbers::new(connection);
            load::one(
                &servers,
                |xid, out| {
                    if stop.get() {
                        return false;
                    }
                    template.write(xid, numbers.below(ZNODES), out);
                    true
                },
                |took| {
                    let (idle, busy) = &mut *latencies.borrow_mut();
                    let chosen = match under_way.load(Ordering::Relaxed) {
                        true => busy,
                        false => idle,
                    };
                    record(chosen, took);
                },
            )
            .await
        }));
    }
    local
        .run_until(async {
            let begun = Instant::now();
            tokio::time::sleep(duration).await;
            while watch.is_some_and(|watch| watch.seen() < SNAPSHOTS)
                && begun.elapsed() < SNAPSHOTS_WITHIN
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            stop.set(true);
            for task in tasks {
                task.await
                    .map_err(|error| Error::Other(error.to_string()))??;
            }
            let latencies = latencies.borrow().clone();
            Ok(latencies)
        })
        .await
}

/// One connection that sets znodes until `stop`.
async fn writer(servers: Servers, stop: Rc<Cell<bool>>) -> Result<(), Error> {
    let mut template = Template::set(PREFIX, WIDTH);
    let mut numbers = Numbers::new(0);
    load::one(
        &servers,
        |xid, out| {
            if stop.get() {
                return false;
            }
            template.write(xid, numbers.below(ZNODES), out);
            true
        },
        |_| {},
    )
    .await
}

/// A thread that looks whether a snapshot is being written: its file has another name until it is
/// whole.
struct SnapshotWatch {
    under_way: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
    thread: thread::JoinHandle<()>,
}

impl SnapshotWatch {
    fn new(files: std::path::PathBuf) -> Self {
        const LOOK: Duration = Duration::from_millis(2);
        let under_way = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(AtomicUsize::new(0));
        let thread = {
            let (under_way, ended, seen) = (under_way.clone(), ended.clone(), seen.clone());
            thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let now = is_being_written(&files);
                    if now && !under_way.swap(now, Ordering::Relaxed) {
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                    under_way.store(now, Ordering::Relaxed);
                    thread::sleep(LOOK);
                }
            })
        };
        Self {
            under_way,
            ended,
            seen,
            thread,
        }
    }

    /// How many snapshots were seen so far.
    fn seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }

    /// Ends the thread; answers how many were seen.
    fn stop(self) -> usize {
        let seen = self.seen();
        self.ended.store(true, Ordering::Relaxed);
        // It has nothing to tell.
        let _ = self.thread.join();
        seen
    }
}
