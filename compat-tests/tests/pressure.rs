//! Clients that hold on to a server's memory: it grows by at most 64 MiB and comes back, another
//! client is served all the while, and the server stays up.
//!
//! The memory of a JVM says nothing, so against Apache only the rest is checked.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use compat_tests::server::{Kind, Server, Setup};
use compat_tests::suite::{self, Skip, rounds, say};
use compat_tests::wire::{
    Client, Connection, Fields, Incoming, PATIENCE, connect_from, connect_request, create, op,
    request,
};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What memory may grow by.
const GROWTH: u64 = 64 << 20;
/// What of it may stay: an allocator does not give back all.
const REMAINDER: u64 = 16 << 20;
/// The longest that another client may wait for an answer meanwhile.
const BYSTANDER_PATIENCE: Duration = Duration::from_secs(5);
/// The first argument that turns this program into the client of half-open handshakes.
const HALF_OPEN: &str = "half-open-client";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, address, count] = &arguments[..]
        && word == HALF_OPEN
    {
        half_open_client(
            address.parse().expect("an address"),
            count.parse().expect("a count"),
        );
        return ExitCode::SUCCESS;
    }
    suite::main(
        "pressure",
        &[
            ("a_client_that_never_reads_its_replies", never_reads_replies),
            ("a_client_that_never_reads_its_events", never_reads_events),
            ("clients_that_send_a_byte_at_a_time", byte_at_a_time),
            (
                "clients_that_announce_the_longest_frame_and_stop",
                announced_frames,
            ),
            ("ten_thousand_half_open_handshakes", half_open),
            ("random_bytes", random_bytes),
            ("requests_with_flipped_bits", flipped_bits),
            ("writes_whose_replies_are_never_read", pipelined_writes),
        ],
    )
}

/// A server under pressure, and somebody else who wants to be served.
struct Pressed {
    server: Server,
    memory: Memory,
    bystander: Bystander,
    _home: tempfile::TempDir,
}

impl Pressed {
    fn start(settings: impl Fn(Setup) -> Setup) -> Result<Self, Skip> {
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = settings(Setup::new(Kind::under_test(), home.path())).start()?;
        // What every run allocates once does not count.
        let mut client = Client::connect(server.address());
        client.create("/big", &[b'x'; 1_000_000], 0);
        for _ in 0..20 {
            client.get("/big");
        }
        client.close();
        let bystander = Bystander::start(server.address());
        let memory = Memory::watch(&server);
        Ok(Self {
            server,
            memory,
            bystander,
            _home: home,
        })
    }

    /// After the attackers have gone: memory is back, nobody else noticed, the server is up.
    #[track_caller]
    fn relieved(mut self, what: &str) {
        let served = self.bystander.finish();
        let peak = self.memory.finish();
        assert!(
            self.server.is_running(),
            "{what}: the server is gone:\n{}",
            self.server.log()
        );
        let base = self.memory.base;
        let mut left = u64::MAX;
        let deadline = Instant::now() + Duration::from_secs(30);
        while left > REMAINDER && Instant::now() < deadline && measured() {
            left = self.server.anonymous_memory().saturating_sub(base);
            std::thread::sleep(Duration::from_millis(20));
        }
        let mib = |bytes: u64| format!("{} MiB", bytes.div_ceil(1 << 20));
        say(format!(
            "   memory {} + {}, afterwards + {}; bystander: {} answers, the slowest after {:?}",
            mib(base),
            mib(peak.saturating_sub(base)),
            mib(left),
            served.answers,
            served.slowest
        ));
        assert!(served.answers > 0, "{what}: the bystander was never served");
        assert!(
            served.slowest < BYSTANDER_PATIENCE,
            "{what}: the bystander waited"
        );
        if Kind::under_test() == Kind::Oxkeeper {
            assert!(
                peak.saturating_sub(base) <= GROWTH,
                "{what}: memory grew too much"
            );
            assert!(left <= REMAINDER, "{what}: memory does not come back");
        }
    }
}

/// Whether the server's memory means something.
fn measured() -> bool {
    Kind::under_test() == Kind::Oxkeeper
}

/// Samples the server's memory.
struct Memory {
    base: u64,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Memory {
    fn watch(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let probe = server.memory_probe();
        let base = probe.anonymous_memory();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut peak = 0;
            while !stopped.load(Ordering::Relaxed) {
                peak = peak.max(probe.anonymous_memory());
                std::thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        Self {
            base,
            stop,
            thread: Some(thread),
        }
    }

    fn finish(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("finished once");
        thread.join().expect("the server is there to be measured")
    }
}

/// An ordinary client that reads and writes a little all the time.
struct Bystander {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Served>>,
}

#[derive(Default)]
struct Served {
    answers: u64,
    slowest: Duration,
}

impl Bystander {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut client = Client::connect(address);
        client.create("/bystander", b"", 0);
        let thread = std::thread::spawn(move || {
            let mut served = Served::default();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                if served.answers % 4 == 0 {
                    let set = Fields::new()
                        .string("/bystander")
                        .buffer(Some(b"x"))
                        .int(-1);
                    client.ok(op::SET_DATA, &set);
                } else {
                    client.get("/bystander");
                }
                served.answers += 1;
                served.slowest = served.slowest.max(begun.elapsed());
                std::thread::sleep(Duration::from_millis(10));
            }
            served
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    #[track_caller]
    fn finish(&mut self) -> Served {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("finished once");
        thread.join().expect("the bystander was not served")
    }
}

/// Replies of a megabyte each, asked for as fast as the server takes them, and none is read.
fn never_reads_replies() -> Result<(), Skip> {
    let pressed = Pressed::start(|setup| setup)?;
    let requests: Vec<u8> = (0..100)
        .flat_map(|xid| {
            request(
                xid,
                op::GET_DATA,
                &Fields::new().string("/big").boolean(false),
            )
        })
        .collect();
    let mut clients: Vec<Client> = (0..8)
        .map(|_| Client::connect(pressed.server.address()))
        .collect();
    for client in &mut clients {
        let stream = client.connection().stream();
        stream
            .set_write_timeout(Some(Duration::from_millis(200)))
            .expect("a timeout");
        for _ in 0..30 {
            if client.connection().try_send(&requests).is_err() {
                break; // Full, or closed: both are fine.
            }
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    drop(clients);
    pressed.relieved("unread replies");
    Ok(())
}

/// Watches everything, reads nothing, while somebody else writes.
fn never_reads_events() -> Result<(), Skip> {
    let pressed = Pressed::start(|setup| setup)?;
    let mut watchers: Vec<Client> = (0..4)
        .map(|_| {
            let mut client = Client::connect(pressed.server.address());
            client.ok(op::ADD_WATCH, &Fields::new().string("/").int(1));
            client
        })
        .collect();
    let mut writer = Client::connect(pressed.server.address());
    let path = format!("/{}", "long".repeat(250));
    writer.create(&path, b"", 0);
    let set = Fields::new().string(&path).buffer(Some(b"x")).int(-1);
    let writes = rounds("OX_UNREAD_EVENTS", 30_000);
    for sent in 0..writes {
        writer.send(op::SET_DATA, &set);
        if sent >= 100 {
            writer.reply().expect("the writer is served");
        }
    }
    for _ in 0..100 {
        writer.reply().expect("the writer is served");
    }
    writer.close();
    // Whoever is still connected gets its events whole and in order.
    let reads = watchers.iter_mut().map(|client| {
        let mut events = 0;
        while let Incoming::Frame(_) = client.connection().receive(Duration::from_millis(300)) {
            events += 1;
        }
        events
    });
    let events: Vec<u64> = reads.collect();
    say(format!(
        "   events that waited in the end: {events:?} of {writes}"
    ));
    drop(watchers);
    pressed.relieved("unread events");
    Ok(())
}

/// Handshake and requests one byte at a time (50 a second here), from many connections.
fn byte_at_a_time() -> Result<(), Skip> {
    let pressed = Pressed::start(|setup| setup)?;
    let mut bytes = connect_request(0, &[0; 16], 30_000, 0);
    bytes.extend(request(
        1,
        op::EXISTS,
        &Fields::new().string("/").boolean(false),
    ));
    bytes.extend(request(2, op::PING, &Fields::new()));
    let mut connections: Vec<Connection> = (0..200)
        .map(|_| Connection::open(pressed.server.address()).expect("the server accepts"))
        .collect();
    for byte in bytes {
        for connection in &mut connections {
            connection.send(&[byte]);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for connection in &mut connections {
        for length in [37, 16 + 68, 16] {
            let Incoming::Frame(frame) = connection.receive(PATIENCE) else {
                panic!("a slow client is not served");
            };
            assert_eq!(frame.len(), length);
        }
    }
    drop(connections);
    pressed.relieved("slow clients");
    Ok(())
}

/// 300 frames of nearly a megabyte each, of which only the beginning ever comes.
fn announced_frames() -> Result<(), Skip> {
    let pressed = Pressed::start(|setup| setup)?;
    let mut clients: Vec<Client> = (0..300)
        .map(|_| Client::connect(pressed.server.address()))
        .collect();
    let mut first: Vec<Connection> = (0..300)
        .map(|_| Connection::open(pressed.server.address()).expect("the server accepts"))
        .collect();
    let beginning = Fields::new().int(0xf_ffff).raw(&[0; 100]).0;
    for client in &mut clients {
        client.connection().send(&beginning);
    }
    for connection in &mut first {
        connection.send(&beginning);
    }
    std::thread::sleep(Duration::from_secs(1));
    for client in &mut clients {
        client.connection().send(&[0; 1000]);
    }
    std::thread::sleep(Duration::from_secs(1));
    drop((clients, first));
    pressed.relieved("announced frames");
    Ok(())
}

/// Connections that never come to the end of their handshake, from two hundred addresses.
fn half_open() -> Result<(), Skip> {
    let count = 10_000;
    let files = getrlimit(Resource::Nofile);
    let needed = count + 500;
    if files.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(Skip(format!(
            "only {files:?} open files are allowed, {needed} are needed"
        )));
    }
    // The server takes its limit from here.
    let raised = files.current.map(|current| current.max(needed));
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: raised,
            ..files
        },
    )
    .expect("below the maximum");
    let pressed = Pressed::start(|setup| {
        setup
            .line("maxClientCnxns", "60")
            .property("zookeeper.nio.sessionlessCnxnTimeout", "60000")
    })?;
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([
            HALF_OPEN,
            &pressed.server.connect_string(),
            &count.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started again");
    let mut line = [0; 6];
    child
        .stdout
        .take()
        .expect("piped")
        .read_exact(&mut line)
        .expect("the client reports");
    assert_eq!(&line, b"ready\n");
    std::thread::sleep(Duration::from_secs(2));
    let words = pressed
        .server
        .four_letter_word("srvr")
        .expect("served among ten thousand");
    let connections = words
        .lines()
        .find_map(|line| line.strip_prefix("Connections: "));
    let connections: u64 = connections
        .expect("a line of srvr")
        .trim()
        .parse()
        .expect("a number");
    assert!(connections >= count, "{connections} connections of {count}");
    // The end of its input tells the client to go.
    drop(child.stdin.take());
    assert!(child.wait().expect("our own child").success());
    pressed.relieved("half-open handshakes");
    Ok(())
}

/// The other process: opens connections, reports, and holds them until its input ends.
fn half_open_client(address: SocketAddr, count: usize) {
    let handshake = connect_request(0, &[0; 16], 30_000, 0);
    let streams: Vec<TcpStream> = (0..count)
        .map(|index| {
            let host = u8::try_from(2 + index / 50 % 200).expect("below 256");
            let stream = connect_from(Ipv4Addr::new(127, 0, 1, host), address);
            let mut stream = stream.unwrap_or_else(|error| panic!("connection {index}: {error}"));
            // Some say nothing, the others stop somewhere in the middle.
            stream
                .write_all(&handshake[..index % handshake.len()])
                .expect("it is just open");
            stream
        })
        .collect();
    let mut out = std::io::stdout();
    out.write_all(b"ready\n")
        .and_then(|()| out.flush())
        .expect("the test listens");
    std::io::stdin()
        .read_to_end(&mut Vec::new())
        .expect("the test ends our input");
    drop(streams);
}

/// Noise before and after the handshake.
fn random_bytes() -> Result<(), Skip> {
    let pressed = Pressed::start(|setup| setup)?;
    let mut random = seeded();
    for _ in 0..rounds("OX_NOISE", 1000) {
        let mut noise = vec![0; random.random_range(0..2000)];
        random.fill_bytes(&mut noise);
        let mut connection = Connection::open(pressed.server.address()).expect("accepts");
        connection.send(&noise);

        // In frames, so that it gets as far as the records; not the request that ends a session.
        let mut client = Client::connect(pressed.server.address());
        for xid in 0..10 {
            let mut noise = vec![0; random.random_range(0..200)];
            random.fill_bytes(&mut noise);
            let opcode = random.random_range(1..120);
            client
                .connection()
                .send(&request(xid, opcode, &Fields::new().raw(&noise)));
        }
        client.connection().receive(PATIENCE);
    }
    pressed.relieved("random bytes");
    Ok(())
}

/// Good requests with a few bits of them changed.
fn flipped_bits() -> Result<(), Skip> {
    let pressed = Pressed::start(|setup| setup)?;
    let mut random = seeded();
    let end = Fields::new().int(-1).boolean(true).int(-1);
    let good = [
        connect_request(0, &[0; 16], 30_000, 0),
        request(1, op::CREATE, &create("/flipped", b"data", 0)),
        request(
            2,
            op::SET_DATA,
            &Fields::new().string("/flipped").buffer(Some(b"d")).int(-1),
        ),
        request(
            3,
            op::GET_CHILDREN2,
            &Fields::new().string("/flipped").boolean(true),
        ),
        request(
            4,
            op::MULTI,
            &Fields::new()
                .int(op::CREATE)
                .boolean(false)
                .int(-1)
                .raw(&create("/flipped/m", b"", 2).0)
                .raw(&end.0),
        ),
        request(
            5,
            op::SET_WATCHES,
            &Fields::new().long(0).strings(&["/a"]).int(0).int(0),
        ),
    ];
    for _ in 0..rounds("OX_NOISE", 1000) {
        let mut bytes = good.concat();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        let mut connection = Connection::open(pressed.server.address()).expect("accepts");
        connection.send(&bytes);
        // Most answer; some wait for bytes that never come.
        connection.receive(Duration::from_millis(20));
    }
    pressed.relieved("flipped bits");
    Ok(())
}

/// Long writes, far more than the server may have outstanding, from a client that does not read.
fn pipelined_writes() -> Result<(), Skip> {
    let pressed = Pressed::start(|setup| setup.line("snapCount", "10000000"))?;
    let mut client = Client::connect(pressed.server.address());
    client.create("/written", b"", 0);
    let set = Fields::new()
        .string("/written")
        .buffer(Some(&[b'x'; 50_000]))
        .int(-1);
    let bytes: Vec<u8> = (0..40)
        .flat_map(|xid| request(xid, op::SET_DATA, &set))
        .collect();
    let stream = client.connection().stream();
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    for _ in 0..64 {
        if client.connection().try_send(&bytes).is_err() {
            break;
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    drop(client);
    pressed.relieved("pipelined writes");
    Ok(())
}

fn seeded() -> StdRng {
    let seed: u64 = std::env::var("OX_SEED").map_or_else(
        |_| rand::random(),
        |text| text.parse().expect("OX_SEED is a number"),
    );
    say(format!("   OX_SEED={seed}"));
    StdRng::seed_from_u64(seed)
}
