use super::*;

const JAVA: ReconfigRules = ReconfigRules {
    standalone_enabled: true,
    several_addresses: false,
};
const GROWING: ReconfigRules = ReconfigRules {
    standalone_enabled: false,
    ..JAVA
};

fn three() -> EnsembleConfig {
    let text = "server.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2:observer;3\nversion=9";
    EnsembleConfig::parse(text).unwrap()
}

fn request(joining: &str, leaving: &str, members: Option<&str>) -> ReconfigRequest {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ReconfigRequest {
        joining_servers: some(joining),
        leaving_servers: some(leaving),
        new_members: members.map(str::to_owned),
        current_config_id: -1,
    }
}

#[track_caller]
fn check(joining: &str, leaving: &str, rules: ReconfigRules, expected: Result<&str, i32>) {
    check_request(&request(joining, leaving, None), rules, expected);
}

#[track_caller]
fn check_members(members: &str, rules: ReconfigRules, expected: Result<&str, i32>) {
    check_request(&request("", "", Some(members)), rules, expected);
}

#[track_caller]
fn check_request(request: &ReconfigRequest, rules: ReconfigRules, expected: Result<&str, i32>) {
    let changed = three().changed(request, rules);
    let ids = changed
        .map(|config| {
            assert_eq!(config.version, 9);
            let members = config.members.iter();
            let texts = members.map(
                |(id, member)| match member.role == MemberRole::Participant {
                    true => id.0.to_string(),
                    false => format!("({})", id.0),
                },
            );
            texts.collect::<Vec<_>>().join(" ")
        })
        .map_err(|error| error.code().code());
    assert_eq!(ids, expected.map(str::to_owned));
}

/// A line that begins within a host would be read by every member, and judged by nobody.
#[test]
fn a_host_holds_nothing_but_a_host() {
    for line in [
        "server.4=d:1:2:observer;x\nbogus:5",
        "server.4=d\nweight.9:1:2;3",
        "server.4=d:1:2;x\u{12}:5",
    ] {
        check(line, "", JAVA, Err(-8));
        check_members(
            &format!("server.1=a:1:2;3,server.2=b:1:2;3,{line}"),
            JAVA,
            Err(-8),
        );
    }
}

#[test]
fn servers_leave_and_join_in_that_order() {
    check("server.4=d:1:2;3", "2", JAVA, Ok("1 (3) 4"));
    check(" 4 = d:1:2;3 , ", " 3,,1 ,77", JAVA, Ok("2 4"));
    check("server.3=c:1:2;3", "", JAVA, Ok("1 2 3"));
    check("server.2=b:1:2:observer;3", "", GROWING, Ok("1 (2) (3)"));
    check("", "", JAVA, Ok("1 2 (3)"));
    check("server.2=z:1:2;3", "2", JAVA, Ok("1 2 (3)"));
    // Java takes what stands behind the last dot.
    check("5=e:1:2;3", "", JAVA, Ok("1 2 (3) 5"));
}

#[test]
fn what_is_malformed_is_refused_as_java_does() {
    check("server.4=d:1:2", "", JAVA, Err(-8));
    check("server.4=d:1;3", "", JAVA, Err(-8));
    check("server.4", "", JAVA, Err(-8));
    check("server.4=d:1:2;3=5", "", JAVA, Err(-8));
    check("server.4=d:1:1;3", "", JAVA, Err(-8));
    check("server.4=d:1:x;3", "", JAVA, Err(-8));
    check("server.4=d:1:70000;3", "", JAVA, Err(-5));
    check("server.4=d:1:2;-3", "", JAVA, Err(-5));
    check("server.x=d:1:2;3", "", JAVA, Err(-5));
    check("", "two", JAVA, Err(-5));
    check("server.4=d:1:2|e:1:2;3", "", JAVA, Err(-8));
    check("server.-4=d:1:2;3", "", JAVA, Err(-8));
    check("server.4=d\\\\:1:2;3", "", JAVA, Err(-8));
    check("server.4=d:1:2:king;3", "", JAVA, Err(-8));
}

#[test]
fn an_address_belongs_to_one_server_unless_it_is_of_this_machine() {
    check("server.4=A:1:9;8", "", JAVA, Err(-8));
    check("server.4=a:9:3;8", "", JAVA, Ok("1 2 (3) 4"));
    check("server.4=d:9:7;a:2", "", JAVA, Err(-8));
    check("server.4=d:1:2;3,server.5=D:2:9;7", "", JAVA, Err(-8));
    check(
        "server.4=d:1:2;3,server.4=e:1:2;3,server.5=d:1:2;3",
        "",
        JAVA,
        Ok("1 2 (3) 4 5"),
    );
    check("server.4=a:1:2;3", "1", JAVA, Ok("2 (3) 4"));
    let twice = "server.4=127.0.0.1:1:2;3,server.5=127.0.0.1:1:2;3,server.6=::1:1:2;3";
    check(twice, "", JAVA, Err(-8));
    let twice = "server.4=127.0.0.1:1:2;3,server.5=127.0.0.1:1:2;3";
    check(twice, "", JAVA, Ok("1 2 (3) 4 5"));
}

#[test]
fn voters_are_left() {
    check("", "2", JAVA, Err(-8));
    check("", "2", GROWING, Ok("1 (3)"));
    check("", "1,2", GROWING, Err(-8));
}

#[test]
fn new_members_take_the_place_of_all() {
    check_members("server.7=g:1:2;3,server.8=h:1:2", JAVA, Ok("7 8"));
    check_members(
        "server.7=g:1:2\nserver.8=h:1:2:observer",
        GROWING,
        Ok("7 (8)"),
    );
    check_members("server.7=g:1:2\nserver.8=h:1:2:observer", JAVA, Err(-5));
    check_members("server.8=h:1:2:observer", JAVA, Err(-5));
    check_members("", JAVA, Err(-8));
    check_members("", GROWING, Err(-5));
    check_members("server.7=g:1:2", JAVA, Err(-8));
    check_members("server.7=g:1:2,tickTime=4", JAVA, Err(-8));
    check_members("server.x=g:1:2,server.8=h:1:2", JAVA, Err(-5));
    check_members("server.7=\\u12", JAVA, Err(-5));
    check_members("server.7=g:1", JAVA, Err(-8));
    let version = "server.7=g:1:2\nserver.8=h:1:2\nversion=";
    check_members(&format!("{version}77"), JAVA, Ok("7 8"));
    check_members(&format!("{version}x"), JAVA, Err(-5));
}

#[test]
fn groups_come_and_go_only_as_a_whole() {
    let grouped = "server.1=a:1:2,server.2=b:1:2,group.1=1:2,weight.2=3";
    check_members(grouped, JAVA, Ok("1 2"));
    check_members("server.1=a:1:2,server.2=b:1:2,group.1=1", JAVA, Err(-8));
    check_members("server.1=a:1:2,server.2=b:1:2,group.1=1:2:7", JAVA, Err(-8));
    check_members(
        "server.1=a:1:2,server.2=b:1:2,group.1=1:2,weight.1=-1",
        JAVA,
        Err(-8),
    );
    let config = three()
        .changed(&request("", "", Some(grouped)), JAVA)
        .unwrap();
    let more = config.changed(&request("server.4=d:1:2;3", "", None), JAVA);
    assert_eq!(more.unwrap_err().code(), ErrorCode::BadArguments);
    let none = request("", "", Some("server.1=a:1:2,server.2=b:1:2"));
    assert!(config.changed(&none, JAVA).unwrap().groups.is_empty());
}

#[test]
fn a_text_that_no_election_could_tell_is_refused() {
    let line = |id: i64| format!("server.{id}={}:1:2:observer;3", "o".repeat(64));
    let many: Vec<String> = (1000..4200).map(line).collect();
    let two = "server.1=a:1:2,server.2=b:1:2";
    check_members(&format!("{two},{}", many.join(",")), JAVA, Err(-8));
    // As many as a request holds take no longer than that.
    let line = |id: i64| format!("server.{id}=host{id}:1:2:observer;3");
    let many: Vec<String> = (10..25_000).map(line).collect();
    check(&many.join(","), "", JAVA, Err(-8));
}
