use super::*;

/// Texts of live servers, from the captured streams of all scenarios.
const CAPTURED: &[&str] = &[
    "server.1=127.0.0.1:21211:21221:participant\n\
     server.2=127.0.0.1:21212:21222:participant\n\
     server.3=127.0.0.1:21213:21223:participant\n\
     server.4=127.0.0.1:21214:21224:observer\n\
     version=0",
    "server.1=127.0.0.1:21211:21221:participant;127.0.0.1:21201\n\
     server.2=127.0.0.1:21212:21222:participant;127.0.0.1:21202\n\
     server.4=127.0.0.1:21214:21224:participant;127.0.0.1:21204\n\
     version=100000006",
    "server.1=127.0.0.1:21211:21221:participant\n\
     server.2=127.0.0.1:21212:21222:participant\n\
     server.3=127.0.0.1:21213:21223:participant\n\
     group.1=1:2:3\n\
     weight.1=1\n\
     weight.2=1\n\
     weight.3=0\n\
     version=0",
    "server.1=127.0.0.1:21211:21221|127.0.0.2:21211:21221:participant\n\
     server.2=127.0.0.1:21212:21222|127.0.0.2:21212:21222:participant\n\
     version=0",
];

#[test]
fn captured_texts_are_read_and_written_the_same() {
    for text in CAPTURED {
        assert_eq!(EnsembleConfig::parse(text).unwrap().to_string(), *text);
    }
    let reconfigured = EnsembleConfig::parse(CAPTURED[1]).unwrap();
    assert_eq!(reconfigured.version, 0x1_0000_0006);
    assert_eq!(
        reconfigured.voters().collect::<Vec<_>>(),
        [ServerId(1), ServerId(2), ServerId(4)]
    );
    let weighted = EnsembleConfig::parse(CAPTURED[2]).unwrap();
    assert_eq!(
        [1, 3].map(|server| weighted.weight(ServerId(server))),
        [1, 0]
    );
}

#[track_caller]
fn check_member(value: &str, canonical: &str) {
    let member = Member::parse(ServerId(7), value).unwrap();
    assert_eq!(member.to_string(), canonical);
    assert_eq!(Member::parse(ServerId(7), canonical), Ok(member));
}

#[test]
fn a_server_line_is_written_in_its_canonical_form() {
    check_member("a:1:2", "a:1:2:participant");
    check_member("a:1:2:OBSERVER;2181", "a:1:2:observer;0.0.0.0:2181");
    check_member(
        "[::1]:1:2:Participant;[fe80::1]:3",
        "[::1]:1:2:participant;[fe80::1]:3",
    );
    check_member("a:1:2;", "a:1:2:participant");
    check_member("b:3:4|a:1:2:observer|b:3:4", "a:1:2|b:3:4:observer");
}

#[track_caller]
fn check_member_error(value: &str, text: &str) {
    let error = Member::parse(ServerId(7), value).unwrap_err().to_string();
    assert!(error.contains(text), "{value}: {error}");
}

#[test]
fn a_wrong_server_line_is_refused_in_javas_words() {
    let form = "does not have the form server_config or server_config;client_config where";
    for value in [
        "",
        "a",
        "a:1",
        "a:1:2:observer:3",
        "a:1:2;b:1:2",
        "a:1:2;1;2",
        "[::1:1:2",
        "[::1]",
    ] {
        check_member_error(value, form);
    }
    check_member_error("a:x:2", "Address unresolved: a:x");
    check_member_error("a:1:65536", "Address unresolved: a:65536");
    check_member_error("a:1:2; ", "Address unresolved: 0.0.0.0:");
    check_member_error(
        "a:1:1",
        "Client and election port must be different! Please update the configuration file on server.7",
    );
    check_member_error("a:1:2:leader", "Unrecognised peertype: leader");
    check_member_error(
        "a:1:2:observer|b:1:2:participant",
        "Multiple addresses should have similar roles: OBSERVER vs PARTICIPANT",
    );
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    assert_eq!(
        EnsembleConfig::parse(text).unwrap_err().to_string(),
        expected,
        "{text}"
    );
}

#[test]
fn a_wrong_text_is_refused_in_javas_words() {
    check_error("clientPort=1", "Unrecognised parameter: clientPort");
    check_error("server.x=a:1:2", "For input string: \"x\"");
    check_error("version=0x1", "For input string: \"0x1\"");
    check_error(
        "version=8000000000000000",
        "For input string: \"8000000000000000\"",
    );
    check_error("groups=1", "For input string: \"groups\"");
    check_error(
        "server.1=a:1:2\nversion=\\u12",
        "Malformed \\uxxxx encoding.",
    );
    check_error("server.1=a:1:2\nweight.1=2", "Server 1is not in a group");
    check_error(
        "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2\ngroup.2=2",
        "Server 2is in multiple groups",
    );
}

#[test]
fn a_text_is_read_as_java_reads_properties() {
    let text = "# members\n server.1 : a:1:2 \n! and\nserver.2 a\\:3\\:4:observer;5\r\n\
                server.1=c:1:2\nversion = ff";
    let config = EnsembleConfig::parse(text).unwrap();
    assert_eq!(
        config.to_string(),
        "server.1=c:1:2:participant\nserver.2=a:3:4:observer;0.0.0.0:5\nversion=ff"
    );
    assert_eq!(EnsembleConfig::parse(""), Ok(EnsembleConfig::default()));
}

#[test]
fn separators_at_the_end_make_no_parts() {
    let config = EnsembleConfig::parse("server.1=a:1:2;\ngroup.1=1:").unwrap();
    assert_eq!(
        config.to_string(),
        "server.1=a:1:2:participant\ngroup.1=1\nweight.1=1\nversion=0"
    );
    check_error("group.1=", "For input string: \"\"");
}

#[test]
fn with_groups_each_participant_is_written_with_its_weight_and_an_observer_needs_none() {
    let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\ngroup.5=2\ngroup.4=1";
    let config = EnsembleConfig::parse(text).unwrap();
    let written = config.to_string();
    assert!(
        written.ends_with("observer\ngroup.4=1\ngroup.5=2\nweight.1=1\nweight.2=1\nversion=0"),
        "{written}"
    );
    assert_eq!(EnsembleConfig::parse(&written), Ok(config));
}
