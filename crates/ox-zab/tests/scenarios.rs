//! One member, step by step: what happens to it, and behind `>` all that it wants done.
//!
//! A scenario is a file in `scenarios`. It begins with the server: `server 2 of 3 observers 1`,
//! what its log holds (`snapshot 1:2`, `log 1:3 1:4`), its accepted and current epochs (`epochs 1
//! 1`), how much of the log it keeps in memory (`keep 9`), and `force snapshots`. Then come the
//! steps; a zxid is written epoch:counter, a connection `L1`, a vote as in the election's tests,
//! and `#` begins a comment. `OX_REWRITE=1` writes what is wanted anew, for a person to read.

#![expect(
    clippy::unwrap_used,
    reason = "the whole file is a test, and its helpers read files that it brings along"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ox_proto::{
    EnsembleConfig, ErrorTxn, LearnerInfo, Member, MemberRole, Notification, OpCode, PacketType,
    PeerState, QuorumPacket, ServerId, SessionId, Txn, TxnHeader, TxnRecord, Zxid,
};
use ox_zab::{
    DiskDone, DiskRequest, ElectionTiming, Epochs, History, Input, LeaderSettings, LinkId,
    LogSearch, Membership, ObserverSettings, Output, Peer, ZabSettings,
};

macro_rules! scenarios {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $($(#[$meta])* #[test] fn $name() { check(stringify!($name)); })*
    };
}

scenarios! {
    a_late_follower_gets_what_it_lacks,
    a_leader_makes_way_for_who_has_promised_more,
    a_leader_of_an_impossible_epoch_is_left,
    a_learner_is_not_late_for_what_it_could_not_do,
    a_learner_leaves_a_leader_that_breaks_the_rules,
    a_log_that_cannot_be_cut_is_replaced,
    a_server_that_connects_twice_is_synchronized_once,
    a_state_is_shown_when_all_that_is_in_it_has_come,
    a_state_that_comes_too_late_ends_any_role,
    a_tail_of_an_older_epoch_is_cut,
    a_tail_of_this_leader_is_kept,
    a_whole_state_takes_the_place_of_all,
    acks_of_an_earlier_connection_do_not_count,
    an_observer_is_informed,
    an_observer_takes_a_change_of_members_for_a_transaction,
    epochs_cannot_be_used_up,
    first_formation_of_a_follower,
    first_formation_of_the_leader,
    forced_snapshots_stop_at_the_learners_tail,
    no_cut_across_an_epoch_once_established,
    nothing_is_proposed_before_a_quorum_holds_the_history,
    strangers_change_nothing,
    the_leader_is_lost_before_it_is_established,
    the_leader_of_a_late_follower,
    who_must_not_vote_gets_the_whole_state,
    who_says_nothing_gives_way,
    zk2678_neither_diff_nor_trunc_needs_a_snapshot,
    zk2845_an_uncommitted_tail_counts_in_the_next_election,
    zk3104_newleader_comes_behind_the_state_and_all_proposals,
    zk3104_newleader_waits_until_the_state_has_come,
    zk3642_a_state_that_has_come_in_vain_is_unread,
    zk3701_a_leader_whose_disk_is_stuck_gives_up,
    zk3911_what_is_committed_in_a_sync_is_logged_before_the_ack,
    zk4394_a_commit_between_newleader_and_uptodate,
    zk4643_the_epoch_is_stored_behind_the_data,
    zk4643_the_epoch_is_stored_behind_the_snapshot,
    zk4646_newleader_is_acknowledged_when_all_is_on_the_disk,
    zk4685_acks_before_that_of_newleader_do_no_harm,
    zk4685_newleader_is_acknowledged_first,
    zk4712_no_role_begins_while_the_disk_is_at_work,
    zk4785_a_sync_is_not_acknowledged_piece_by_piece,
    zk4925_a_hole_is_not_taken,
    zk4925_what_was_synchronized_is_sent_on_without_a_hole,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

#[test]
fn every_scenario_is_played() {
    let files: BTreeSet<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let played = NAMES.iter().map(|name| format!("{name}.txt")).collect();
    assert_eq!(files, played);
}

#[track_caller]
fn check(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let expected = std::fs::read_to_string(&path).unwrap();
    let found = play(&expected);
    if std::env::var_os("OX_REWRITE").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    assert!(found == expected, "found\n{found}\nexpected\n{expected}");
}

fn play(script: &str) -> String {
    let mut setup = Setup::default();
    let mut stage: Option<Stage> = None;
    let mut transcript = String::new();
    for line in script.lines().filter(|line| !line.starts_with('>')) {
        writeln!(transcript, "{line}").unwrap();
        let step = line.split('#').next().unwrap().trim();
        let words: Vec<_> = step.split_whitespace().collect();
        match (&words[..], &mut stage) {
            ([], _) => {}
            (["start"], stage) => {
                let peer = stage.insert(setup.build());
                peer.peer.start(0);
                peer.outputs(&mut transcript);
            }
            (words, None) => setup.take(words),
            (words, Some(stage)) => {
                stage.step(words, &mut transcript);
                stage.outputs(&mut transcript);
            }
        }
    }
    transcript
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse()
        .ok()
        .unwrap_or_else(|| panic!("{text} is no number"))
}

fn zxid(text: &str) -> Zxid {
    match text.split_once(':') {
        Some((epoch, counter)) => Zxid::new(number(epoch), number(counter)),
        None => Zxid(number(text)),
    }
}

fn show_zxid(zxid: Zxid) -> String {
    match zxid.0 {
        ..0 => zxid.0.to_string(),
        0.. => format!("{}:{}", zxid.epoch(), zxid.counter()),
    }
}

fn link(text: &str) -> LinkId {
    LinkId(number(text.strip_prefix('L').expect("a link")))
}

fn payload(zxid: Zxid) -> Bytes {
    let record = TxnRecord {
        header: TxnHeader {
            client_id: SessionId::NONE,
            cxid: 0,
            zxid,
            time: 0,
            op: OpCode::Error,
        },
        txn: Txn::Error(ErrorTxn { err: -101 }),
        digest: None,
    };
    let mut payload = Vec::new();
    record.encode(&mut payload);
    payload.into()
}

#[derive(Default)]
struct Setup {
    server: i64,
    voters: i64,
    observers: i64,
    snapshot: Zxid,
    log: Vec<Zxid>,
    accepted: u32,
    current: Option<u32>,
    keep: Option<usize>,
    force_snapshot_sync: bool,
}

impl Setup {
    fn take(&mut self, words: &[&str]) {
        match *words {
            ["server", server, "of", voters, ref rest @ ..] => {
                (self.server, self.voters) = (number(server), number(voters));
                self.current = Some(0);
                if let ["observers", observers] = *rest {
                    self.observers = number(observers);
                }
            }
            ["snapshot", last] => self.snapshot = zxid(last),
            ["log", ref entries @ ..] => self.log = entries.iter().map(|it| zxid(it)).collect(),
            ["epochs", accepted, current] => {
                self.accepted = number(accepted);
                self.current = (current != "none").then(|| number(current));
            }
            ["keep", entries] => self.keep = Some(number(entries)),
            ["force", "snapshots"] => self.force_snapshot_sync = true,
            ref other => panic!("what is {other:?}?"),
        }
    }

    fn build(&self) -> Stage {
        let member = |server| {
            let id = ServerId(server);
            let role = match server <= self.voters {
                true => "participant",
                false => "observer",
            };
            (id, Member::parse(id, &format!("h:1:2:{role}")).unwrap())
        };
        let config = EnsembleConfig {
            members: (1..=self.voters + self.observers).map(member).collect(),
            ..EnsembleConfig::default()
        };
        let mut history = History::new(self.snapshot, self.keep.unwrap_or(100));
        for &entry in &self.log {
            history.recovered(entry, &payload(entry));
        }
        let settings = ZabSettings {
            reconfig: None,
            own: ServerId(self.server),
            tick_ms: 1000,
            init_limit: 10,
            sync_limit: 5,
            force_snapshot_sync: self.force_snapshot_sync,
            leader: LeaderSettings::default(),
            observers: ObserverSettings {
                election_delay_ms: 0,
                ..ObserverSettings::default()
            },
            max_record: 1000,
        };
        let membership = Membership {
            proposed: None,
            role: match self.server <= self.voters {
                true => MemberRole::Participant,
                false => MemberRole::Observer,
            },
            config: Arc::new(config),
            epochs: Epochs {
                accepted: self.accepted,
                current: self.current,
            },
            timing: ElectionTiming::default(),
        };
        Stage {
            peer: Peer::member(settings, membership, history),
            now: 0,
        }
    }
}

struct Stage {
    peer: Peer,
    now: i64,
}

impl Stage {
    fn step(&mut self, words: &[&str], transcript: &mut String) {
        let input = match *words {
            ["at", now] => {
                self.now = number(now);
                return;
            }
            ["propose"] => {
                let Some(zxid) = self.peer.next_zxid() else {
                    transcript.push_str("> may not propose\n");
                    return;
                };
                writeln!(transcript, "> may propose {}", show_zxid(zxid)).unwrap();
                return self.peer.propose(self.now, zxid, payload(zxid));
            }
            ["roll", "over"] => return self.peer.roll_over(self.now),
            ["answer", ref packet @ ..] => {
                return self.peer.send_to_leader(self.now, parse_packet(packet));
            }
            ["timeout"] => Input::Timeout { delivered: true },
            ["silenced", server] => Input::Silenced {
                server: ServerId(number(server)),
            },
            ["accepted", at] => Input::Accepted { link: link(at) },
            ["closed", at] => Input::Closed { link: link(at) },
            ["dialed", server, ref at @ ..] => Input::Dialed {
                server: ServerId(number(server)),
                link: at.first().map(|at| link(at)),
            },
            ["replaced", at] => Input::Replaced { link: link(at) },
            ["flushed", last] => Input::Flushed(zxid(last)),
            ["done", ref done @ ..] => Input::Done(parse_done(done)),
            ["found", at, ref found @ ..] => Input::Found {
                link: link(at),
                found: match *found {
                    ["it"] => LogSearch::Found,
                    ["nothing"] => LogSearch::Unusable,
                    ["between", before, behind] => LogSearch::Between {
                        before: zxid(before),
                        behind: zxid(behind),
                    },
                    ref other => panic!("what is {other:?}?"),
                },
            },
            [at, ref packet @ ..] if at.starts_with('L') => Input::Received {
                link: link(at),
                packet: parse_packet(packet),
            },
            [from, state, leader, last, round, epoch] if from.ends_with(':') => {
                Input::Notification {
                    from: ServerId(number(&from[..from.len() - 1])),
                    notification: Notification {
                        state: Some(state_of(state)),
                        leader: ServerId(number(leader)),
                        zxid: zxid(last),
                        election_epoch: number(&round[1..]),
                        peer_epoch: number(&epoch[1..]),
                        version: 2,
                        config: None,
                    },
                }
            }
            ref other => panic!("what is {other:?}?"),
        };
        self.peer.handle(self.now, input);
    }

    /// Equal votes to several servers are one line.
    fn outputs(&mut self, transcript: &mut String) {
        let mut last = None;
        while let Some(output) = self.peer.poll_output() {
            if let Output::Notify { to, notification } = output {
                let vote = show_vote(&notification);
                if last.as_ref() == Some(&vote) {
                    let at = transcript.rfind(": ").unwrap();
                    transcript.insert_str(at, &format!(" {}", to.0));
                } else {
                    writeln!(transcript, "> to {}: {vote}", to.0).unwrap();
                }
                last = Some(vote);
            } else {
                writeln!(transcript, "> {}", show(&output)).unwrap();
                last = None;
            }
        }
    }
}

fn state_of(text: &str) -> PeerState {
    (0..4)
        .filter_map(PeerState::from_code)
        .find(|state| format!("{state:?}").to_uppercase() == text)
        .unwrap()
}

fn parse_done(words: &[&str]) -> DiskDone {
    match *words {
        ["accepted", epoch] => DiskDone::EpochAccepted(number(epoch)),
        ["announced", epoch] => DiskDone::EpochAnnounced(number(epoch)),
        ["entered", epoch] => DiskDone::EpochEntered(number(epoch)),
        ["truncated", last] => DiskDone::Truncated { last: zxid(last) },
        ["not", "truncated"] => DiskDone::NotTruncated,
        ["installed", last] => DiskDone::Installed { last: zxid(last) },
        ["reloaded", last] => DiskDone::Reloaded { last: zxid(last) },
        ref other => panic!("what is {other:?}?"),
    }
}

/// Type and zxid, and what else matters in packets of this type.
fn parse_packet(words: &[&str]) -> QuorumPacket {
    let [name, last, rest @ ..] = words else {
        panic!("what is {words:?}?");
    };
    let r#type = (0..20)
        .map(PacketType::from_code)
        .find(|it| format!("{it:?}").to_uppercase() == *name)
        .unwrap_or(PacketType::Unknown(99));
    let mut packet = QuorumPacket::bare(r#type, zxid(last));
    packet.data = match *rest {
        [] => match r#type {
            PacketType::Proposal | PacketType::Inform => Some(payload(packet.zxid)),
            PacketType::InformAndActivate => {
                Some([&[0; 8][..], &payload(packet.zxid)].concat().into())
            }
            PacketType::Ping => Some(Bytes::new()),
            _ => None,
        },
        ["sid", server, ref rest @ ..] => {
            let info = LearnerInfo {
                server: ServerId(number(server)),
                protocol_version: match rest.contains(&"old") {
                    true => 1,
                    false => LearnerInfo::PROTOCOL,
                },
                config_version: i64::from(rest.contains(&"configured")),
            };
            Some(info.to_bytes().into())
        }
        ["current", epoch] => {
            let epoch: i32 = number(epoch);
            Some(epoch.to_be_bytes().to_vec().into())
        }
        ["like", other] => Some(payload(zxid(other))),
        ["garbage"] => Some(Bytes::from_static(b"garbage")),
        ref other => panic!("what is {other:?}?"),
    };
    packet
}

fn show_packet(packet: &QuorumPacket) -> String {
    let (name, last) = (format!("{:?}", packet.r#type), show_zxid(packet.zxid));
    let data = packet.data.as_deref();
    let more = match packet.r#type {
        PacketType::FollowerInfo | PacketType::ObserverInfo => {
            let info = LearnerInfo::parse(data.unwrap()).unwrap();
            format!(" sid {}", info.server.0)
        }
        PacketType::AckEpoch => {
            let current = data.unwrap().try_into().unwrap();
            format!(" current {}", i32::from_be_bytes(current))
        }
        PacketType::Proposal | PacketType::Inform => {
            assert_eq!(data, Some(&payload(packet.zxid)[..]));
            String::new()
        }
        _ => String::new(),
    };
    format!("{} {last}{more}", name.to_uppercase())
}

fn show_vote(vote: &Notification) -> String {
    let or_dash = |number: i64| match number {
        i64::MIN => "-".to_owned(),
        number => number.to_string(),
    };
    format!(
        "{} {} {} r{} e{}",
        format!("{:?}", vote.state.unwrap()).to_uppercase(),
        or_dash(vote.leader.0),
        if vote.zxid.0 == i64::MIN {
            "-".to_owned()
        } else {
            show_zxid(vote.zxid)
        },
        vote.election_epoch,
        or_dash(vote.peer_epoch),
    )
}

fn show(output: &Output) -> String {
    let at = |link: &LinkId| format!("L{}", link.0);
    match output {
        Output::Notify { .. } => unreachable!("shown with the others"),
        Output::DialPeers => "dial all".to_owned(),
        Output::Dial { server } => format!("dial {}", server.0),
        Output::DialMaster { server } => format!("dial {} for observers", server.0),
        Output::Send { link, packet } => format!("{} {}", at(link), show_packet(packet)),
        Output::SendLog { link, after, to } => {
            let (after, to) = (show_zxid(*after), show_zxid(*to));
            format!("{} the log behind {after} up to {to}", at(link))
        }
        Output::SendState { link } => format!("{} the state", at(link)),
        Output::ReadTimeout { link, after_ms } => {
            format!("{} may be silent for {after_ms} ms", at(link))
        }
        Output::Close { link } => format!("{} close", at(link)),
        Output::Search { link, zxid, to } => {
            let (zxid, to) = (show_zxid(*zxid), show_zxid(*to));
            format!("search the log for {zxid} before {to} for {}", at(link))
        }
        Output::Append { record, .. } => format!("append {}", show_zxid(record.header.zxid)),
        Output::Disk(request) => match request.clone() {
            DiskRequest::AcceptEpoch(epoch) => format!("disk: accept {epoch}"),
            DiskRequest::AnnounceEpoch(epoch) => format!("disk: announce {epoch}"),
            DiskRequest::EnterEpoch(epoch) => format!("disk: enter {epoch}"),
            DiskRequest::Truncate { to, reload } => {
                let then = if reload { ", and reload" } else { "" };
                format!("disk: truncate to {}{then}", show_zxid(to))
            }
            DiskRequest::Install => "disk: install the database".to_owned(),
            DiskRequest::Reload => "disk: reload the database".to_owned(),
            DiskRequest::NoteConfig(config) => format!("disk: note config {:x}", config.version),
            DiskRequest::EnterConfig(config) => format!("disk: enter config {:x}", config.version),
        },
        Output::Forget { after } => format!("forget behind {}", show_zxid(*after)),
        Output::Commit(zxid) => format!("commit {}", show_zxid(*zxid)),
        Output::Apply { record } => format!("apply {}", show_zxid(record.header.zxid)),
        Output::Serve { role, epoch } => {
            format!("serve {} in {epoch}", format!("{role:?}").to_uppercase())
        }
        Output::Members {
            committed,
            last_seen,
        } => format!(
            "members {:x}, seen {:x}",
            committed.version, last_seen.version
        ),
        Output::Retire => "retire".to_owned(),
        Output::Request { link, .. } => format!("request by {}", at(link)),
        Output::Revalidate { link, .. } => format!("revalidate by {}", at(link)),
        Output::Touched { .. } => "touched".to_owned(),
        Output::LearnerGone { link } => format!("{} is gone", at(link)),
        Output::Synced => "synced".to_owned(),
        Output::Revalidated { .. } => "revalidated".to_owned(),
        Output::Pinged { zxid } => format!("pinged {}", show_zxid(*zxid)),
    }
}
