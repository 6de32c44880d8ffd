//! Which input is answered, which closes the connection, and with what (client protocol, chapters
//! 1.3, 2.3, 9.2 and 12.3): one row per rule, checked against a running server.
//!
//! Not here: rows of ensembles and read-only servers, TLS, and what `exchanges` covers already
//! (required authentication).

use std::process::ExitCode;
use std::time::Duration;

use compat_tests::server::{Kind, Server, Setup};
use compat_tests::suite::{self, Skip, say};
use compat_tests::wire::{
    Client, Connection, Fields, Incoming, OPEN_ACL, PATIENCE, Record, connect_request, create, op,
    request,
};

/// `jute.maxbuffer` by default.
const MAX_FRAME: usize = 0xf_ffff;

fn main() -> ExitCode {
    suite::main(
        "bad_input",
        &[
            (
                "frames_of_impossible_length_close_the_connection",
                frame_lengths,
            ),
            ("handshakes_that_are_closed_without_a_word", handshakes),
            ("timeouts_are_clamped", timeouts),
            (
                "requests_sent_with_the_handshake_are_served_after_it",
                pipelined_handshake,
            ),
            (
                "refused_sessions_get_a_refusal_and_the_end",
                refused_sessions,
            ),
            ("auth_packets", auth_packets),
            ("ids_in_acls", ids_in_acls),
            ("requests_that_close_the_connection", closing_requests),
            ("requests_that_only_fail", failing_requests),
            ("records_cut_at_every_byte", cut_records),
            ("lengths_and_counts_of_2_to_the_31_minus_1", huge_counts),
            ("connections_over_the_limit_are_closed", connection_limits),
            (
                "a_connection_without_a_handshake_is_closed_in_time",
                sessionless,
            ),
            (
                "each_reserved_opcode_and_every_unknown_one",
                unknown_opcodes,
            ),
        ],
    )
}

fn start(settings: fn(Setup) -> Setup) -> Result<(tempfile::TempDir, Server), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = settings(Setup::new(Kind::under_test(), home.path())).start()?;
    Ok((home, server))
}

fn plain(setup: Setup) -> Setup {
    setup
}

/// Sends bytes on a new connection; the server must close it without a word.
#[track_caller]
fn closes_silently(what: &str, server: &Server, bytes: &[u8]) {
    let mut connection = Connection::open(server.address()).expect("the server accepts");
    connection.send(bytes);
    assert_eq!(connection.receive(PATIENCE), Incoming::Closed, "{what}");
}

/// As `closes_silently`, on a connection with a session.
#[track_caller]
fn closes_session_silently(what: &str, server: &Server, bytes: &[u8]) {
    let mut client = Client::connect(server.address());
    client.connection().send(bytes);
    assert_eq!(
        client.connection().receive(PATIENCE),
        Incoming::Closed,
        "{what}"
    );
}

/// Sends a request on a connection with a session: the reply must be this error, without a body,
/// and the connection must end or stay.
#[track_caller]
fn answers(what: &str, client: &mut Client, sent: (i32, Fields), error: i32, stays: bool) {
    let (opcode, body) = sent;
    let xid = client.send(opcode, &body);
    let reply = client
        .reply()
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!((reply.xid, reply.error), (xid, error), "{what}");
    if stays {
        client.ok(op::EXISTS, &Fields::new().string("/").boolean(false));
    } else {
        assert_eq!(
            client.connection().receive(PATIENCE),
            Incoming::Closed,
            "{what}"
        );
    }
}

fn frame_lengths() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    let over = i32::try_from(MAX_FRAME + 1).expect("a length");
    for length in [-1, -5, i32::MIN, over, i32::MAX, 0] {
        let bytes = Fields::new().int(length).0;
        closes_silently(&format!("length {length} first"), &server, &bytes);
        closes_session_silently(&format!("length {length} later"), &server, &bytes);
    }
    for payload in 1..8 {
        let bytes = Fields::new().raw(&vec![0; payload]).framed();
        closes_session_silently(&format!("payload of {payload} bytes"), &server, &bytes);
    }
    // The words are words only before the handshake.
    for word in ["ruok", "srvr", "mntr", "stat"] {
        closes_session_silently(word, &server, word.as_bytes());
    }

    let mut client = Client::connect(server.address());
    let overhead = request(1, op::CREATE, &create("/longest", b"", 0)).len() - 4;
    let longest = vec![b'x'; MAX_FRAME - overhead];
    assert_eq!(
        client.create("/longest", &longest, 0),
        "/longest",
        "a frame of the full length"
    );
    let (data, _) = client.get("/longest").expect("just created");
    assert_eq!(data.map(|data| data.len()), Some(longest.len()));
    Ok(())
}

fn handshakes() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    let whole = connect_request(0, &[0; 16], 10_000, 0);
    // The payload: 28 bytes, the password's length, the password, readOnly.
    for cut in 0..whole.len() - 4 - 1 {
        let bytes = Fields::new().raw(&whole[4..4 + cut]).framed();
        closes_silently(&format!("handshake of {cut} bytes"), &server, &bytes);
    }
    let zxid_ahead = connect_request(0, &[0; 16], 10_000, 1 << 40);
    closes_silently("a client that has seen the future", &server, &zxid_ahead);
    for length in [-2, 17, 1 << 20, i32::MAX] {
        let bytes = Fields::new()
            .int(0)
            .long(0)
            .int(10_000)
            .long(0)
            .int(length)
            .raw(&[0; 16]);
        closes_silently(
            &format!("password length {length}"),
            &server,
            &bytes.framed(),
        );
    }
    // These are fine: an old client, more bytes than needed, any password without a session.
    let fine = [
        Fields::new().raw(&whole[4..whole.len() - 1]),
        Fields::new().raw(&whole[4..]).raw(b"more"),
        Fields::new()
            .int(77)
            .long(0)
            .int(10_000)
            .long(0)
            .buffer(None)
            .boolean(false),
        Fields::new()
            .int(0)
            .long(0)
            .int(10_000)
            .long(0)
            .buffer(Some(b""))
            .boolean(true),
        Fields::new()
            .int(0)
            .long(0)
            .int(10_000)
            .long(0)
            .buffer(Some(&[7; 100]))
            .boolean(false),
    ];
    for (index, fields) in fine.into_iter().enumerate() {
        let mut connection = Connection::open(server.address()).expect("the server accepts");
        connection.send(&fields.framed());
        let Incoming::Frame(frame) = connection.receive(PATIENCE) else {
            panic!("handshake {index} is not answered");
        };
        let (length, read_only) = if index == 0 {
            (36, None)
        } else {
            (37, Some(0))
        };
        assert_eq!(frame.len(), length, "handshake {index}");
        assert_eq!(frame.get(36).copied(), read_only, "handshake {index}");
        let mut record = Record(&frame);
        assert_eq!(
            (record.int(), record.int()),
            (0, 10_000),
            "handshake {index}"
        );
    }
    Ok(())
}

fn timeouts() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    for (asked, granted) in [
        (-5, 4000),
        (0, 4000),
        (1, 4000),
        (3999, 4000),
        (4000, 4000),
        (4001, 4001),
        (40_000, 40_000),
        (40_001, 40_000),
        (i32::MAX, 40_000),
    ] {
        let client = Client::handshake(server.address(), 0, &[0; 16], asked).expect("a handshake");
        assert_eq!(client.timeout_ms, granted, "asked for {asked}");
        let again = Client::attach(server.address(), client.session, 12_345).expect("a handshake");
        assert_eq!(again.timeout_ms, 12_345, "renegotiated");
    }
    Ok(())
}

fn pipelined_handshake() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    let mut bytes = connect_request(0, &[0; 16], 10_000, 0);
    bytes.extend(request(1, op::CREATE, &create("/early", b"", 0)));
    bytes.extend(request(
        2,
        op::EXISTS,
        &Fields::new().string("/early").boolean(false),
    ));
    let mut connection = Connection::open(server.address()).expect("the server accepts");
    connection.send(&bytes);
    assert!(matches!(connection.receive(PATIENCE), Incoming::Frame(frame) if frame.len() == 37));
    for xid in [1, 2] {
        let Incoming::Frame(frame) = connection.receive(PATIENCE) else {
            panic!("request {xid} is not answered");
        };
        let mut record = Record(&frame);
        assert_eq!(
            (record.int(), record.long() > 0, record.int()),
            (xid, true, 0)
        );
    }
    Ok(())
}

fn refused_sessions() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    let refused = |what: &str, session: i64, password: &[u8]| {
        let mut connection = Connection::open(server.address()).expect("the server accepts");
        connection.send(&connect_request(session, password, 10_000, 0));
        let Incoming::Frame(frame) = connection.receive(PATIENCE) else {
            panic!("{what}: not answered");
        };
        let nothing = Fields::new()
            .int(0)
            .int(0)
            .long(0)
            .buffer(Some(&[0; 16]))
            .boolean(false);
        assert_eq!(frame, nothing.0, "{what}");
        assert_eq!(connection.receive(PATIENCE), Incoming::Closed, "{what}");
    };
    let mut client = Client::connect(server.address());
    client.create("/mine", b"", 1);
    let session = client.session;
    let good = compat_tests::wire::password(session);
    refused("wrong password", session, &[7; 16]);
    assert_eq!(
        client.connection().receive(PATIENCE),
        Incoming::Closed,
        "kicked all the same"
    );
    refused("short password", session, &good[..15]);
    refused("no password", session, b"");
    let unknown = session + 1_000_000;
    refused(
        "unknown session",
        unknown,
        &compat_tests::wire::password(unknown),
    );
    refused("negative session", -5, &compat_tests::wire::password(-5));
    let client = Client::attach(server.address(), session, 10_000).expect("a handshake");
    assert_eq!(client.session, session, "the session itself is untouched");
    client.close();
    refused("closed session", session, &good);
    Ok(())
}

fn auth_packets() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    let auth = |scheme: Option<&str>, data: Option<&[u8]>| {
        Fields::new()
            .int(0)
            .buffer(scheme.map(str::as_bytes))
            .buffer(data)
    };
    for (scheme, data) in [
        (Some("world"), Some(&b"anyone"[..])),
        (Some("auth"), Some(b"")),
        (Some("super"), Some(b"super:secret")),
        (Some("sasl"), Some(b"x")),
        (Some("x509"), Some(b"x")),
        (Some("nosuch"), Some(b"x")),
        (Some(""), Some(b"x")),
        (None, Some(b"x")),
        (Some("digest"), None),
    ] {
        let mut client = Client::connect(server.address());
        let what = format!("auth {scheme:?} {data:?}");
        let xid = client.send(op::AUTH, &auth(scheme, data));
        let reply = client
            .reply()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            (reply.xid, reply.zxid, reply.error),
            (xid, 0, -115),
            "{what}"
        );
        assert_eq!(
            client.connection().receive(PATIENCE),
            Incoming::Closed,
            "{what}"
        );
    }
    let mut client = Client::connect(server.address());
    for (scheme, data) in [
        ("digest", Some(&b"user:pass"[..])),
        ("digest", Some(b"no colon")),
        ("digest", Some(b"")),
        ("digest", Some(b"\xff\xfe:\x00")),
        ("ip", Some(b"ignored")),
        ("ip", None),
    ] {
        let reply = client.call(op::AUTH, &auth(Some(scheme), data));
        assert_eq!((reply.zxid, reply.error), (0, 0), "auth {scheme} {data:?}");
    }
    // What is not an auth packet at all closes without a word; nor has sasl a null token.
    for (opcode, whole) in [
        (op::AUTH, auth(Some("digest"), Some(b"user:pass"))),
        (op::SASL, Fields::new().buffer(Some(b"token"))),
    ] {
        for cut in 0..whole.0.len() {
            let bytes = request(1, opcode, &Fields::new().raw(&whole.0[..cut]));
            closes_session_silently(&format!("{opcode} cut at {cut}"), &server, &bytes);
        }
    }
    let null_token = request(1, op::SASL, &Fields::new().buffer(None));
    closes_session_silently("sasl with a null token", &server, &null_token);
    let mut client = Client::connect(server.address());
    let reply = client.call(op::SASL, &Fields::new().buffer(Some(b"token")));
    assert_eq!(
        (reply.zxid, reply.error, &reply.body[..]),
        (0, 0, &[0xff; 4][..]),
        "no sasl here"
    );
    Ok(())
}

fn ids_in_acls() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    let mut client = Client::connect(server.address());
    let mut check = |scheme: &str, id: &str, valid: bool| {
        let acl = [(31, scheme, id), (31, "world", "anyone")];
        let fields = Fields::new()
            .string("/acl-")
            .buffer(Some(b""))
            .acl(&acl)
            .int(2);
        let wanted = if valid { 0 } else { -114 };
        assert_eq!(
            client.call(op::CREATE, &fields).error,
            wanted,
            "{scheme}:{id}"
        );
    };
    for (scheme, valid, invalid) in [
        ("world", &["anyone"][..], &["", "someone", "Anyone"][..]),
        ("super", &[], &["", "admin"]),
        ("auth", &[], &["", "anything"]),
        (
            "digest",
            &["u:h", ":h", "u:h:"],
            &["", "u", "u:", ":", "a:b:c"],
        ),
        (
            "ip",
            &[
                "1.2.3.4",
                "1.2.3.4/0",
                "1.2.3.4/32",
                "+1.02.3.4",
                "255.255.255.255",
                "::1",
                "fe80::1/64",
                "0:0:0:0:0:0:0:1",
                "2001:db8::/128",
            ],
            &[
                "",
                "1.2.3",
                "127.1",
                "1.2.3.256",
                "1.2.3.4/",
                "1.2.3.4/33",
                "1.2.3.4/-1",
                "::ffff:1.2.3.4",
                "localhost",
                "::1/129",
                "1.2.3.4.5",
            ],
        ),
        ("sasl", &[], &["user@REALM"]),
        ("x509", &[], &["CN=user"]),
        ("nosuch", &[], &["x"]),
    ] {
        valid.iter().for_each(|id| check(scheme, id, true));
        invalid.iter().for_each(|id| check(scheme, id, false));
    }
    let null = |fields: Fields| {
        Fields::new()
            .string("/null-")
            .buffer(Some(b""))
            .raw(&fields.0)
            .int(2)
    };
    for (what, acl, error) in [
        ("null list", Fields::new().int(-1), -114),
        ("empty list", Fields::new().int(0), -114),
        ("negative count", Fields::new().int(-5), -114),
        (
            "null scheme",
            Fields::new().int(1).int(31).int(-1).string("anyone"),
            -114,
        ),
        (
            "null id of world",
            Fields::new().int(1).int(31).string("world").int(-1),
            -5,
        ),
    ] {
        assert_eq!(client.call(op::CREATE, &null(acl)).error, error, "{what}");
    }
    Ok(())
}

fn closing_requests() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    let mut client = Client::connect(server.address());
    let reply = client.ok(op::CLOSE_SESSION, &Fields::new());
    assert!(
        reply.zxid > 0 && reply.body.is_empty(),
        "closeSession: {reply:?}"
    );
    assert_eq!(
        client.connection().receive(PATIENCE),
        Incoming::Closed,
        "after closeSession"
    );

    // What is sent behind a closeSession gets no reply.
    let mut client = Client::connect(server.address());
    let mut bytes = request(1, op::CLOSE_SESSION, &Fields::new());
    bytes.extend(request(
        2,
        op::EXISTS,
        &Fields::new().string("/").boolean(false),
    ));
    bytes.extend(request(3, op::CLOSE_SESSION, &Fields::new()));
    client.connection().send(&bytes);
    assert_eq!(client.reply().expect("of the first").xid, 1);
    assert_eq!(
        client.connection().receive(PATIENCE),
        Incoming::Closed,
        "after closeSession"
    );
    Ok(())
}

/// -6 with zxid -1, and the end.
fn unknown_opcodes() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    for opcode in [
        -1,
        0,
        op::CHECK,
        10,
        23,
        99,
        108,
        999,
        -12,
        i32::MAX,
        i32::MIN,
    ] {
        let mut client = Client::connect(server.address());
        let xid = client.send(opcode, &Fields::new().string("/").int(-1));
        let reply = client
            .reply()
            .unwrap_or_else(|error| panic!("opcode {opcode}: {error}"));
        assert_eq!(
            (reply.xid, reply.zxid, reply.error),
            (xid, -1, -6),
            "opcode {opcode}"
        );
        assert_eq!(
            client.connection().receive(PATIENCE),
            Incoming::Closed,
            "opcode {opcode}"
        );
    }
    Ok(())
}

fn failing_requests() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    let mut client = Client::connect(server.address());
    let null = || Fields::new().buffer(None);
    let read = |path: &str| Fields::new().string(path).boolean(false);
    let typed = |path: &str, kind: i32| Fields::new().string(path).int(kind);
    let ttl = |flags: i32, ttl: i64| {
        Fields::new()
            .string("/ttl")
            .buffer(None)
            .acl(OPEN_ACL)
            .int(flags)
            .long(ttl)
    };
    let null_create = null().buffer(None).acl(OPEN_ACL).int(0);
    let rows: Vec<(&str, i32, Fields, i32)> = vec![
        // Null paths, and enumerations out of their range.
        ("create null", op::CREATE, null_create.clone(), -5),
        ("create2 null", op::CREATE2, null_create.clone(), -5),
        (
            "createContainer null",
            op::CREATE_CONTAINER,
            null_create,
            -5,
        ),
        ("delete null", op::DELETE, null().int(-1), -5),
        ("exists null", op::EXISTS, null().boolean(false), -5),
        ("getData null", op::GET_DATA, null().boolean(false), -5),
        (
            "setData null",
            op::SET_DATA,
            null().buffer(None).int(-1),
            -8,
        ),
        ("getACL null", op::GET_ACL, null(), -5),
        ("setACL null", op::SET_ACL, null().acl(OPEN_ACL).int(-1), -8),
        (
            "getChildren null",
            op::GET_CHILDREN,
            null().boolean(false),
            -5,
        ),
        (
            "getChildren2 null",
            op::GET_CHILDREN2,
            null().boolean(false),
            -5,
        ),
        (
            "getAllChildrenNumber null",
            op::GET_ALL_CHILDREN_NUMBER,
            null(),
            -5,
        ),
        ("sync null", op::SYNC, null(), 0),
        ("getEphemerals null", op::GET_EPHEMERALS, null(), 0),
        ("addWatch null", op::ADD_WATCH, null().int(0), 0),
        ("addWatch mode 2", op::ADD_WATCH, typed("/", 2), -5),
        ("addWatch mode -1", op::ADD_WATCH, typed("/", -1), -5),
        ("checkWatches type 0", op::CHECK_WATCHES, typed("/", 0), -5),
        ("checkWatches type 6", op::CHECK_WATCHES, typed("/", 6), -5),
        (
            "removeWatches type 0",
            op::REMOVE_WATCHES,
            typed("/", 0),
            -5,
        ),
        (
            "removeWatches type 6",
            op::REMOVE_WATCHES,
            typed("/", 6),
            -5,
        ),
        (
            "removeWatches without one",
            op::REMOVE_WATCHES,
            typed("/nobody", 3),
            -121,
        ),
        // Paths.
        (
            "create relative",
            op::CREATE,
            create("relative", b"", 0),
            -8,
        ),
        ("create empty", op::CREATE, create("", b"", 0), -8),
        ("create with NUL", op::CREATE, create("/a\0b", b"", 0), -8),
        ("create with tab", op::CREATE, create("/a\tb", b"", 0), -8),
        (
            "create above U+FFFF",
            op::CREATE,
            create("/\u{1f600}", b"", 0),
            -8,
        ),
        (
            "create with slash at the end",
            op::CREATE,
            create("/a/", b"", 0),
            -101,
        ),
        ("create dot", op::CREATE, create("/.", b"", 0), -8),
        ("create dots", op::CREATE, create("/..", b"", 0), -8),
        (
            "create with bad path and no parent",
            op::CREATE,
            create("/p//a", b"", 0),
            -101,
        ),
        ("create root", op::CREATE, create("/", b"", 0), -110),
        ("delete root", op::DELETE, typed("/", -1), -8),
        ("delete /zookeeper", op::DELETE, typed("/zookeeper", -1), -8),
        (
            "delete /zookeeper/quota",
            op::DELETE,
            typed("/zookeeper/quota", -1),
            -8,
        ),
        (
            "delete /zookeeper/config",
            op::DELETE,
            typed("/zookeeper/config", -1),
            -8,
        ),
        ("delete relative", op::DELETE, typed("relative", -1), -8),
        (
            "setData empty path",
            op::SET_DATA,
            Fields::new().string("").buffer(None).int(-1),
            -8,
        ),
        (
            "setACL dots",
            op::SET_ACL,
            Fields::new().string("/..").acl(OPEN_ACL).int(-1),
            -8,
        ),
        ("exists with NUL", op::EXISTS, read("/a\0"), -8),
        ("getData relative", op::GET_DATA, read("relative"), -101),
        // Flags and ttl: extended types are off.
        ("flags 7", op::CREATE, create("/f", b"", 7), -8),
        ("flags -1", op::CREATE, create("/f", b"", -1), -8),
        ("ttl while disabled", op::CREATE_TTL, ttl(5, 1000), -6),
        ("ttl by create", op::CREATE, create("/f", b"", 5), -6),
        // Not configured, or not in this kind of server.
        (
            "reconfig",
            op::RECONFIG,
            null().buffer(None).buffer(None).long(-1),
            -123,
        ),
        // Multi.
        (
            "multi of setACL",
            op::MULTI,
            part(
                op::SET_ACL,
                &Fields::new().string("/").acl(OPEN_ACL).int(-1),
            ),
            -5,
        ),
        (
            "multi of getData",
            op::MULTI,
            part(op::GET_DATA, &read("/")),
            -5,
        ),
        (
            "multi of deleteContainer",
            op::MULTI,
            part(op::DELETE_CONTAINER, &Fields::new().string("/x")),
            -5,
        ),
        (
            "multi of flags 9",
            op::MULTI,
            part(op::CREATE, &create("/f", b"", 9)),
            -5,
        ),
        (
            "multi of ttl flags",
            op::MULTI,
            part(op::CREATE, &create("/f", b"", 5)),
            -5,
        ),
        (
            "multi of null path",
            op::MULTI,
            part(op::DELETE, &null().int(-1)),
            -5,
        ),
        (
            "multiRead of exists",
            op::MULTI_READ,
            part(op::EXISTS, &read("/")),
            -5,
        ),
        (
            "multiRead of delete",
            op::MULTI_READ,
            part(op::DELETE, &typed("/", -1)),
            -5,
        ),
        (
            "setWatches with a null list",
            op::SET_WATCHES,
            Fields::new().long(0).int(-1).int(0).int(0),
            -5,
        ),
        (
            "setWatches with a null path",
            op::SET_WATCHES,
            Fields::new().long(0).int(1).int(-1).int(0).int(0),
            -5,
        ),
    ];
    let count = rows.len();
    let wrong: Vec<String> = rows
        .into_iter()
        .filter_map(|(what, opcode, body, error)| {
            let reply = client.call(opcode, &body);
            (reply.error != error).then(|| format!("{what}: {} instead of {error}", reply.error))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    say(format!("   {count} requests that fail, on one connection"));
    drop(server);

    let (_home, server) = start(|setup| {
        setup
            .line("reconfigEnabled", "true")
            .property("zookeeper.extendedTypesEnabled", "true")
    })?;
    let mut client = Client::connect(server.address());
    let mut rows = vec![
        (
            "standalone reconfig",
            op::RECONFIG,
            null().buffer(None).buffer(None).long(-1),
            -6,
        ),
        ("ttl 0", op::CREATE_TTL, ttl(5, 0), -8),
        ("ttl -1", op::CREATE_TTL, ttl(5, -1), -8),
        ("ttl 2^40", op::CREATE_TTL, ttl(5, 1 << 40), -8),
        ("ttl without its flags", op::CREATE_TTL, ttl(0, 1000), -8),
        ("ttl flags by create", op::CREATE, create("/f", b"", 5), -8),
    ];
    if Kind::under_test() == Kind::Oxkeeper {
        // Each of these kills a Java server, and again at every start from then on.
        rows.push(("ttl -1 and no ttl flags", op::CREATE_TTL, ttl(0, -1), -8));
    }
    for (what, opcode, body, error) in rows {
        answers(what, &mut client, (opcode, body), error, true);
    }
    Ok(())
}

/// A multi of one operation.
fn part(opcode: i32, body: &Fields) -> Fields {
    let end = Fields::new().int(-1).boolean(true).int(-1);
    Fields::new()
        .int(opcode)
        .boolean(false)
        .int(-1)
        .raw(&body.0)
        .raw(&end.0)
}

/// Every kind of record with its opcode.
fn records() -> Vec<(&'static str, i32, Fields)> {
    let one = |list: usize, lists: usize| {
        (0..lists).fold(Fields::new().long(0), |fields, index| {
            fields.strings(if index == list { &["/watched"] } else { &[] })
        })
    };
    let read = || Fields::new().string("/some/node").boolean(true);
    let acl = [(31, "digest", "user:hash"), (30, "world", "anyone")];
    let made = || {
        Fields::new()
            .string("/some/node")
            .buffer(Some(b"data"))
            .acl(&acl)
            .int(0)
    };
    vec![
        ("create", op::CREATE, made()),
        ("create2", op::CREATE2, made()),
        ("createContainer", op::CREATE_CONTAINER, made()),
        ("createTTL", op::CREATE_TTL, made().long(1000)),
        (
            "delete",
            op::DELETE,
            Fields::new().string("/some/node").int(3),
        ),
        ("exists", op::EXISTS, read()),
        ("getData", op::GET_DATA, read()),
        (
            "setData",
            op::SET_DATA,
            Fields::new().string("/some").buffer(Some(b"data")).int(3),
        ),
        ("getACL", op::GET_ACL, Fields::new().string("/some/node")),
        (
            "setACL",
            op::SET_ACL,
            Fields::new().string("/some/node").acl(&acl).int(3),
        ),
        ("getChildren", op::GET_CHILDREN, read()),
        ("getChildren2", op::GET_CHILDREN2, read()),
        ("sync", op::SYNC, Fields::new().string("/some/node")),
        (
            "checkWatches",
            op::CHECK_WATCHES,
            Fields::new().string("/some/node").int(3),
        ),
        (
            "removeWatches",
            op::REMOVE_WATCHES,
            Fields::new().string("/some/node").int(3),
        ),
        ("multi", op::MULTI, part(op::CREATE, &made())),
        ("multiRead", op::MULTI_READ, part(op::GET_DATA, &read())),
        (
            "getEphemerals",
            op::GET_EPHEMERALS,
            Fields::new().string("/some/node"),
        ),
        (
            "getAllChildrenNumber",
            op::GET_ALL_CHILDREN_NUMBER,
            Fields::new().string("/some"),
        ),
        (
            "addWatch",
            op::ADD_WATCH,
            Fields::new().string("/some/node").int(0),
        ),
        ("setWatches, data", op::SET_WATCHES, one(0, 3)),
        ("setWatches, exist", op::SET_WATCHES, one(1, 3)),
        ("setWatches, child", op::SET_WATCHES, one(2, 3)),
        ("setWatches2, data", op::SET_WATCHES2, one(0, 5)),
        ("setWatches2, exist", op::SET_WATCHES2, one(1, 5)),
        ("setWatches2, child", op::SET_WATCHES2, one(2, 5)),
        ("setWatches2, persistent", op::SET_WATCHES2, one(3, 5)),
        ("setWatches2, recursive", op::SET_WATCHES2, one(4, 5)),
    ]
}

fn cut_records() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    let mut client = Client::connect(server.address());
    let mut cuts = 0;
    for (what, opcode, whole) in records() {
        // In the record: an error, and the connection stays.
        for cut in 0..whole.0.len() {
            let xid = client.send(opcode, &Fields::new().raw(&whole.0[..cut]));
            let reply = client
                .reply()
                .unwrap_or_else(|error| panic!("{what} at {cut}: {error}"));
            assert_eq!((reply.xid, reply.error), (xid, -5), "{what} cut at {cut}");
            cuts += 1;
        }
        // In the frame: the rest never comes.
        let frame = request(1, opcode, &whole);
        for cut in 0..frame.len() {
            let mut client = Client::connect(server.address());
            client.connection().send(&frame[..cut]);
            cuts += 1;
        }
        client.ok(op::EXISTS, &Fields::new().string("/").boolean(false));
    }
    say(format!("   {cuts} cuts"));
    Ok(())
}

/// Every length and count of every record, one at a time, replaced by 2^31-1 and its like.
fn huge_counts() -> Result<(), Skip> {
    let (_home, server) = start(plain)?;
    let mut client = Client::connect(server.address());
    let before = server.anonymous_memory();
    let mut sent = 0;
    for (what, opcode, whole) in records() {
        for at in prefixes(&whole) {
            for value in [i32::MAX, i32::MAX - 1, 0x0100_0000, 0x7fff_0000] {
                let mut bytes = whole.0.clone();
                bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
                // Many at once, so that a buffer of the promised size would be seen.
                for _ in 0..20 {
                    client.send(opcode, &Fields::new().raw(&bytes));
                }
                for _ in 0..20 {
                    let reply = client
                        .reply()
                        .unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(reply.error, -5, "{what}, {value:#x} at {at}");
                    sent += 1;
                }
            }
        }
    }
    say(format!("   {sent} requests"));
    if Kind::under_test() == Kind::Oxkeeper {
        let grown = server.anonymous_memory().saturating_sub(before);
        assert!(grown <= 64 << 20, "memory grew by {grown} bytes");
    }
    Ok(())
}

/// Where a record has a length or a count: an int that tells how many bytes or entries follow.
fn prefixes(whole: &Fields) -> Vec<usize> {
    let bytes = &whole.0;
    (0..bytes.len().saturating_sub(3))
        .filter(|&at| {
            let value = i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
            let follows = usize::try_from(value).is_ok_and(|length| {
                // A string that starts as ours do, or the count of a list of them.
                length > 0
                    && at + 4 + length <= bytes.len()
                    && matches!(
                        bytes[at + 4..].first(),
                        Some(b'/' | b'd' | b'u' | b'w' | b'a')
                    )
            });
            let list = (1..=2).contains(&value)
                && bytes
                    .get(at + 4..at + 8)
                    .is_some_and(|next| next[..3] == [0, 0, 0]);
            follows || list
        })
        .collect()
}

fn connection_limits() -> Result<(), Skip> {
    let (_home, server) = start(|setup| setup.line("maxClientCnxns", "3"))?;
    // The probe that waited for the start may still count.
    let mut clients = Vec::new();
    let mut over = None;
    for _ in 0..4 {
        // The reset may come before this end has set the connection up.
        let Ok(mut connection) = Connection::open(server.address()) else {
            over = Some(Incoming::Closed);
            continue;
        };
        connection.send(&connect_request(0, &[0; 16], 10_000, 0));
        match connection.receive(PATIENCE) {
            Incoming::Frame(_) => clients.push(connection),
            end => over = Some(end),
        }
    }
    assert_eq!(
        (clients.len(), over),
        (3, Some(Incoming::Closed)),
        "the fourth of one address"
    );
    let elsewhere = std::net::Ipv4Addr::new(127, 0, 0, 2);
    let stream = compat_tests::wire::connect_from(elsewhere, server.address());
    let mut other = Connection::over(stream.expect("another address"));
    other.send(&connect_request(0, &[0; 16], 10_000, 0));
    assert!(
        matches!(other.receive(PATIENCE), Incoming::Frame(_)),
        "another address"
    );
    clients.pop();
    let begun = std::time::Instant::now();
    loop {
        // The reset of a connection over the limit may come before this end has set it up.
        if let Ok(mut connection) = Connection::open(server.address()) {
            connection.send(&connect_request(0, &[0; 16], 10_000, 0));
            if let Incoming::Frame(_) = connection.receive(PATIENCE) {
                break;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "no place after one has gone");
    }
    drop(server);

    let (_home, server) = start(|setup| setup.line("maxCnxns", "2"))?;
    // One after the other: Apache counts a connection only some time after it was accepted.
    let mut served = Vec::new();
    for _ in 0..4 {
        let Ok(mut connection) = Connection::open(server.address()) else {
            continue;
        };
        connection.send(&connect_request(0, &[0; 16], 10_000, 0));
        if let Incoming::Frame(_) = connection.receive(PATIENCE) {
            served.push(connection);
        }
    }
    assert_eq!(served.len(), 2, "of four connections from anywhere");
    Ok(())
}

fn sessionless() -> Result<(), Skip> {
    let (_home, server) =
        start(|setup| setup.property("zookeeper.nio.sessionlessCnxnTimeout", "1000"))?;
    let begun = std::time::Instant::now();
    let handshake = connect_request(0, &[0; 16], 10_000, 0);
    // One says nothing, one does not come to an end of its handshake.
    let mut silent = Connection::open(server.address()).expect("the server accepts");
    let mut slow = Connection::open(server.address()).expect("the server accepts");
    slow.send(&handshake[..20]);
    let mut client = Client::connect(server.address());
    for connection in [&mut silent, &mut slow] {
        assert_eq!(
            connection.receive(Duration::from_secs(10)),
            Incoming::Closed
        );
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(900),
        "too soon: {:?}",
        begun.elapsed()
    );
    client.ok(op::EXISTS, &Fields::new().string("/").boolean(false));
    Ok(())
}
