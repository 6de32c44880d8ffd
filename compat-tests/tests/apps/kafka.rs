//! Two Kafka brokers in ZooKeeper mode, with a producer (acks=all) and a consumer group on them, while
//! their controller and then the leader of the ensemble is killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use compat_tests::cache;
use compat_tests::ensemble::{DEADLINE, Ensemble, wait_for};
use compat_tests::ports::Port;
use compat_tests::programs::{Program, compile_java_with, java, source};
use compat_tests::suite::Skip;
use tempfile::TempDir;

use crate::steps::{Steps, data, kill_leader, made_by};

/// How long the producer's program may run.
const PATIENCE: Duration = Duration::from_secs(900);

/// Records that have to be acknowledged before the next step.
const ENOUGH: u64 = 500;

/// The sessions of the brokers: a dead one is known as dead after so long.
const SESSION_MS: u64 = 6000;

/// A broker: its process, and the files and port that are its own for as long as it is wanted.
struct Broker {
    id: usize,
    home: PathBuf,
    port: Port,
    process: Option<Child>,
}

impl Broker {
    fn new(id: usize, home: &Path, servers: &str) -> Self {
        let port = Port::claim();
        let home = home.join(format!("broker-{id}"));
        fs::create_dir_all(&home).expect("the broker's folder can be made");
        let lines = [
            format!("broker.id={id}"),
            format!("listeners=PLAINTEXT://127.0.0.1:{}", port.number()),
            format!("log.dirs={}", home.join("logs").display()),
            format!("zookeeper.connect={servers}"),
            format!("zookeeper.session.timeout.ms={SESSION_MS}"),
            "offsets.topic.replication.factor=2".to_owned(),
            "offsets.topic.num.partitions=4".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            "auto.create.topics.enable=false".to_owned(),
            "replica.lag.time.max.ms=10000".to_owned(),
        ];
        let config = home.join("server.properties");
        fs::write(config, lines.join("\n")).expect("the broker's file can be written");
        Self {
            id,
            home,
            port,
            process: None,
        }
    }

    fn start(&mut self, jars: &str) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.home.join("log"))
            .expect("the broker's log can be made");
        let child = Command::new("java")
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-cp", jars, "kafka.Kafka"])
            .arg(self.home.join("server.properties"))
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be copied"))
            .stderr(log)
            .spawn();
        self.process = Some(child.expect("java can be run"));
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("our own child");
            process.wait().expect("our own child");
        }
    }

    fn znode(&self) -> String {
        format!("/brokers/ids/{}", self.id)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The producer and the consumer, which answer each line with one.
struct Load {
    program: Program,
    lines: Receiver<String>,
}

/// What they have done.
struct Look {
    acknowledged: u64,
    consumed: u64,
    stall: Duration,
}

impl Load {
    #[track_caller]
    fn ask(&mut self, line: &str) -> String {
        self.program.tell(line);
        let answer = self.lines.recv_timeout(2 * DEADLINE);
        answer.unwrap_or_else(|error| panic!("{line} is not answered: {error}"))
    }

    #[track_caller]
    fn look(&mut self, word: &str) -> Look {
        let answer = self.ask(word);
        let words: Vec<&str> = answer.split(' ').collect();
        let number = |index: usize| -> u64 {
            let number = words.get(index).and_then(|word| word.parse().ok());
            number.unwrap_or_else(|| panic!("{word} is answered by {answer}"))
        };
        Look {
            acknowledged: number(1),
            consumed: number(3),
            stall: Duration::from_millis(number(5)),
        }
    }

    /// Waits until enough has been produced and consumed from now on.
    #[track_caller]
    fn goes_on(&mut self) {
        let before = self.look("look");
        wait_for("records", || {
            let now = self.look("look");
            let enough = before.acknowledged + ENOUGH <= now.acknowledged
                && before.consumed + ENOUGH <= now.consumed;
            enough.then_some(())
        });
    }

    /// Makes a topic; Kafka may ask for patience while it has no controller.
    #[track_caller]
    fn make_topic(&mut self, name: &str, replicas: usize) {
        wait_for("a new topic", || {
            let answer = self.ask(&format!("topic {name} {replicas}"));
            (answer == "made" || answer.contains("TopicExists")).then_some(())
        });
    }

    #[track_caller]
    fn wait_for_replicas(&mut self, wanted: usize) {
        let wanted = format!("replicas {wanted}");
        wait_for(&wanted, || (self.ask("replicas") == wanted).then_some(()));
    }
}

/// Who is the controller: an entry `"brokerid":1` says so.
fn controller(ensemble: &Ensemble) -> Option<usize> {
    let text = data(ensemble, "/controller")?;
    let (_, rest) = text.split_once("\"brokerid\":")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

pub(crate) fn run(ensemble: &mut Ensemble, home: &TempDir) -> Result<(), Skip> {
    let jars = cache::app_jars("kafka")?;
    let class_path = compile_java_with(home.path(), &jars, &[source("java/src/KafkaLoad.java")])?;
    let row = format!("Kafka on {}", ensemble.kind(1));
    let mut steps = Steps::begin();
    let servers = ensemble.connect_string();
    let mut brokers = [1, 2].map(|id| Broker::new(id, home.path(), &servers));
    let addresses = brokers
        .each_ref()
        .map(|broker| format!("127.0.0.1:{}", broker.port.number()));

    for broker in &mut brokers {
        broker.start(&jars);
    }
    for broker in &brokers {
        wait_for("a broker", || made_by(ensemble, &broker.znode()).map(drop));
    }
    steps.done("two brokers have registered");

    let mut command = java(PATIENCE, &class_path, "KafkaLoad");
    let (program, lines) = Program::start(command.args([&addresses.join(","), "load"]));
    let mut load = Load { program, lines };
    load.make_topic("load", 2);
    load.wait_for_replicas(2);
    steps.done("a topic has two replicas of each partition");

    assert_eq!(load.ask("begin"), "begun");
    load.goes_on();
    steps.done("records are produced with acks=all, and consumed in a group");

    let first = wait_for("a controller", || controller(ensemble));
    load.look("mark");
    brokers[first - 1].kill();
    let other = wait_for("another controller", || {
        controller(ensemble).filter(|id| *id != first)
    });
    load.goes_on();
    steps.stall("the controller's kill", load.look("mark").stall);
    steps.done(&format!(
        "broker {other} is controller when {first} is killed"
    ));

    load.make_topic("made-by-the-other", 1);
    steps.done("the new controller makes a topic");

    brokers[first - 1].start(&jars);
    load.wait_for_replicas(2);
    load.goes_on();
    steps.done("the killed broker is back, and in sync");

    let znodes = brokers.each_ref().map(Broker::znode);
    let before = znodes.each_ref().map(|znode| made_by(ensemble, znode));
    load.look("mark");
    let leader = kill_leader(ensemble);
    let next = ensemble.leader();
    load.goes_on();
    steps.stall("the kill of ZooKeeper's leader", load.look("mark").stall);
    steps.done(&format!(
        "server {next} leads when {leader} is killed, and records go on"
    ));

    load.make_topic("made-by-way-of-the-next-leader", 2);
    steps.done("a topic is made by way of the new leader");

    let after = znodes.each_ref().map(|znode| made_by(ensemble, znode));
    assert_eq!(before, after, "the brokers' sessions have gone on");
    assert_eq!(controller(ensemble), Some(other));
    steps.done("the brokers' sessions and the controller are the same");

    ensemble.start(leader)?;
    ensemble.wait_until_all_serve();
    load.goes_on();
    let end = load.ask("end");
    assert!(end.starts_with("lost 0 disordered 0 failed 0 "), "{end}");
    steps.done(&format!("all is consumed: {end}"));

    for broker in &mut brokers {
        broker.kill();
    }
    ensemble.check_same_state();
    steps.done("the three servers hold the same");
    steps.end(&row);
    Ok(())
}
