//! Whatever clients of several members do, and whatever the members do not hear for a while: every
//! request of a connection that stays is answered, in order, and in the end all have the same tree
//! and nothing is left of connections that have ended.

use std::collections::BTreeMap;

use ox_proto::{Request, SessionId};
use ox_replica::{LocalSessions, Mode, Settings};
use proptest::prelude::*;

use crate::ensemble::{Ensemble, Sid};
use crate::random::any_request;
use crate::server::*;

const MEMBERS: Sid = 3;

#[derive(Clone, Debug)]
enum Step {
    Send(Sid, u32, Vec<Request>),
    Connect(Sid, u32),
    /// With the session that this connection has, or had.
    Reattach(Sid, u32, (Sid, u32)),
    Disconnect(Sid, u32),
    Deaf(Sid),
    Hear(Sid),
    Disk(Sid, bool),
    Wait(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let sid = || 1..=MEMBERS;
    let client = || 1..3_u32;
    let request = prop_oneof![9 => any_request(), 1 => Just(sync())];
    prop_oneof![
        8 => (sid(), client(), proptest::collection::vec(request, 1..5))
            .prop_map(|(sid, client, requests)| Step::Send(sid, client, requests)),
        4 => (sid(), client()).prop_map(|(sid, client)| Step::Connect(sid, client)),
        3 => (sid(), client(), (sid(), client()))
            .prop_map(|(sid, client, of)| Step::Reattach(sid, client, of)),
        1 => (sid(), client()).prop_map(|(sid, client)| Step::Disconnect(sid, client)),
        2 => sid().prop_map(Step::Deaf),
        4 => sid().prop_map(Step::Hear),
        2 => (sid(), any::<bool>()).prop_map(|(sid, syncs)| Step::Disk(sid, syncs)),
        2 => prop_oneof![0..500_i64, 0..8000_i64].prop_map(Step::Wait),
    ]
}

/// A connection, as its client sees it.
#[derive(Default)]
struct Connection {
    /// It may have a session, and has not been closed.
    is_open: bool,
    has_session: bool,
    /// Numbers of requests that wait for their answers.
    waiting: Vec<i32>,
}

struct Run {
    ensemble: Ensemble,
    connections: BTreeMap<(Sid, u32), Connection>,
    /// Of the last request.
    xid: i32,
}

impl Run {
    fn new(local_sessions: LocalSessions) -> Self {
        let settings = Settings {
            local_sessions,
            read_only: true,
            ..settings()
        };
        Self {
            ensemble: Ensemble::with(MEMBERS, 0, settings),
            connections: BTreeMap::new(),
            xid: 0,
        }
    }

    fn step(&mut self, step: Step) {
        let e = &mut self.ensemble;
        match step {
            Step::Send(sid, client, requests) => {
                let Some(connection) = self.connections.get_mut(&(sid, client)) else {
                    return;
                };
                // A connection without a session is not read.
                if connection.is_open && connection.has_session {
                    // A session's requests are numbered on over its connections.
                    e.on(sid, |s| s.number_after(self.xid));
                    for request in &requests {
                        self.xid += 1;
                        connection.waiting.push(self.xid);
                        // Nothing is answered behind the last request.
                        if matches!(request, Request::CloseSession) {
                            break;
                        }
                    }
                    e.do_on(sid, |s| s.send(client, &requests));
                    self.xid += 10;
                }
            }
            Step::Connect(sid, client) if e.member(sid).is_free(client) => {
                self.connections.insert((sid, client), open());
                e.connect_later(sid, client);
            }
            Step::Reattach(sid, client, (of, its)) if e.member(sid).is_free(client) => {
                let session = e.member(of).session(its);
                if session != SessionId::NONE {
                    self.connections.insert((sid, client), open());
                    e.do_on(sid, |s| s.reattach(client, session));
                }
            }
            Step::Disconnect(sid, client) => self.disconnect(sid, client),
            Step::Deaf(sid) => e.make_deaf(sid),
            Step::Hear(sid) => e.let_hear(sid),
            Step::Disk(sid, syncs) => e.set_disk(sid, syncs),
            Step::Wait(ms) => e.wait(ms),
            Step::Connect(..) | Step::Reattach(..) => {}
        }
        self.hear();
    }

    fn disconnect(&mut self, sid: Sid, client: u32) {
        if self.connections.remove(&(sid, client)).is_some() {
            self.ensemble.do_on(sid, |s| s.disconnect(client));
        }
    }

    /// Takes in what clients were told.
    fn hear(&mut self) {
        for line in self.ensemble.take_said() {
            let (name, what) = line.split_once(": ").expect("a name");
            let (sid, client) = name.split_once('/').expect("a member");
            let (sid, client) = (sid.parse().expect("a number"), client.parse().expect("too"));
            let Some(connection) = self.connections.get_mut(&(sid, client)) else {
                // It has ended by itself.
                continue;
            };
            match what.split_once(' ') {
                None if what == "session" => connection.has_session = true,
                None if what == "refused" => {}
                None if what == "close" => {
                    connection.is_open = false;
                    self.disconnect(sid, client);
                }
                None => assert_eq!(what, "release"),
                Some(("session,", _)) => connection.has_session = true,
                Some((xid, _)) => {
                    // Anything else is an event.
                    if let Ok(xid) = xid.parse::<i32>() {
                        assert_eq!(connection.waiting.remove(0), xid, "{line}");
                    }
                }
            }
        }
    }

    fn finish(&mut self) {
        for sid in 1..=MEMBERS {
            self.ensemble.set_disk(sid, true);
            self.ensemble.let_hear(sid);
        }
        // Whoever has lost its leader finds one; some may have to find out first that it is lost.
        for _ in 0..100 {
            self.ensemble.wait(1000);
            self.hear();
            let mut modes = self.ensemble.modes().into_iter();
            if modes.all(|mode| [Some(Mode::Leader), Some(Mode::Follower)].contains(&mode)) {
                break;
            }
        }
        if (1..=MEMBERS).any(|sid| self.ensemble.member(sid).owes_state) {
            return;
        }
        for ((sid, client), connection) in &self.connections {
            assert!(connection.waiting.is_empty(), "{sid}/{client} waits");
        }
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for (sid, client) in connections {
            self.disconnect(sid, client);
        }
        // What is committed last reaches all by the next ping at the latest.
        self.ensemble.wait(1000);
        for sid in 1..=MEMBERS {
            assert!(self.ensemble.member(sid).has_released_all(), "server {sid}");
        }
        let digest = |sid: Sid| self.ensemble.member(sid).database.tree.digest();
        assert_eq!((digest(1), digest(2)), (digest(3), digest(3)));
        let sessions = |sid: Sid| &self.ensemble.member(sid).database.sessions;
        assert!(sessions(1) == sessions(2) && sessions(2) == sessions(3));
    }
}

fn open() -> Connection {
    Connection {
        is_open: true,
        ..Connection::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn all_is_answered_in_order_and_nothing_is_left(
        local_sessions in prop_oneof![
            Just(LocalSessions::Off),
            Just(LocalSessions::On),
            Just(LocalSessions::Upgrading),
        ],
        steps in proptest::collection::vec(any_step(), 1..60),
    ) {
        let mut run = Run::new(local_sessions);
        for step in steps {
            run.step(step);
        }
        run.finish();
    }
}
