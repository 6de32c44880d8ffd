//! Sixteen connections with sixteen requests under way on each, from one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ox_client::{Client, ConnectOptions, Creation, Pipeline, Servers};
use tokio::task::LocalSet;

use crate::Error;
use crate::workload::{Numbers, Template, Workload};

pub(crate) const CONNECTIONS: u64 = 16;
pub(crate) const OUTSTANDING: usize = 16;

/// The znodes that are read and set.
pub(crate) const ZNODES: u64 = 10_000;
const FOLDER: &str = "/bench";
const ZNODE: &str = "/bench/n";
const WIDTH: usize = 7;

/// Where creates go; the number begins with the connection's.
const CREATED: &str = "/created";
const CREATED_ZNODE: &str = "/created/n";
const CREATED_WIDTH: usize = 10;
const PER_CONNECTION: u64 = 100_000_000;

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) operations: u64,
    pub(crate) elapsed: Duration,
    /// Microseconds per request.
    pub(crate) latencies: Histogram<u64>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        rate(self.operations, self.elapsed.as_secs_f64())
    }
}

/// `count` per `seconds`.
#[expect(clippy::cast_precision_loss, reason = "counts of minutes fit a double")]
pub(crate) fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// An empty histogram of microseconds, up to a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    const MINUTE: u64 = 60_000_000;
    Histogram::new_with_bounds(1, MINUTE, 3).expect("the bounds are in order")
}

/// Records a latency.
pub(crate) fn record(latencies: &mut Histogram<u64>, took: Duration) {
    latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

/// Makes the znodes that the workloads use; every server has them then.
pub(crate) async fn prepare(servers: &Servers) -> Result<(), Error> {
    folder(servers, FOLDER).await?;
    folder(servers, CREATED).await?;
    fill(servers, ZNODE, WIDTH, ZNODES).await?;
    for place in 0..servers.hosts.len() {
        let (client, _events) =
            Client::connect(&nth(servers, place), &ConnectOptions::default()).await?;
        client.sync(FOLDER).await?;
        client.close().await?;
    }
    Ok(())
}

/// The server that connection `number` goes to, and no other: they are shared out in turn.
fn nth(servers: &Servers, number: usize) -> Servers {
    let hosts = &servers.hosts;
    Servers {
        hosts: vec![hosts[number % hosts.len()].clone()],
        chroot: servers.chroot.clone(),
    }
}

/// Makes a znode for others to be below of.
pub(crate) async fn folder(servers: &Servers, path: &str) -> Result<(), Error> {
    let (client, _events) = Client::connect(servers, &ConnectOptions::default()).await?;
    client.create(Creation::new(path, "")).await?;
    Ok(client.close().await?)
}

/// Makes `count` znodes with values: `prefix` and a number each.
pub(crate) async fn fill(
    servers: &Servers,
    prefix: &str,
    width: usize,
    count: u64,
) -> Result<(), Error> {
    let next = Rc::new(Cell::new(0));
    let template = Template::create(prefix, width);
    all(servers, |_| {
        let next = next.clone();
        let mut template = template.clone();
        (
            move |xid, out: &mut _| {
                let number = next.get();
                if count <= number {
                    return false;
                }
                next.set(number + 1);
                template.write(xid, number, out);
                true
            },
            |_| {},
        )
    })
    .await
}

/// Runs `workload` for a while. Each run of creates needs a `run` of its own.
pub(crate) async fn drive(
    servers: &Servers,
    workload: Workload,
    run: u64,
    duration: Duration,
) -> Result<Outcome, Error> {
    let begun = Instant::now();
    let stop = Rc::new(Cell::new(false));
    let latencies = Rc::new(RefCell::new(histogram()));
    let load = all(servers, |connection| {
        let latencies = latencies.clone();
        (
            requests(workload, connection, run, stop.clone()),
            move |took| record(&mut latencies.borrow_mut(), took),
        )
    });
    let timer = async {
        tokio::time::sleep(duration).await;
        stop.set(true);
    };
    let (ended, ()) = tokio::join!(load, timer);
    ended?;
    let latencies = latencies.borrow().clone();
    Ok(Outcome {
        operations: latencies.len(),
        elapsed: begun.elapsed(),
        latencies,
    })
}

/// The requests of one connection until `stop`.
pub(crate) fn requests(
    workload: Workload,
    connection: u64,
    run: u64,
    stop: Rc<Cell<bool>>,
) -> impl FnMut(ox_proto::Xid, &mut bytes::BytesMut) -> bool + use<> {
    let mut get = Template::get(ZNODE, WIDTH);
    let mut set = Template::set(ZNODE, WIDTH);
    let mut create = Template::create(CREATED_ZNODE, CREATED_WIDTH);
    let mut numbers = Numbers::new(run * CONNECTIONS + connection + 1);
    // Runs share the numbers of a connection: ten million for each.
    let mut created = connection * PER_CONNECTION + run * (PER_CONNECTION / 10);
    move |xid, out| {
        if stop.get() {
            return false;
        }
        let number = numbers.below(ZNODES);
        match workload {
            Workload::Get => get.write(xid, number, out),
            Workload::Set => set.write(xid, number, out),
            Workload::Create => {
                create.write(xid, created, out);
                created += 1;
            }
            Workload::Mix if numbers.below(10) == 0 => set.write(xid, number, out),
            Workload::Mix => get.write(xid, number, out),
        }
        true
    }
}

/// Runs all connections at once. `make` gives each its requests and what to do with latencies. A
/// request that is refused fails the run: nothing here may fail.
async fn all<Next, Done>(servers: &Servers, make: impl Fn(u64) -> (Next, Done)) -> Result<(), Error>
where
    Next: FnMut(ox_proto::Xid, &mut bytes::BytesMut) -> bool + 'static,
    Done: FnMut(Duration) + 'static,
{
    let local = LocalSet::new();
    let mut tasks = Vec::new();
    for (number, connection) in (0..CONNECTIONS).enumerate() {
        let (next, done) = make(connection);
        let servers = nth(servers, number);
        tasks.push(local.spawn_local(async move { one(&servers, next, done).await }));
    }
    local
        .run_until(async {
            for task in tasks {
                task.await
                    .map_err(|error| Error::Other(error.to_string()))??;
            }
            Ok(())
        })
        .await
}

/// Runs one connection.
pub(crate) async fn one(
    servers: &Servers,
    next: impl FnMut(ox_proto::Xid, &mut bytes::BytesMut) -> bool,
    mut done: impl FnMut(Duration),
) -> Result<(), Error> {
    let mut pipeline = Pipeline::connect(servers, &ConnectOptions::default()).await?;
    let mut refused = None;
    pipeline
        .run(OUTSTANDING, next, |error, took| {
            if error != 0 {
                refused.get_or_insert(error);
            }
            done(took);
        })
        .await?;
    match refused {
        None => Ok(()),
        Some(error) => Err(Error::Other(format!(
            "a request was answered error {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_to_the_servers_in_turn() {
        let Ok(servers) = "a:1,b:2,c:3".parse();
        let hosts: Vec<_> = (0..4).map(|number| nth(&servers, number).hosts).collect();
        assert_eq!(hosts, [["a:1"], ["b:2"], ["c:3"], ["a:1"]]);
    }

    #[test]
    fn latencies_of_milliseconds_are_kept_apart() {
        let mut latencies = histogram();
        for ms in [1, 8, 8, 8, 50] {
            record(&mut latencies, Duration::from_millis(ms));
        }
        assert_eq!(latencies.value_at_quantile(0.5) / 10, 800);
        assert_eq!(latencies.max() / 100, 500);
    }
}
