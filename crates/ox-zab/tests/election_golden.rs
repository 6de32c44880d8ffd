//! Java's elections, played again with one of the servers replaced by ours: it must send the very
//! bytes that Java sent, and come to the same leader.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use ox_proto::{EnsembleConfig, MemberRole, Notification, PeerState, ServerId, Zxid};
use ox_zab::{Election, ElectionOutput, ElectionSettings, ElectionTiming};

/// The messages of one direction of a connection.
fn messages(stream: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(folder.join(format!("{stream}.hex"))).unwrap();
    let mut bytes = &hex::decode(text.replace('\n', "")).unwrap()[..];
    if stream.ends_with("c2s") {
        // The introduction: protocol, id, and a length with an address behind it.
        let length = u32::from_be_bytes(bytes[16..20].try_into().unwrap());
        bytes = &bytes[20 + usize::try_from(length).unwrap()..];
    }
    let mut messages = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
        messages.push(rest[..length].to_vec());
        bytes = &rest[length..];
    }
    messages
}

/// Our server in the place of one of Java's.
struct Replaced {
    election: Election,
    now_ms: i64,
    sent: Vec<(ServerId, Vec<u8>)>,
}

impl Replaced {
    /// With the configuration that Java's servers tell each other.
    fn new(server: i64) -> Self {
        let notification = Notification::parse(&messages("026-election-2-to-1.c2s")[0]).unwrap();
        let text = String::from_utf8(notification.config.unwrap().to_vec()).unwrap();
        let config = Arc::new(EnsembleConfig::parse(&text).unwrap());
        let settings = ElectionSettings {
            server: ServerId(server),
            role: MemberRole::Participant,
            committed: Arc::clone(&config),
            last_seen: config,
            reconfig_enabled: false,
            timing: ElectionTiming::default(),
        };
        Self {
            election: Election::new(settings),
            now_ms: 0,
            sent: Vec::new(),
        }
    }

    fn look(&mut self, last_zxid: Zxid, current_epoch: i64) {
        self.election.look(self.now_ms, last_zxid, current_epoch);
        self.collect();
    }

    fn hear(&mut self, from: i64, message: &[u8]) {
        let notification = Notification::parse(message).unwrap();
        self.election
            .handle(self.now_ms, ServerId(from), &notification);
        self.collect();
    }

    /// Waits for better votes, if it does not follow or lead already.
    #[track_caller]
    fn elects(&mut self, leader: i64, state: PeerState) {
        if let Some(at) = self.election.poll_timeout() {
            self.now_ms = at;
            self.election.timeout(at, true);
            self.collect();
        }
        let vote = self.election.vote().unwrap();
        assert_eq!(
            (vote.leader, self.election.state()),
            (ServerId(leader), state)
        );
    }

    fn collect(&mut self) {
        while let Some(output) = self.election.poll_output() {
            match output {
                ElectionOutput::Send { to, notification } => {
                    self.sent.push((to, notification.to_bytes()));
                }
                ElectionOutput::Elected { .. } => {}
                ElectionOutput::DialAll | ElectionOutput::AdoptConfig(_) => {
                    panic!("{output:?}")
                }
            }
        }
    }

    /// What went to one server since this was last asked for it.
    fn sent_to(&mut self, server: i64) -> Vec<Vec<u8>> {
        let mine = self.sent.extract_if(.., |(to, _)| *to == ServerId(server));
        mine.map(|(_, message)| message).collect()
    }
}

#[test]
fn a_cold_start_and_all_who_come_late() {
    let (mut one, mut two) = (Replaced::new(1), Replaced::new(2));
    let from_two = messages("026-election-2-to-1.c2s");
    let from_one = messages("026-election-2-to-1.s2c");
    one.look(Zxid::ZERO, 0);
    two.look(Zxid::ZERO, 0);
    from_two.iter().for_each(|message| one.hear(2, message));
    from_one.iter().for_each(|message| two.hear(1, message));
    one.elects(2, PeerState::Following);
    two.elects(2, PeerState::Leading);
    assert_eq!(one.sent_to(2), from_one);
    assert_eq!(two.sent_to(1), from_two);

    one.election.established(1);
    two.election.established(1);
    for (server, late, observer) in [
        (&mut one, "053-election-3-to-1", "071-election-4-to-1"),
        (&mut two, "054-election-3-to-2", "073-election-4-to-2"),
    ] {
        // The first message that 3 gets is the last one that could not be sent before.
        let mut expected = messages(&format!("{late}.s2c"));
        assert_eq!(server.sent_to(3).pop(), Some(expected.remove(0)));
        for message in messages(&format!("{late}.c2s")) {
            server.hear(3, &message);
        }
        assert_eq!(server.sent_to(3), expected);
        for message in messages(&format!("{observer}.c2s")) {
            server.hear(4, &message);
        }
        assert_eq!(server.sent_to(4), messages(&format!("{observer}.s2c")));
    }
}

#[test]
fn two_leaders_end_and_a_follower_elects_each_time() {
    let last = Zxid::new(1, 0x1c);
    let mut one = Replaced::new(1);
    one.look(last, 1);
    for message in messages("124-election-3-to-1.c2s") {
        one.hear(3, &message);
    }
    one.elects(3, PeerState::Following);
    one.election.established(2);
    assert_eq!(one.sent_to(3), messages("124-election-3-to-1.s2c"));

    let mut expected = messages("137-election-2-to-1.s2c");
    assert_eq!(one.sent_to(2).pop(), Some(expected.remove(0)));
    let from_two = messages("137-election-2-to-1.c2s");
    one.hear(2, &from_two[0]);
    one.look(last, 2);
    one.hear(2, &from_two[1]);
    one.elects(2, PeerState::Following);
    one.election.established(3);
    assert_eq!(one.sent_to(2), expected);

    let mut expected = messages("157-election-3-to-1.s2c");
    assert_eq!(one.sent_to(3).pop(), Some(expected.remove(0)));
    let from_three = messages("157-election-3-to-1.c2s");
    one.hear(3, &from_three[0]);
    one.hear(3, &from_three[1]);
    one.look(last, 3);
    one.hear(3, &from_three[2]);
    one.hear(3, &from_three[3]);
    one.elects(3, PeerState::Following);
    assert_eq!(one.sent_to(3), expected);
}

#[test]
fn a_former_leader_comes_back_and_leads_again() {
    let mut two = Replaced::new(2);
    let from_one = messages("137-election-2-to-1.s2c");
    let from_three = messages("139-election-3-to-2.c2s");
    two.look(Zxid::new(1, 0x1d), 1);
    two.hear(1, &from_one[0]);
    two.hear(3, &from_three[0]);
    two.hear(1, &from_one[1]);
    two.hear(3, &from_three[1]);
    two.elects(3, PeerState::Following);
    two.election.established(2);
    assert_eq!(two.sent_to(3), messages("139-election-3-to-2.s2c"));

    two.look(Zxid::new(1, 0x1c), 2);
    two.hear(1, &from_one[2]);
    two.hear(1, &from_one[3]);
    two.elects(2, PeerState::Leading);
    two.election.established(3);
    assert_eq!(two.sent_to(1), messages("137-election-2-to-1.c2s"));

    let mut expected = messages("156-election-3-to-2.s2c");
    assert_eq!(two.sent_to(3).pop(), Some(expected.remove(0)));
    for message in messages("156-election-3-to-2.c2s") {
        two.hear(3, &message);
    }
    assert_eq!(two.sent_to(3), expected);
}

#[test]
fn who_comes_late_finds_the_leader() {
    let mut three = Replaced::new(3);
    three.look(Zxid::ZERO, 0);
    for (from, stream) in [(2, "054-election-3-to-2"), (1, "053-election-3-to-1")] {
        for message in messages(&format!("{stream}.s2c")) {
            three.hear(from, &message);
        }
        assert_eq!(three.sent_to(from), messages(&format!("{stream}.c2s")));
    }
    three.elects(2, PeerState::Following);
}
