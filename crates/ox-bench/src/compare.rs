//! Both servers under the same load, in turns.

use std::path::Path;

use hdrhistogram::Histogram;

use crate::cluster::Cluster;
use crate::load::{self, Outcome, rate};
use crate::report::{Report, median, say};
use crate::server::Kind;
use crate::workload::Workload;
use crate::{Error, Plan};

/// How many servers of a kind there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    Alone,
    /// Three that vote.
    Ensemble,
}

impl Setup {
    fn size(self) -> usize {
        match self {
            Self::Alone => 1,
            Self::Ensemble => 3,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Alone => "a server alone",
            Self::Ensemble => "an ensemble of three servers: CPU and memory of all three",
        }
    }

    /// Before the name of a workload in a verdict.
    fn prefix(self) -> &'static str {
        match self {
            Self::Alone => "",
            Self::Ensemble => "ensemble, ",
        }
    }

    /// How many times Apache's operations per CPU second are to be reached.
    fn goal(self, workload: Workload) -> Option<f64> {
        match (workload, self) {
            (Workload::Get, _) => Some(10.0),
            (Workload::Set | Workload::Create, Self::Alone) => Some(5.0),
            (Workload::Set | Workload::Create, Self::Ensemble) => Some(4.0),
            (Workload::Mix, _) => None,
        }
    }
}

/// One workload of one round.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    per_second: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    cpu_seconds: f64,
    per_cpu_second: f64,
    rss_mib: f64,
}

impl Sample {
    fn new(outcome: &Outcome, cpu_seconds: f64, rss_mib: f64) -> Self {
        Self {
            per_second: outcome.per_second(),
            p50: quantile(&outcome.latencies, 0.5),
            p99: quantile(&outcome.latencies, 0.99),
            p999: quantile(&outcome.latencies, 0.999),
            cpu_seconds,
            per_cpu_second: rate(outcome.operations, cpu_seconds),
            rss_mib,
        }
    }

    /// Each number's own median.
    fn median(samples: &[Self]) -> Self {
        let of = |field: fn(&Self) -> f64| median(samples.iter().map(field).collect());
        Self {
            per_second: of(|sample| sample.per_second),
            p50: of(|sample| sample.p50),
            p99: of(|sample| sample.p99),
            p999: of(|sample| sample.p999),
            cpu_seconds: of(|sample| sample.cpu_seconds),
            per_cpu_second: of(|sample| sample.per_cpu_second),
            rss_mib: of(|sample| sample.rss_mib),
        }
    }

    fn print(&self, workload: Workload, name: &str) {
        let Self {
            per_second,
            p50,
            p99,
            p999,
            cpu_seconds,
            per_cpu_second,
            rss_mib,
        } = self;
        say(format!(
            "{:<10} {name:<13} {per_second:>9.0} {p50:>7.0} {p99:>7.0} {p999:>8.0} \
             {cpu_seconds:>7.2} {per_cpu_second:>11.0} {rss_mib:>8.0}",
            workload.name()
        ));
    }
}

/// Microseconds.
pub(crate) fn quantile(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    rate(latencies.value_at_quantile(quantile), 1.0)
}

/// One kind's samples, a list for each workload of the plan.
type Samples = Vec<Vec<Sample>>;

pub(crate) async fn run(
    setup: Setup,
    plan: &Plan,
    oxkeeper: &Kind,
    apache: Result<&Kind, &String>,
    data: &Path,
    report: &mut Report,
) -> Result<(), Error> {
    say(format!(
        "\n{}\nload         {} connections x {} outstanding, 100-byte values, {} znodes; {} rounds \
         of {} s each, {} s warm-up left out; fsync on",
        setup.title(),
        load::CONNECTIONS,
        load::OUTSTANDING,
        load::ZNODES,
        plan.rounds,
        plan.measure.as_secs(),
        plan.warm_up.as_secs()
    ));
    say(format!("Oxkeeper     {}", oxkeeper.describe()));
    match apache {
        Ok(kind) => say(format!("Apache       {}", kind.describe())),
        Err(why) => say(format!("Apache       skipped: {why}")),
    }
    let mut ours: Samples = vec![Vec::new(); plan.workloads.len()];
    let mut theirs = ours.clone();
    for number in 1..=plan.rounds {
        round(setup, number, plan, oxkeeper, data, &mut ours).await?;
        if let Ok(kind) = apache {
            round(setup, number, plan, kind, data, &mut theirs).await?;
        }
    }
    say("");
    say("workload   server            ops/s  p50 us  p99 us p99.9 us   CPU s   ops/CPU s  RSS MiB");
    let samples = || plan.workloads.iter().zip(&ours).zip(&theirs);
    for ((&workload, ours), theirs) in samples() {
        Sample::median(ours).print(workload, oxkeeper.name);
        if let Ok(kind) = apache {
            Sample::median(theirs).print(workload, kind.name);
        }
    }
    say("");
    for ((&workload, ours), theirs) in samples() {
        judge(setup, workload, ours, theirs, apache, report);
    }
    Ok(())
}

fn judge(
    setup: Setup,
    workload: Workload,
    ours: &[Sample],
    theirs: &[Sample],
    apache: Result<&Kind, &String>,
    report: &mut Report,
) {
    let name = format!("{}{}", setup.prefix(), workload.name());
    let (ours, theirs) = (Sample::median(ours), Sample::median(theirs));
    let ratio = ours.per_cpu_second / theirs.per_cpu_second;
    match (setup.goal(workload), apache) {
        (Some(goal), Ok(_)) => report.check(
            goal <= ratio,
            &format!("{name}: at least {goal} times Apache's operations per CPU second"),
            format!(
                "{ratio:.1} times (throughput {:.1} times)",
                ours.per_second / theirs.per_second
            ),
        ),
        (Some(_), Err(why)) => report.skip(&format!("{name} against Apache"), why),
        (None, Ok(_)) => say(format!(
            "{name}: {ratio:.1} times Apache's operations per CPU second (throughput {:.1} times)",
            ours.per_second / theirs.per_second
        )),
        (None, Err(_)) => {}
    }
}

/// Fresh servers: warmed up by all workloads, then measured under each.
async fn round(
    setup: Setup,
    number: usize,
    plan: &Plan,
    kind: &Kind,
    data: &Path,
    samples: &mut Samples,
) -> Result<(), Error> {
    let cluster = Cluster::start(kind, setup.size(), data)?;
    match setup {
        Setup::Alone => {}
        Setup::Ensemble => say(format!(
            "round {number}      {}: {}",
            kind.name,
            cluster.describe()
        )),
    }
    let servers = cluster.servers();
    load::prepare(&servers).await?;
    let each = u32::try_from(plan.workloads.len()).unwrap_or(1).max(1);
    for &workload in &plan.workloads {
        load::drive(&servers, workload, 0, plan.warm_up / each).await?;
    }
    for (&workload, samples) in plan.workloads.iter().zip(samples) {
        let before = cluster.cpu_seconds()?;
        let outcome = load::drive(&servers, workload, 1, plan.measure).await?;
        let cpu_seconds = cluster.cpu_seconds()? - before;
        samples.push(Sample::new(&outcome, cpu_seconds, cluster.rss_mib()?));
    }
    cluster.stop()
}
