//! The steps of the matrix with zookeeper-client. Arguments: the connect string, then the steps to
//! do.
//!
//! Prints of each "ok NAME" or "FAILED NAME: why". Where a step needs something done to the servers
//! it prints "please WHAT" and waits for a line.

use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, Error, EventType, OneshotWatcher, SessionState,
};

const TIMEOUT: Duration = Duration::from_secs(30);
const OPEN: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());

type Step = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut failed = 0;
    for name in &arguments[1..] {
        let hosts = arguments[0].clone();
        let step = name.clone();
        // A task of its own, so that a panic ends the step and not the program.
        let ended = runtime.block_on(runtime.spawn(async move { run(&step, &hosts).await }));
        let why = match ended {
            Ok(Ok(())) => {
                println!("ok {name}");
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        println!("FAILED {name}: {}", why.replace('\n', " "));
        failed += 1;
    }
    ExitCode::from(u8::from(failed > 0))
}

async fn run(step: &str, hosts: &str) -> Step {
    match step {
        "connect" => connect(hosts).await,
        "crud" => crud(hosts).await,
        "exists_children" => exists_children(hosts).await,
        "data_watch" => data_watch(hosts).await,
        "child_watch" => child_watch(hosts).await,
        "exists_watch" => exists_watch(hosts).await,
        "multi" => multi(hosts).await,
        "acl" => acl(hosts).await,
        "restart" | "leader_change" => survive(hosts, step).await,
        _ => Err("no such step".into()),
    }
}

async fn open(hosts: &str) -> Result<Client, Error> {
    let connector = Client::connector().with_session_timeout(TIMEOUT);
    connector.connect(hosts).await
}

async fn expect(watcher: OneshotWatcher, kind: EventType, path: &str) -> Step {
    let event = timeout(Duration::from_secs(15), watcher.changed()).await?;
    assert_eq!((event.event_type, event.path.as_str()), (kind, path));
    Ok(())
}

async fn connect(hosts: &str) -> Step {
    let client = open(hosts).await?;
    assert_eq!(client.state(), SessionState::SyncConnected);
    assert_eq!(client.session_timeout(), TIMEOUT);
    let session = client.session().clone();
    let connector = Client::connector().with_session(session);
    let again = connector.connect(hosts).await?;
    assert_eq!(again.session_id(), client.session_id());
    Ok(())
}

async fn crud(hosts: &str) -> Step {
    let client = open(hosts).await?;
    client.create("/crud", b"one", &OPEN).await?;
    assert_eq!(
        client.create("/crud", b"", &OPEN).await.err(),
        Some(Error::NodeExists)
    );
    let (data, stat) = client.get_data("/crud").await?;
    assert_eq!((data.as_slice(), stat.version), (&b"one"[..], 0));
    assert_eq!(client.set_data("/crud", b"two", Some(0)).await?.version, 1);
    assert_eq!(
        client.set_data("/crud", b"", Some(0)).await,
        Err(Error::BadVersion)
    );
    let sequential = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    for count in 0..2 {
        let (_, sequence) = client.create("/crud/s-", b"", &sequential).await?;
        assert_eq!(sequence.into_i64(), count);
    }
    assert_eq!(client.delete("/crud", None).await, Err(Error::NotEmpty));
    client.delete("/crud/s-0000000000", None).await?;
    client.delete("/crud/s-0000000001", None).await?;
    client.delete("/crud", None).await?;
    assert_eq!(client.get_data("/crud").await.err(), Some(Error::NoNode));
    Ok(())
}

async fn exists_children(hosts: &str) -> Step {
    let client = open(hosts).await?;
    assert_eq!(client.check_stat("/none").await?, None);
    client.create("/children", b"", &OPEN).await?;
    for name in ["a", "b", "ü"] {
        let path = format!("/children/{name}");
        client.create(&path, b"x", &OPEN).await?;
    }
    let (mut names, stat) = client.get_children("/children").await?;
    names.sort();
    assert_eq!(
        (names, stat.num_children),
        (vec!["a".into(), "b".into(), "ü".into()], 3)
    );
    let stat = client.check_stat("/children/ü").await?;
    assert_eq!(stat.map(|stat| stat.data_length), Some(1));
    Ok(())
}

async fn data_watch(hosts: &str) -> Step {
    let (client, other) = (open(hosts).await?, open(hosts).await?);
    client.create("/data", b"", &OPEN).await?;
    let (_, _, watcher) = client.get_and_watch_data("/data").await?;
    other.set_data("/data", b"x", None).await?;
    expect(watcher, EventType::NodeDataChanged, "/data").await?;
    let (_, _, watcher) = client.get_and_watch_data("/data").await?;
    other.delete("/data", None).await?;
    expect(watcher, EventType::NodeDeleted, "/data").await
}

async fn child_watch(hosts: &str) -> Step {
    let (client, other) = (open(hosts).await?, open(hosts).await?);
    client.create("/child", b"", &OPEN).await?;
    let (_, watcher) = client.list_and_watch_children("/child").await?;
    other.create("/child/c", b"", &OPEN).await?;
    expect(watcher, EventType::NodeChildrenChanged, "/child").await
}

async fn exists_watch(hosts: &str) -> Step {
    let (client, other) = (open(hosts).await?, open(hosts).await?);
    let (stat, watcher) = client.check_and_watch_stat("/later").await?;
    assert_eq!(stat, None);
    other.create("/later", b"", &OPEN).await?;
    expect(watcher, EventType::NodeCreated, "/later").await
}

async fn multi(hosts: &str) -> Step {
    let client = open(hosts).await?;
    client.create("/gone", b"", &OPEN).await?;
    let mut writer = client.new_multi_writer();
    writer.add_create("/multi", b"m", &OPEN)?;
    writer.add_set_data("/multi", b"n", Some(0))?;
    writer.add_check_version("/multi", 1)?;
    writer.add_delete("/gone", Some(0))?;
    assert_eq!(writer.commit().await?.len(), 4);
    assert_eq!(client.check_stat("/gone").await?, None);
    let mut writer = client.new_multi_writer();
    writer.add_create("/undone", b"", &OPEN)?;
    writer.add_check_version("/multi", 7)?;
    let error: Error = writer.commit().await.expect_err("it must fail").into();
    assert_eq!(error, Error::BadVersion);
    assert_eq!(client.check_stat("/undone").await?, None);
    Ok(())
}

async fn acl(hosts: &str) -> Step {
    let (client, other) = (open(hosts).await?, open(hosts).await?);
    client.auth("digest", b"user:secret").await?;
    let mine = CreateMode::Persistent.with_acls(Acls::creator_all());
    client.create("/acl", b"mine", &mine).await?;
    let (acls, _) = client.get_acl("/acl").await?;
    assert_eq!(acls[0].scheme(), "digest");
    assert_eq!(other.get_data("/acl").await.err(), Some(Error::NoAuth));
    other.auth("digest", b"user:wrong").await?;
    assert_eq!(other.get_data("/acl").await.err(), Some(Error::NoAuth));
    other.auth("digest", b"user:secret").await?;
    assert_eq!(other.get_data("/acl").await?.0, b"mine");
    let readable = Acls::anyone_read();
    assert_eq!(
        client.set_acl("/acl", &readable, Some(0)).await?.aversion,
        1
    );
    assert_eq!(client.set_data("/acl", b"", None).await, Err(Error::NoAuth));
    Ok(())
}

/// Asks again as long as the connection is lost.
async fn connected<T, F: Future<Output = Result<T, Error>>>(
    mut call: impl FnMut() -> F,
) -> Result<T, Error> {
    let deadline = Instant::now() + 2 * TIMEOUT;
    loop {
        match call().await {
            Err(Error::ConnectionLoss) if Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            answer => return answer,
        }
    }
}

/// Session and ephemeral znode are there after what happens to the servers.
async fn survive(hosts: &str, event: &str) -> Step {
    let client = open(hosts).await?;
    let session = client.session_id();
    let path = format!("/{event}");
    client.create(&path, b"here", &EPHEMERAL).await?;
    println!("please {event}");
    let answer = tokio::task::spawn_blocking(|| std::io::stdin().lines().next());
    let answer = answer.await?.ok_or("nobody answers")??;
    assert_eq!(answer, "done");
    let stat = connected(|| client.check_stat(&path)).await?;
    let owner = stat.ok_or("the ephemeral znode has gone")?.ephemeral_owner;
    assert_eq!(session.to_string(), format!("{owner:#x}"));
    assert_eq!(client.session_id(), session);
    let stat = connected(|| client.set_data(&path, b"there", Some(0))).await?;
    assert_eq!(stat.version, 1);
    // That closes the session, and does not say when it has.
    drop(client);
    let other = open(hosts).await?;
    let deadline = Instant::now() + TIMEOUT / 2;
    loop {
        other.sync("/").await?;
        if other.check_stat(&path).await?.is_none() {
            return Ok(());
        }
        assert!(Instant::now() < deadline, "its session is not closed");
        sleep(Duration::from_millis(20)).await;
    }
}
