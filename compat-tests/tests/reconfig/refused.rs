//! What is refused, and to whom, compared with Apache beside it.

use compat_tests::ensemble::Plan;
use compat_tests::ports::Ports;
use compat_tests::server::{Kind, Setup};
use compat_tests::suite::{Skip, say};
use compat_tests::wire::{Client, Fields, op};

use super::{CONFIG, body};

/// The same wrong requests to an ensemble of each kind, and to one that does not allow any.
pub(crate) fn requests() -> Result<(), Skip> {
    let spare = Ports::claim();
    let ours = refused_by(Kind::under_test(), &spare)?;
    let java = refused_by(Kind::REFERENCE, &spare)?;
    let mut wrong = Vec::new();
    for (ours, java) in ours.iter().zip(&java) {
        if ours != java {
            wrong.push(format!("{ours:?}, and Java {java:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    say(format!("   {} requests, each refused alike", ours.len()));
    Ok(())
}

fn refused_by(kind: Kind, spare: &Ports) -> Result<Vec<(String, i32)>, Skip> {
    let server = |id: &str, rest: &str| format!("server.{id}=127.0.0.1{rest}");
    let line = |id: &str| {
        let (quorum, election) = (spare.quorum, spare.election);
        server(
            id,
            &format!(":{quorum}:{election};127.0.0.1:{}", spare.client),
        )
    };
    let long = format!("server.4={}:1:2;3", "h".repeat(200_000));
    let many = (10..3000)
        .map(|id| format!("server.{id}=10.0.0.1:{id}:{};1", id + 1))
        .collect::<Vec<_>>()
        .join(",");
    type Asked = (Option<String>, Option<String>, Option<String>, i64);
    let some = |text: &str| Some(text.to_owned());
    let asked: Vec<Asked> = vec![
        (some(&line("9")), None, None, 77),
        (some(&line("9")), None, None, -2),
        (some(&line("9")), some("1,2,3"), None, -1),
        (None, some("1,2,3"), None, -1),
        (None, some("one"), None, -1),
        (None, some("1,,x"), None, -1),
        (None, some("99999999999999999999"), None, -1),
        (some("server.x=127.0.0.1:1:2;3"), None, None, -1),
        (some("server.9"), None, None, -1),
        (some("server.9="), None, None, -1),
        (some("server.9=127.0.0.1"), None, None, -1),
        (some(&server("9", ":1:2")), None, None, -1),
        (some(&server("9", ":1;3")), None, None, -1),
        (some(&server("9", ":1:1;3")), None, None, -1),
        (some(&server("9", ":1:x;3")), None, None, -1),
        (some(&server("9", ":1:70000;3")), None, None, -1),
        (some(&server("9", ":1:2;x")), None, None, -1),
        (some(&server("9", ":1:2;3;4")), None, None, -1),
        (some(&server("9", ":1:2:leader;3")), None, None, -1),
        (some(&server("9", ":1:2;3=4")), None, None, -1),
        (
            some("server.8=10.1.2.3:1:2;3,server.9=10.1.2.3:1:4;5"),
            None,
            None,
            -1,
        ),
        (some(&server("9", ":1:2|127.0.0.1:3:4;5")), None, None, -1),
        (some(&long), some("1,2,3"), None, -1),
        (some(&many), some("1,2,3"), None, -1),
        (None, None, some(""), -1),
        (None, None, some("tickTime=5"), -1),
        (None, None, some("server.x=127.0.0.1:1:2;3"), -1),
        (None, None, some(&line("9")), -1),
        (None, None, some(&server("9", ":1:2:observer;3")), -1),
        (
            None,
            None,
            some("server.8=127.0.0.1:1:2,server.9=127.0.0.1:3:4:observer"),
            -1,
        ),
        (
            None,
            None,
            some("server.8=127.0.0.1:1:2,server.9=127.0.0.1:3:4"),
            -1,
        ),
        (
            None,
            None,
            some("server.8=127.0.0.1:1:2,server.9=127.0.0.1:3:4,group.1=8"),
            -1,
        ),
        (
            None,
            None,
            some("server.8=127.0.0.1:1:2,server.9=127.0.0.1:3:4,group.1=8:9,group.2=9"),
            -1,
        ),
        (
            None,
            None,
            some("server.8=127.0.0.1:1:2,server.9=127.0.0.1:3:4,group.1=8:x"),
            -1,
        ),
        (None, None, some("server.8=127.0.0.1:1:2,version=zz"), -1),
        (None, None, some("server.8=\\u12"), -1),
    ];
    let mut refused = Vec::new();
    for (standalone, enabled, skips) in [
        ("true", "true", "yes"),
        ("false", "true", "yes"),
        ("true", "true", "no"),
        ("true", "false", "yes"),
    ] {
        let home = tempfile::tempdir().expect("a temporary folder");
        let plan = Plan::voters(&[kind; 3])
            .line("standaloneEnabled", standalone)
            .line("reconfigEnabled", enabled)
            .property("zookeeper.skipACL", skips);
        let mut ensemble = plan.lay_out(home.path());
        ensemble.start_all()?;
        // By the leader, and forwarded.
        let addresses = [ensemble.leader(), ensemble.learners()[0]];
        let some_only = if skips == "yes" && enabled == "true" {
            asked.len()
        } else {
            4
        };
        for sid in addresses {
            let mut client = Client::connect(ensemble.address(sid));
            for (joining, leaving, members, version) in &asked[..some_only] {
                let (joining, leaving) = (joining.as_deref(), leaving.as_deref());
                let request = body(joining, leaving, members.as_deref(), *version);
                let reply = client.call(op::RECONFIG, &request);
                let short = |text: Option<&str>| text.map(|it| it.chars().take(60).collect());
                let what: [Option<String>; 3] = [joining, leaving, members.as_deref()].map(short);
                refused.push((
                    format!("{standalone} {enabled} {skips}: {what:?} {version}"),
                    reply.error,
                ));
            }
            // What changes nothing but the version: allowed, or forbidden by the acl.
            let reply = client.call(op::RECONFIG, &body(None, None, None, -1));
            refused.push((
                format!("{standalone} {enabled} {skips}: nothing"),
                reply.error,
            ));
        }
        // The others are unharmed.
        ensemble.check_same_state();
    }
    refused.extend(standalone(kind)?);
    Ok(refused)
}

/// A server alone.
fn standalone(kind: Kind) -> Result<Vec<(String, i32)>, Skip> {
    let mut refused = Vec::new();
    for enabled in ["true", "false"] {
        let home = tempfile::tempdir().expect("a temporary folder");
        let setup = Setup::new(kind, home.path());
        let server = setup.line("reconfigEnabled", enabled).start()?;
        let mut client = Client::connect(server.address());
        let reply = client.call(op::RECONFIG, &body(None, Some("1"), None, -1));
        refused.push((format!("alone {enabled}"), reply.error));
        client.close();
        server.terminate();
    }
    Ok(refused)
}

/// Without skipACL: the super user, and whoever that lets.
pub(crate) fn who_may() -> Result<(), Skip> {
    let ours = allowed_by(Kind::under_test())?;
    let java = allowed_by(Kind::REFERENCE)?;
    assert_eq!(ours, java);
    // Nobody; whoever reads; a stranger with a name; the super user; and then the one it lets.
    assert_eq!(ours, [-102, 0, -102, 0, 0, 0]);
    Ok(())
}

fn allowed_by(kind: Kind) -> Result<Vec<i32>, Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble = Plan::voters(&[kind])
        .line("standaloneEnabled", "false")
        .line("reconfigEnabled", "true")
        .property(
            "zookeeper.DigestAuthenticationProvider.superDigest",
            "super:lK75jTNcA+U9vtVEw5vB51mj/w4=",
        )
        .lay_out(home.path());
    ensemble.start_all()?;
    let address = ensemble.address(1);
    let named = |name: &[u8]| {
        let mut client = Client::connect(address);
        let body = Fields::new().int(0).string("digest").buffer(Some(name));
        assert_eq!(client.call_with_xid(-4, op::AUTH, &body).error, 0);
        client
    };
    let nothing = body(None, None, None, -1);
    let mut nobody = Client::connect(address);
    let mut user = named(b"user:password");
    let mut root = named(b"super:secret");
    let read = Fields::new().string(CONFIG).boolean(false);
    let mut found = vec![
        nobody.call(op::RECONFIG, &nothing).error,
        nobody.call(op::GET_DATA, &read).error,
        user.call(op::RECONFIG, &nothing).error,
        root.call(op::RECONFIG, &nothing).error,
    ];
    // The digest of user:password.
    let acl = [(31, "digest", "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=")];
    let body = Fields::new().string(CONFIG).acl(&acl).int(-1);
    found.push(root.call(op::SET_ACL, &body).error);
    found.push(user.call(op::RECONFIG, &nothing).error);
    Ok(found)
}
