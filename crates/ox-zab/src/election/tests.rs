//! One server at a time, by scripts: what it is told, and behind `>` all that it wants done.
//!
//! A vote is written `leader epoch:counter rROUND eEPOCH`, `-` stands for what nobody has, and
//! `none` for the zxid of a server without a database. `v0` behind a vote is an old layout.

use ox_proto::Member;

use super::*;

fn id(text: &str) -> ServerId {
    match text {
        "-" => Vote::NOBODY,
        number => ServerId(number.parse().unwrap()),
    }
}

fn number(text: &str) -> i64 {
    match text {
        "-" => i64::MIN,
        number => number.parse().unwrap(),
    }
}

fn zxid(text: &str) -> Zxid {
    match text {
        "-" => Zxid(i64::MIN),
        "none" => Vote::NO_DATABASE,
        text => {
            let (epoch, counter) = text.split_once(':').unwrap();
            Zxid::new(epoch.parse().unwrap(), counter.parse().unwrap())
        }
    }
}

fn state(text: &str) -> PeerState {
    (0..4)
        .filter_map(PeerState::from_code)
        .find(|state| format!("{state:?}").to_uppercase() == text)
        .unwrap()
}

fn parse(text: &str) -> Notification {
    let words: Vec<_> = text.split_whitespace().collect();
    Notification {
        state: (words[0] != "?").then(|| state(words[0])),
        leader: id(words[1]),
        zxid: zxid(words[2]),
        election_epoch: number(words[3].strip_prefix('r').unwrap()),
        peer_epoch: number(words[4].strip_prefix('e').unwrap()),
        version: words
            .get(5)
            .map_or(2, |word| number(&word[1..]).try_into().unwrap()),
        config: None,
    }
}

fn show(notification: &Notification) -> String {
    let or_dash = |number: i64| match number {
        i64::MIN => "-".to_owned(),
        number => number.to_string(),
    };
    let zxid = match notification.zxid {
        Zxid(i64::MIN) => "-".to_owned(),
        Vote::NO_DATABASE => "none".to_owned(),
        zxid => format!("{}:{}", zxid.epoch(), zxid.counter()),
    };
    format!(
        "{} {} {zxid} r{} e{}",
        format!("{:?}", notification.state.unwrap()).to_uppercase(),
        or_dash(notification.leader.0),
        notification.election_epoch,
        or_dash(notification.peer_epoch),
    )
}

/// One server and its time.
struct Script {
    election: Election,
    now_ms: i64,
}

impl Script {
    fn step(&mut self, line: &str, transcript: &mut String) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["look", last, epoch] => self.election.look(self.now_ms, zxid(last), number(epoch)),
            ["after", ms] => self.now_ms += number(ms),
            ["timeout", ref delivered @ ..] => {
                let at = self.election.poll_timeout().unwrap();
                self.now_ms = self.now_ms.max(at);
                self.election
                    .timeout(self.now_ms, delivered != ["undelivered"]);
                let rest = if delivered.is_empty() {
                    ""
                } else {
                    " undelivered"
                };
                transcript.push_str(&format!("timeout{rest} # at {at}\n"));
                return self.outputs(transcript);
            }
            ["closed", server] => self.election.closed(self.now_ms, id(server)),
            ["established", epoch] => self.election.established(number(epoch)),
            ["designate", leader, last] => self.election.designate(id(leader), zxid(last)),
            ["state", name] => self.election.set_state(state(name)),
            _ => {
                let (from, rest) = line.split_once(": ").unwrap();
                let (notification, config) = rest.split_once(" | ").unwrap_or((rest, ""));
                let mut notification = parse(notification);
                if !config.is_empty() {
                    notification.config = Some(Bytes::from(config.replace(' ', "\n")));
                }
                self.election.handle(self.now_ms, id(from), &notification);
            }
        }
        transcript.push_str(&format!("{line}\n"));
        self.outputs(transcript);
    }

    /// Equal notifications to several servers are one line.
    fn outputs(&mut self, transcript: &mut String) {
        let mut sends: Vec<(Vec<String>, Notification)> = Vec::new();
        let mut others = Vec::new();
        while let Some(output) = self.election.poll_output() {
            match output {
                ElectionOutput::Send { to, notification } => match sends.last_mut() {
                    Some((all, last)) if *last == notification => all.push(to.0.to_string()),
                    _ => sends.push((vec![to.0.to_string()], notification)),
                },
                ElectionOutput::DialAll => others.push("dial all".to_owned()),
                ElectionOutput::Elected {
                    leader,
                    state,
                    vote,
                } => {
                    assert_eq!((leader, Some(vote)), (vote.leader, self.election.vote()));
                    let state = format!("{state:?}").to_uppercase();
                    others.push(format!("{state} under {}", leader.0));
                }
                ElectionOutput::AdoptConfig(config) => {
                    others.push(format!("adopt {}", config.to_string().replace('\n', " ")));
                }
            }
        }
        for (to, notification) in sends {
            let text = self.election.electorate.text.clone();
            assert_eq!(
                (notification.version, &notification.config),
                (2, &Some(text))
            );
            let (to, notification) = (to.join(" "), show(&notification));
            transcript.push_str(&format!("> {to}: {notification}\n"));
        }
        for other in others {
            transcript.push_str(&format!("> {other}\n"));
        }
    }
}

fn config(text: &str) -> EnsembleConfig {
    EnsembleConfig::parse(&text.replace(' ', "\n")).unwrap()
}

/// `server.N=` lines of voters.
fn voters(servers: impl IntoIterator<Item = i64>) -> EnsembleConfig {
    let mut config = EnsembleConfig::default();
    for server in servers {
        let server = ServerId(server);
        let member = Member::parse(server, "h:1:2").unwrap();
        config.members.insert(server, member);
    }
    config
}

fn settings(server: i64, config: EnsembleConfig) -> ElectionSettings {
    let server = ServerId(server);
    let role = config.members.get(&server).map(|member| member.role);
    let config = Arc::new(config);
    ElectionSettings {
        server,
        role: role.unwrap_or_default(),
        committed: Arc::clone(&config),
        last_seen: config,
        reconfig_enabled: false,
        timing: ElectionTiming::default(),
    }
}

#[track_caller]
fn check_with(settings: ElectionSettings, script: &str) {
    let mut server = Script {
        election: Election::new(settings),
        now_ms: 0,
    };
    let (mut transcript, mut expected) = (String::new(), String::new());
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        expected.push_str(line);
        expected.push('\n');
        if !line.starts_with('>') {
            let line = line.split('#').next().unwrap().trim();
            server.step(line, &mut transcript);
        }
    }
    assert!(
        transcript == expected,
        "got\n{transcript}\nexpected\n{expected}"
    );
}

/// A server of an ensemble of this many voters.
#[track_caller]
fn check(server: i64, ensemble: i64, script: &str) {
    check_with(settings(server, voters(1..=ensemble)), script);
}

#[test]
fn a_cold_start_of_three_ends_as_soon_as_all_have_voted() {
    check(
        1,
        3,
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r1 e0
         > 2 3: LOOKING 2 0:0 r1 e0
         3: LOOKING 3 0:0 r1 e0
         > 2 3: LOOKING 3 0:0 r1 e0
         > FOLLOWING under 3",
    );
    check(
        3,
        3,
        "look 0:0 0
         > 1 2: LOOKING 3 0:0 r1 e0
         1: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r1 e0
         1: LOOKING 3 0:0 r1 e0
         > LEADING under 3",
    );
}

#[test]
fn a_cold_start_of_five_waits_for_those_who_might_be_better() {
    check(
        2,
        5,
        "look 0:0 0
         > 1 3 4 5: LOOKING 2 0:0 r1 e0
         1: LOOKING 1 0:0 r1 e0
         3: LOOKING 3 0:0 r1 e0
         > 1 3 4 5: LOOKING 3 0:0 r1 e0
         after 50
         1: LOOKING 3 0:0 r1 e0
         after 50
         1: LOOKING 3 0:0 r1 e0
         timeout # at 250
         > FOLLOWING under 3",
    );
}

#[test]
fn a_better_vote_within_the_wait_begins_it_anew() {
    check(
        2,
        5,
        "look 0:0 0
         > 1 3 4 5: LOOKING 2 0:0 r1 e0
         1: LOOKING 2 0:0 r1 e0
         3: LOOKING 3 0:0 r1 e0
         > 1 3 4 5: LOOKING 3 0:0 r1 e0
         1: LOOKING 3 0:0 r1 e0
         after 150
         5: LOOKING 5 0:0 r1 e0
         > 1 3 4 5: LOOKING 5 0:0 r1 e0
         after 20
         3: LOOKING 5 0:0 r1 e0
         timeout # at 370
         > FOLLOWING under 5",
    );
}

#[test]
fn a_better_vote_that_a_quorum_has_at_once_is_waited_for_too() {
    check(
        1,
        3,
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r1 e0
         > 2 3: LOOKING 2 0:0 r1 e0
         after 150
         2: LOOKING 3 0:0 r1 e0
         > 2 3: LOOKING 3 0:0 r1 e0
         timeout # at 350
         > FOLLOWING under 3",
    );
}

#[test]
fn votes_of_an_earlier_round_do_not_end_the_wait() {
    check(
        3,
        3,
        "look 0:0 0
         > 1 2: LOOKING 3 0:0 r1 e0
         1: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r2 e0
         > 1 2: LOOKING 3 0:0 r2 e0
         2: LOOKING 3 0:0 r2 e0
         timeout # at 200
         > LEADING under 3",
    );
}

#[test]
fn whom_a_settled_server_follows_does_not_say_what_it_began_with() {
    check(
        2,
        5,
        "look 0:0 0
         > 1 3 4 5: LOOKING 2 0:0 r1 e0
         4: FOLLOWING 5 9:9 r1 e9
         5: FOLLOWING 5 9:9 r1 e9
         1: LOOKING 2 0:0 r1 e0
         3: LOOKING 2 0:0 r1 e0
         timeout # at 200
         > LEADING under 2",
    );
}

#[test]
fn a_voter_that_takes_its_vote_back_ends_the_wait() {
    check(
        3,
        5,
        "look 0:0 0
         > 1 2 4 5: LOOKING 3 0:0 r1 e0
         1: LOOKING 3 0:0 r1 e0
         2: LOOKING 3 0:0 r1 e0
         after 100
         2: LOOKING 2 0:0 r1 e0
         timeout # at 200
         > 1 2 4 5: LOOKING 3 0:0 r1 e0
         2: LOOKING 3 0:0 r1 e0
         timeout # at 400
         > LEADING under 3",
    );
}

#[test]
fn the_higher_epoch_wins_then_the_higher_zxid_then_the_higher_id() {
    check(
        2,
        5,
        "look 1:5 1
         > 1 3 4 5: LOOKING 2 1:5 r1 e1
         1: LOOKING 1 1:5 r1 e1
         3: LOOKING 3 1:4 r1 e1
         4: LOOKING 4 1:5 r1 e1
         > 1 3 4 5: LOOKING 4 1:5 r1 e1
         1: LOOKING 1 1:6 r1 e1
         > 1 3 4 5: LOOKING 1 1:6 r1 e1
         5: LOOKING 5 1:2 r1 e2
         > 1 3 4 5: LOOKING 5 1:2 r1 e2",
    );
}

#[test]
fn a_server_alone_elects_itself_at_once() {
    check(1, 1, "look 1:5 1\n> LEADING under 1\nestablished 2");
}

#[test]
fn a_vote_is_told_again_ever_less_often() {
    check(
        1,
        3,
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         timeout # at 200
         > 2 3: LOOKING 1 0:0 r1 e0
         timeout undelivered # at 600
         > dial all
         timeout # at 1400
         > 2 3: LOOKING 1 0:0 r1 e0
         timeout # at 3000
         > 2 3: LOOKING 1 0:0 r1 e0
         timeout # at 6200
         > 2 3: LOOKING 1 0:0 r1 e0
         timeout # at 12600
         > 2 3: LOOKING 1 0:0 r1 e0
         timeout # at 25400
         > 2 3: LOOKING 1 0:0 r1 e0
         timeout # at 51000
         > 2 3: LOOKING 1 0:0 r1 e0
         timeout # at 102200
         > 2 3: LOOKING 1 0:0 r1 e0
         timeout # at 162200
         > 2 3: LOOKING 1 0:0 r1 e0",
    );
}

#[test]
fn who_comes_late_joins_when_a_quorum_and_the_leader_itself_say_so() {
    check(
        3,
        3,
        "look 0:0 0
         > 1 2: LOOKING 3 0:0 r1 e0
         1: FOLLOWING 2 0:0 r1 e1
         2: LEADING 2 0:0 r1 e1
         > FOLLOWING under 2",
    );
    check(
        4,
        5,
        "look 0:0 0
         > 1 2 3 5: LOOKING 4 0:0 r1 e0
         1: FOLLOWING 5 0:0 r1 e1
         2: FOLLOWING 5 0:0 r1 e1
         3: FOLLOWING 5 0:0 r1 e1
         5: LEADING 5 0:0 r1 e1
         > FOLLOWING under 5",
    );
}

/// ZOOKEEPER-975, -1514 and their like: everybody still names a leader that has crashed.
#[test]
fn a_leader_that_does_not_say_so_itself_is_not_followed() {
    check(
        4,
        5,
        "look 0:0 0
         > 1 2 3 5: LOOKING 4 0:0 r1 e0
         1: FOLLOWING 5 0:0 r1 e1
         2: FOLLOWING 5 0:0 r1 e1
         3: FOLLOWING 5 0:0 r1 e1
         5: LOOKING 5 0:9 r1 e1
         > 1 2 3 5: LOOKING 5 0:9 r1 e1",
    );
}

/// ZOOKEEPER-1732: a server that was elected in round 3 is followed by servers that have joined it
/// from other rounds, and with votes for other zxids.
#[test]
fn votes_of_different_rounds_for_one_leadership_are_counted_together() {
    check(
        3,
        5,
        "look 0:0 0
         > 1 2 4 5: LOOKING 3 0:0 r1 e0
         1: FOLLOWING 2 1:7 r3 e2
         4: FOLLOWING 2 1:8 r9 e2
         2: LEADING 2 1:7 r3 e2
         > FOLLOWING under 2
         5: LOOKING 5 0:0 r1 e0
         > 5: FOLLOWING 2 1:7 r3 e2
         look 2:4 2
         > 1 2 4 5: LOOKING 3 2:4 r4 e2",
    );
}

/// ZOOKEEPER-1732 again: without the epoch raised, these votes would not match.
#[test]
fn votes_for_two_epochs_of_one_leader_are_not_counted_together() {
    check(
        3,
        5,
        "look 0:0 0
         > 1 2 4 5: LOOKING 3 0:0 r1 e0
         1: FOLLOWING 2 1:7 r3 e1
         4: FOLLOWING 2 1:7 r3 e2
         2: LEADING 2 1:7 r3 e2
         1: FOLLOWING 2 1:7 r3 e2
         > FOLLOWING under 2",
    );
}

#[test]
fn votes_of_our_own_round_are_counted_by_leader_while_epochs_are_being_raised() {
    check(
        3,
        5,
        "look 0:0 0
         > 1 2 4 5: LOOKING 3 0:0 r1 e0
         1: FOLLOWING 2 0:0 r1 e0
         4: FOLLOWING 2 0:0 r1 e1
         2: LEADING 2 0:0 r1 e1
         > FOLLOWING under 2",
    );
}

#[test]
fn a_server_that_the_others_follow_in_its_round_leads() {
    check(
        2,
        3,
        "look 0:0 0
         > 1 3: LOOKING 2 0:0 r1 e0
         1: FOLLOWING 2 0:0 r1 e0
         > LEADING under 2",
    );
    // In another round it is what it was before it crashed.
    check(
        2,
        3,
        "look 0:0 0
         > 1 3: LOOKING 2 0:0 r1 e0
         1: FOLLOWING 2 0:0 r2 e1
         3: FOLLOWING 2 0:0 r2 e1",
    );
}

#[test]
fn every_state_answers_those_who_look() {
    check(
        2,
        3,
        "look 1:5 1
         > 1 3: LOOKING 2 1:5 r1 e1
         1: LOOKING 2 1:5 r1 e1
         timeout # at 200
         > LEADING under 2
         3: LOOKING 3 1:4 r1 e1
         > 3: LEADING 2 1:5 r1 e1
         established 2
         3: LOOKING 3 1:4 r7 e1
         > 3: LEADING 2 1:5 r1 e2
         3: FOLLOWING 2 1:5 r1 e2
         3: LEADING 3 1:5 r1 e2
         3: OBSERVING 3 1:5 r1 e2
         3: ? 3 1:5 r1 e2
         state FOLLOWING
         3: LOOKING 3 1:4 r1 e1
         > 3: FOLLOWING 2 1:5 r1 e2
         state OBSERVING
         3: LOOKING 3 1:4 r1 e1
         > 3: OBSERVING 2 1:5 r1 e2",
    );
}

#[test]
fn a_laggard_is_told_of_the_round_and_a_later_round_is_joined() {
    check(
        1,
        4,
        "look 1:5 1
         > 2 3 4: LOOKING 1 1:5 r1 e1
         2: LOOKING 2 1:3 r5 e1
         > 2 3 4: LOOKING 1 1:5 r5 e1
         3: LOOKING 3 1:9 r4 e1
         > 3: LOOKING 1 1:5 r5 e1
         3: LOOKING 3 1:6 r5 e1
         > 2 3 4: LOOKING 3 1:6 r5 e1
         2: LOOKING 3 1:6 r6 e1
         > 2 3 4: LOOKING 3 1:6 r6 e1
         3: LOOKING 3 1:6 r6 e1
         timeout # at 200
         > FOLLOWING under 3
         look 1:6 1
         > 2 3 4: LOOKING 1 1:6 r7 e1",
    );
}

/// In a later round the own first vote is what a vote has to beat, not the last proposal.
#[test]
fn joining_a_later_round_forgets_what_was_proposed() {
    check(
        1,
        5,
        "look 1:5 1
         > 2 3 4 5: LOOKING 1 1:5 r1 e1
         4: LOOKING 4 9:9 r1 e9
         > 2 3 4 5: LOOKING 4 9:9 r1 e9
         2: LOOKING 2 1:7 r2 e1
         > 2 3 4 5: LOOKING 2 1:7 r2 e1
         3: LOOKING 3 1:2 r3 e1
         > 2 3 4 5: LOOKING 1 1:5 r3 e1",
    );
}

#[test]
fn votes_of_servers_without_a_database_are_ignored() {
    check(
        1,
        3,
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 none r1 e-1
         2: LOOKING 2 none r8 e-1
         3: LOOKING 1 0:0 r1 e0
         timeout # at 200
         > LEADING under 1",
    );
    check(
        1,
        3,
        "look none -1
         > 2 3: LOOKING 1 none r1 e-1
         2: LOOKING 2 0:0 r1 e0
         3: LOOKING 2 0:0 r1 e0
         3: LOOKING 1 none r1 e-1
         timeout # at 200
         > 2 3: LOOKING 1 none r1 e-1
         2: LEADING 2 0:0 r1 e1
         3: FOLLOWING 2 0:0 r1 e1
         > FOLLOWING under 2",
    );
}

/// quorum.md 2.3: on a new connection the transport tells the last message again.
#[test]
fn a_stale_vote_of_a_working_leader_only_costs_a_message() {
    check(
        1,
        3,
        "look 1:16 1
         > 2 3: LOOKING 1 1:16 r1 e1
         2: LOOKING 2 0:0 r1 e0
         3: LOOKING 3 0:0 r1 e0
         2: LEADING 2 0:0 r1 e1
         3: FOLLOWING 2 0:0 r1 e1
         > FOLLOWING under 2",
    );
    // Even if what is stale would win: one server is no quorum.
    check(
        1,
        5,
        "look 1:5 1
         > 2 3 4 5: LOOKING 1 1:5 r1 e1
         2: LOOKING 2 1:9 r1 e1
         > 2 3 4 5: LOOKING 2 1:9 r1 e1
         3: FOLLOWING 2 1:9 r1 e2
         4: FOLLOWING 2 1:9 r1 e2
         5: FOLLOWING 2 1:9 r1 e2
         2: LEADING 2 1:9 r1 e2
         > FOLLOWING under 2",
    );
}

#[test]
fn a_leader_that_has_ended_need_not_be_waited_for() {
    check(
        1,
        3,
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         3: LOOKING 3 0:0 r1 e0
         > 2 3: LOOKING 3 0:0 r1 e0
         timeout # at 200
         > FOLLOWING under 3
         established 1
         closed 3
         look 1:5 1
         > 2 3: LOOKING 1 1:5 r2 e1
         2: LOOKING 2 1:5 r2 e1
         > 2 3: LOOKING 2 1:5 r2 e1
         > FOLLOWING under 2",
    );
    // It may also end within the wait, and its being back ends the exception.
    check(
        2,
        3,
        "look 0:0 0
         > 1 3: LOOKING 2 0:0 r1 e0
         3: LOOKING 3 0:0 r0 e0
         > 3: LOOKING 2 0:0 r1 e0
         closed 3
         3: LOOKING 3 0:0 r0 e0
         > 3: LOOKING 2 0:0 r1 e0
         1: LOOKING 2 0:0 r1 e0
         after 10
         closed 3
         > LEADING under 2",
    );
}

#[test]
fn who_has_never_spoken_is_waited_for() {
    check(
        2,
        3,
        "look 0:0 0
         > 1 3: LOOKING 2 0:0 r1 e0
         closed 3
         1: LOOKING 2 0:0 r1 e0
         timeout # at 200
         > LEADING under 2",
    );
}

#[test]
fn a_server_that_has_ended_is_not_elected_in_haste() {
    check(
        1,
        3,
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         3: LOOKING 3 0:0 r0 e0
         > 3: LOOKING 1 0:0 r1 e0
         closed 3
         2: LOOKING 3 0:0 r1 e0
         > 2 3: LOOKING 3 0:0 r1 e0
         timeout # at 200
         > FOLLOWING under 3",
    );
}

#[test]
fn votes_of_the_next_round_are_kept_for_as_long_as_they_are_not_told_again() {
    let elected = "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         3: LOOKING 3 0:0 r1 e0
         > 2 3: LOOKING 3 0:0 r1 e0
         timeout # at 200
         > FOLLOWING under 3
         established 1";
    let early = "2: LOOKING 2 1:5 r2 e1
         > 2: FOLLOWING 3 0:0 r1 e1";
    let later = "2: LOOKING 2 1:5 r3 e1
         > 2: FOLLOWING 3 0:0 r1 e1";
    let look = "look 1:5 1
         > 2 3: LOOKING 1 1:5 r2 e1";
    let counted = "> 2 3: LOOKING 2 1:5 r2 e1
         > FOLLOWING under 2";
    let closed = "closed 3
         after 200";
    check(1, 3, &[elected, early, closed, look, counted].join("\n"));
    check(1, 3, &[elected, early, "after 201", look].join("\n"));
    check(1, 3, &[elected, later, look].join("\n"));
    check(1, 3, &[elected, early, "established 1", look].join("\n"));
}

/// A vote that a lonely server tells again after a minute only is not to be missed because our own
/// disk takes a while.
#[test]
fn votes_that_come_while_we_wait_to_begin_are_counted_however_long_that_takes() {
    let elected = "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         3: LOOKING 3 0:0 r1 e0
         > 2 3: LOOKING 3 0:0 r1 e0
         timeout # at 200
         > FOLLOWING under 3
         established 1
         state LOOKING
         closed 3";
    let look = "after 5000
         look 1:5 1
         > 2 3: LOOKING 1 1:5 r2 e1";
    let counted = "> 2 3: LOOKING 2 1:5 r2 e1
         > FOLLOWING under 2";
    let vote = "2: LOOKING 2 1:5 r2 e1";
    check(1, 3, &[elected, vote, look, counted].join("\n"));
    // One of the round that is over says nothing.
    let of_old = "2: LOOKING 2 1:5 r1 e1";
    check(1, 3, &[elected, of_old, look].join("\n"));
    let later = "2: LOOKING 2 1:5 r7 e1";
    let joined = "> 2 3: LOOKING 2 1:5 r7 e1
         > FOLLOWING under 2";
    check(1, 3, &[elected, later, look, joined].join("\n"));
}

#[test]
fn a_server_that_missed_our_vote_is_told_it_again_once() {
    check(
        2,
        3,
        "look 1:5 1
         > 1 3: LOOKING 2 1:5 r1 e1
         1: LOOKING 1 1:4 r1 e1
         1: FOLLOWING 3 1:0 r0 e1
         1: LOOKING 1 1:4 r1 e1
         1: LOOKING 1 1:3 r1 e1
         > 1: LOOKING 2 1:5 r1 e1
         1: LOOKING 1 1:3 r1 e1
         3: LOOKING 3 1:3 r1 e1
         1: LOOKING 2 1:5 r1 e1
         > LEADING under 2",
    );
}

#[test]
fn observers_vote_for_nobody_and_are_answered_at_once() {
    let ensemble =
        || config("server.1=h:1:2 server.2=h:1:2 server.3=h:1:2 server.4=h:1:2:observer version=0");
    check_with(
        settings(4, ensemble()),
        "look 1:5 1
         > 1 2 3: LOOKING - - r1 e-
         2: LEADING 2 0:0 r1 e1
         4: LEADING 2 0:0 r1 e1
         3: FOLLOWING 2 0:0 r1 e1
         > OBSERVING under 2
         1: LOOKING 1 0:0 r1 e0
         > 1: OBSERVING 2 0:0 r1 e1",
    );
    // It may also see a quorum of those who elect.
    check_with(
        settings(4, ensemble()),
        "look 1:5 1
         > 1 2 3: LOOKING - - r1 e-
         2: LOOKING 2 1:5 r3 e1
         > 1 2 3: LOOKING 2 1:5 r3 e1
         3: LOOKING 2 1:5 r3 e1
         timeout # at 200
         > OBSERVING under 2",
    );
    // By a voter it is told the last vote that has won, and the round.
    check_with(
        settings(2, ensemble()),
        "4: LOOKING - - r1 e-
         look 1:5 1
         > 1 3: LOOKING 2 1:5 r1 e1
         4: LOOKING - - r9 e-
         > 4: LOOKING 2 1:5 r1 e1
         3: LOOKING 3 1:6 r1 e1
         > 1 3: LOOKING 3 1:6 r1 e1
         4: OBSERVING 3 1:6 r1 e1
         timeout # at 200
         > FOLLOWING under 3
         established 2
         4: ? - - r1 e-
         > 4: FOLLOWING 3 1:6 r1 e2
         look 2:1 2
         > 1 3: LOOKING 2 2:1 r2 e2
         90: LOOKING 90 9:9 r1 e9
         > 90: LOOKING 3 1:6 r2 e2",
    );
}

#[test]
fn a_participant_outside_of_the_configuration_follows_without_a_vote() {
    check_with(
        settings(7, voters(1..=3)),
        "look 1:5 1
         > 1 2 3: LOOKING - 1:5 r1 e1
         3: LEADING 3 0:0 r4 e2
         1: FOLLOWING 3 0:0 r4 e2
         > FOLLOWING under 3",
    );
}

/// A voter answers whoever has no vote at once; two that answer each other's answers never end.
#[test]
fn a_participant_without_a_vote_tells_no_laggard_of_its_round() {
    check(
        9,
        3,
        "look 1:1 1
         > 1 2 3: LOOKING - 1:1 r1 e1
         1: LOOKING 1 1:1 r5 e1
         > 1 2 3: LOOKING 1 1:1 r5 e1
         2: LOOKING 2 1:1 r3 e1",
    );
}

#[test]
fn two_that_look_without_a_vote_do_not_answer_each_other() {
    check(
        9,
        3,
        "look 1:1 1
         > 1 2 3: LOOKING - 1:1 r1 e1
         8: LOOKING - 0:0 r1 e0
         3: LEADING 3 0:0 r4 e2
         1: FOLLOWING 3 0:0 r4 e2
         > FOLLOWING under 3
         8: LOOKING - 0:0 r1 e0
         > 8: FOLLOWING 3 0:0 r4 e2
         8: OBSERVING 3 0:0 r4 e2",
    );
}

#[test]
fn votes_for_strangers_are_ignored() {
    check(
        1,
        3,
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         2: LOOKING 9 9:9 r9 e9
         2: LEADING 9 9:9 r1 e9
         3: FOLLOWING 9 9:9 r1 e9
         1: LOOKING 3 9:9 r9 e9
         2: LOOKING 2 0:0 r1 e0
         > 2 3: LOOKING 2 0:0 r1 e0
         timeout # at 200
         > FOLLOWING under 2",
    );
}

#[test]
fn a_server_of_weight_0_votes_and_is_never_elected() {
    let ensemble = || {
        config(
            "server.1=h:1:2 server.2=h:1:2 server.3=h:1:2 \
             group.1=1:2:3 weight.1=1 weight.2=1 weight.3=0 version=0",
        )
    };
    check_with(
        settings(1, ensemble()),
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         3: LOOKING 3 9:9 r1 e9
         2: LOOKING 2 0:0 r1 e0
         > 2 3: LOOKING 2 0:0 r1 e0
         > FOLLOWING under 2",
    );
    check_with(
        settings(3, ensemble()),
        "look 0:0 0
         > 1 2: LOOKING 3 0:0 r1 e0
         1: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r1 e0
         1: LOOKING 3 0:0 r1 e0
         1: FOLLOWING 2 0:0 r1 e0
         2: LEADING 2 0:0 r1 e0
         > FOLLOWING under 2",
    );
}

#[test]
fn a_server_of_weight_0_is_not_waited_for() {
    let ensemble = config(
        "server.1=h:1:2 server.2=h:1:2 server.3=h:1:2 \
         group.1=1:2:3 weight.1=1 weight.2=1 weight.3=0 version=0",
    );
    check_with(
        settings(2, ensemble),
        "look 0:0 0
         > 1 3: LOOKING 2 0:0 r1 e0
         1: LOOKING 2 0:0 r1 e0
         > LEADING under 2",
    );
}

#[test]
fn groups_must_agree_by_weight() {
    let ensemble = config(
        "server.1=h:1:2 server.2=h:1:2 server.3=h:1:2 server.4=h:1:2 server.5=h:1:2 server.6=h:1:2 \
         group.1=1:2 group.2=3:4 group.3=5:6 version=0",
    );
    check_with(
        settings(6, ensemble),
        "look 0:0 0
         > 1 2 3 4 5: LOOKING 6 0:0 r1 e0
         1: LOOKING 6 0:0 r1 e0
         3: LOOKING 6 0:0 r1 e0
         4: LOOKING 6 0:0 r1 e0
         after 30
         2: LOOKING 6 0:0 r1 e0
         5: LOOKING 5 0:0 r1 e0
         > LEADING under 6",
    );
}

#[test]
fn a_newer_proposed_configuration_must_agree_too() {
    let mut newer = voters([2, 3, 4]);
    newer.version = 7;
    let settings = ElectionSettings {
        last_seen: Arc::new(newer),
        ..settings(2, voters([1, 2]))
    };
    check_with(
        settings,
        "look 0:0 0
         > 1 3 4: LOOKING 2 0:0 r1 e0
         3: LOOKING 2 0:0 r1 e0
         4: LOOKING 2 0:0 r1 e0
         1: LOOKING 2 0:0 r1 e0
         > LEADING under 2",
    );
}

/// Servers 3 and 4 vote in the proposed configuration only, so nobody may be elected but 1 and 2.
#[test]
fn the_round_of_a_voter_that_cannot_be_elected_yet_is_joined() {
    let mut newer = voters([2, 3, 4]);
    newer.version = 7;
    let settings = |server| ElectionSettings {
        last_seen: Arc::new(newer.clone()),
        ..settings(server, voters([1, 2]))
    };
    check_with(
        settings(2),
        "look 0:0 0
         > 1 3 4: LOOKING 2 0:0 r1 e0
         3: LOOKING - 0:0 r5 e0
         > 1 3 4: LOOKING 2 0:0 r5 e0
         4: LOOKING - 0:0 r3 e0
         > 4: LOOKING 2 0:0 r5 e0
         3: LOOKING 2 0:0 r5 e0
         1: LOOKING 2 0:0 r5 e0
         timeout # at 200
         > LEADING under 2",
    );
    check_with(
        settings(3),
        "look 0:0 0
         > 1 2 4: LOOKING - 0:0 r1 e0
         2: LOOKING 2 0:0 r1 e0
         > 1 2 4: LOOKING 2 0:0 r1 e0",
    );
}

/// The leader that proposed it has ended before it had it on its own disk, and leads again without.
#[test]
fn a_leader_that_does_not_know_what_was_proposed_is_followed() {
    let mut newer = voters([1, 2, 3]);
    newer.version = 7;
    let settings = |server| ElectionSettings {
        last_seen: Arc::new(newer.clone()),
        ..settings(server, voters([1]))
    };
    check_with(
        settings(2),
        "look 1:5 1
         > 1 3: LOOKING - 1:5 r1 e1
         3: LOOKING - 1:5 r1 e1
         1: LEADING 1 1:4 r9 e2
         > FOLLOWING under 1",
    );
}

#[test]
fn short_notifications_are_understood() {
    let whole = parse("LEADING 2 1:7 r3 e2").to_bytes();
    let mut server = Script {
        election: Election::new(settings(3, voters(1..=3))),
        now_ms: 0,
    };
    let mut transcript = String::new();
    server.step("look 0:0 0", &mut transcript);
    for (from, length) in [(1, 28), (2, 40)] {
        let mut notification = Notification::parse(&whole[..length]).unwrap();
        assert_eq!(notification.version, 0);
        if from == 1 {
            assert_eq!(notification.peer_epoch, 1);
            notification.state = Some(PeerState::Following);
        }
        server.election.handle(0, ServerId(from), &notification);
    }
    // Two old layouts: the epochs are compared, and one of them is only the zxid's.
    server.outputs(&mut transcript);
    assert_eq!(transcript, "look 0:0 0\n> 1 2: LOOKING 3 0:0 r1 e0\n");
    server.step("1: FOLLOWING 2 1:7 r3 e7", &mut transcript);
    assert!(
        transcript.ends_with("> FOLLOWING under 2\n"),
        "{transcript}"
    );
}

const OLD: &str = "server.1=h:1:2:participant server.2=h:1:2:participant version=0";
const RENUMBERED: &str = "server.1=h:1:2:participant server.2=h:1:2:participant version=100000000";
const GROWN: &str = "server.1=h:1:2:participant server.2=h:1:2:participant \
                     server.3=h:1:2:observer version=200000005";

fn reconfigurable(server: i64) -> ElectionSettings {
    ElectionSettings {
        reconfig_enabled: true,
        ..settings(server, config(OLD))
    }
}

#[test]
fn a_newer_configuration_is_adopted_and_begins_a_new_round() {
    let script = format!(
        "look 0:0 0
         > 2: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r1 e0 | {GROWN}
         > adopt {GROWN}
         2: LOOKING 2 0:0 r1 e0 | {GROWN}
         look 0:0 0
         > 2: LOOKING 1 0:0 r2 e0
         2: LOOKING 2 0:0 r2 e0 | {OLD}
         > 2: LOOKING 2 0:0 r2 e0
         > FOLLOWING under 2"
    );
    check_with(reconfigurable(1), &script);
}

#[test]
fn a_server_that_the_newer_configuration_has_as_an_observer_votes_no_more() {
    let script = format!(
        "look 0:0 0
         > 1 2: LOOKING - 0:0 r1 e0
         2: LEADING 2 0:0 r1 e0 | {GROWN}
         > adopt {GROWN}
         look 0:0 0
         > 1 2: LOOKING - - r2 e-"
    );
    check_with(reconfigurable(3), &script);
}

#[test]
fn a_newer_version_of_the_same_configuration_does_not_disturb_the_round() {
    let script = format!(
        "look 0:0 0
         > 2: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r1 e0 | {RENUMBERED}
         > 2: LOOKING 2 0:0 r1 e0
         > adopt {RENUMBERED}
         > FOLLOWING under 2
         2: LOOKING 2 0:0 r1 e0 | {GROWN}
         > 2: FOLLOWING 2 0:0 r1 e0"
    );
    check_with(reconfigurable(1), &script);
}

#[test]
fn without_reconfiguration_others_configurations_mean_nothing() {
    let script = format!(
        "look 0:0 0
         > 2: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r1 e0 | {GROWN}
         > 2: LOOKING 2 0:0 r1 e0
         > FOLLOWING under 2"
    );
    check_with(settings(1, config(OLD)), &script);
}

/// ZOOKEEPER-3769 and the end of Java's receiver thread by a configuration without voters.
#[test]
fn a_configuration_that_cannot_be_one_changes_nothing() {
    for odd in [
        "version=9",
        "server.1=h:1:2:observer version=9",
        "server.1=h:1:2 nonsense=1 version=9",
        "server.x=h:1:2 version=9",
        "\u{fffd}\u{0}",
        "server.1=h:1:2 server.2=h:1:2 weight.1=3 version=9",
    ] {
        let script = format!(
            "look 0:0 0
             > 2: LOOKING 1 0:0 r1 e0
             2: LOOKING 2 0:0 r1 e0 | {odd}
             > 2: LOOKING 2 0:0 r1 e0
             > FOLLOWING under 2"
        );
        check_with(reconfigurable(1), &script);
    }
}

#[test]
fn a_designated_leader_is_named_without_a_round_and_can_be_joined() {
    check(
        1,
        3,
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r1 e0
         > 2 3: LOOKING 2 0:0 r1 e0
         timeout # at 200
         > FOLLOWING under 2
         designate 1 2:6
         established 3
         3: LOOKING 3 0:0 r1 e0
         > 3: LEADING 1 2:6 r-1 e3",
    );
    check(
        3,
        3,
        "look 0:0 0
         > 1 2: LOOKING 3 0:0 r1 e0
         1: LEADING 1 2:6 r-1 e3
         2: FOLLOWING 1 2:5 r-1 e3
         > FOLLOWING under 1
         look 3:1 3
         > 1 2: LOOKING 3 3:1 r0 e3",
    );
}

#[test]
fn a_round_that_is_left_has_no_result() {
    check(
        1,
        3,
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r1 e0
         > 2 3: LOOKING 2 0:0 r1 e0
         state LOOKING
         closed 3
         3: LOOKING 2 0:0 r1 e0
         3: LEADING 3 0:0 r1 e0
         3: LOOKING 3 0:0 r0 e0",
    );
}

#[test]
fn numbers_of_rounds_do_not_wrap_around() {
    check(
        1,
        3,
        "look 0:0 0
         > 2 3: LOOKING 1 0:0 r1 e0
         2: LOOKING 2 0:0 r9223372036854775807 e0
         > 2 3: LOOKING 2 0:0 r9223372036854775807 e0
         timeout # at 200
         > FOLLOWING under 2
         look 0:0 0
         > 2 3: LOOKING 1 0:0 r9223372036854775807 e0",
    );
}

#[test]
fn what_is_kept_is_kept_per_voter() {
    let mut election = Election::new(settings(1, voters(1..=3)));
    election.look(0, Zxid::ZERO, 0);
    for server in 2..2000 {
        for state in ["LOOKING", "FOLLOWING", "LEADING", "OBSERVING", "?"] {
            let notification = parse(&format!("{state} {server} 0:0 r1 e0"));
            election.handle(0, ServerId(server), &notification);
            election.closed(0, ServerId(server));
            while election.poll_output().is_some() {}
        }
    }
    election.set_state(PeerState::Following);
    for server in 2..2000 {
        election.handle(0, ServerId(server), &parse("LOOKING 2 0:0 r2 e0"));
        while election.poll_output().is_some() {}
    }
    assert!(election.presence.len() <= 3 && election.early.len() <= 3);
}
