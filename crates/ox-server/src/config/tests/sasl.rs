//! Golden rows of operations.md 1.8 and 7.3 to 7.6: SASL, its file, and that nobody sees what is
//! secret.

use ox_sasl::{Answer, Exchange, Initiator, Refusal, Service};
use ox_secret::Secret;

use super::*;

const MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";
const PROVIDER: &str =
    "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";

/// A server with more lines and a JAAS file in which `M` stands for the module there is.
fn start(more: &str, jaas: &str) -> Start {
    let jaas = jaas.replace("M ", &format!("{MODULE} "));
    let start = file(more).and("jaas.conf", &jaas);
    let flag = format!(
        "java.security.auth.login.config={}/jaas.conf",
        start.dir.path().display()
    );
    start.flags(&[&flag])
}

fn member(more: &str, jaas: &str) -> Start {
    start(
        &format!(
            "initLimit=5\nsyncLimit=2\nserver.1=h:1:2\nserver.2=i:1:2\nserver.3=j:1:2\n{more}"
        ),
        jaas,
    )
    .and("myid", "1")
}

/// Whether somebody can authenticate to the acceptor.
fn lets_in(acceptor: &ox_sasl::Acceptor, service: Service, user: &str, password: &str) -> bool {
    let mut exchange = Exchange::default();
    let Ok(Answer::Challenge(challenge)) = exchange.take(acceptor, b"", || [1; 30]) else {
        panic!("no challenge");
    };
    let initiator = Initiator::new(service, user.to_owned(), Secret::new(password));
    let (response, _) = initiator.respond(&challenge, [2; 30]).unwrap();
    match exchange.take(acceptor, &response, || [1; 30]) {
        Ok(_) => true,
        Err(Refusal::WrongPassword(_) | Refusal::UnknownUser(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

#[track_caller]
fn is_client(start: &Start, user: &str, password: &str, expected: bool) {
    let clients = start.config().sasl.clients.unwrap();
    assert_eq!(
        lets_in(&clients, Service::CLIENTS, user, password),
        expected
    );
}

#[test]
fn the_users_of_the_section_are_the_clients() {
    let jaas = "Server { M required user_bob=\"b\" user_super=\"s\"; };\n\
                Other { M required user_eve=\"e\"; };";
    let open = start("", jaas);
    is_client(&open, "bob", "b", true);
    is_client(&open, "bob", "s", false);
    is_client(&open, "eve", "e", false);
    assert!(!open.config().sasl.scheme);
    let other = start("sasl.serverconfig=Other\n", jaas);
    is_client(&other, "eve", "e", true);
    is_client(&other, "bob", "b", false);
    let property = start("SASLAuthenticationProvider.superPassword=new\n", jaas);
    is_client(&property, "super", "new", true);
    is_client(&property, "super", "s", false);
    is_client(&property, "bob", "b", true);
}

#[test]
fn more_settings_reach_their_fields() {
    let more = format!("{PROVIDER}superUser=bob\nsuperUser.2=ann\nallowSaslFailedClients=true\n");
    let sasl = start(&more, "Server { M required user_bob=b; };")
        .config()
        .sasl;
    assert!(sasl.scheme && sasl.allow_failed_clients);
    assert_eq!(sasl.super_users, ["bob", "ann"]);
    assert_eq!(file("").config().sasl, SaslSettings::default());
    let flags = file("").flags(&[
        "zookeeper.superUser=ann",
        "zookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
    ]);
    let sasl = flags.config().sasl;
    assert!(sasl.scheme && sasl.clients.is_none());
    assert_eq!(sasl.super_users, ["ann"]);
    check_warned(
        &flags,
        &["command line: superUser: no effect: no client can authenticate by SASL"],
    );
}

#[test]
fn a_session_may_need_sasl() {
    let jaas = "Server { M required user_bob=b; };";
    let required = |more: &str| start(more, jaas).config().auth.required_schemes;
    let both = format!("{PROVIDER}sessionRequireClientSASLAuth=true\n");
    assert_eq!(required(&both), ["sasl"]);
    let list = format!("{PROVIDER}enforce.auth.enabled=true\nenforce.auth.schemes=sasl,digest\n");
    assert_eq!(required(&list), ["sasl", "digest"]);
    let everything = format!("{both}enforce.auth.enabled=true\nenforce.auth.schemes=digest\n");
    assert_eq!(required(&everything), ["sasl"]);
    check_warned(
        &start(&everything, jaas),
        &[
            "zoo.cfg:6: enforce.auth.schemes: no effect with sessionRequireClientSASLAuth=true, \
             which asks for sasl alone",
        ],
    );
    check_refused(
        &start("sessionRequireClientSASLAuth=true\n", jaas),
        &[
            "zoo.cfg:3: sessionRequireClientSASLAuth: Authentication scheme sasl is not available. \
             (allowed: with authProvider.sasl=org.apache.zookeeper.server.auth.\
             SASLAuthenticationProvider)",
        ],
    );
    check_warned(
        &file(&both),
        &[
            "zoo.cfg:4: sessionRequireClientSASLAuth: no client can authenticate by SASL without \
             -Djava.security.auth.login.config=<file>",
        ],
    );
}

#[test]
fn mistakes_in_the_file_are_named_with_their_place() {
    let refused = |jaas: &str, code: u8, lines: &[&str]| {
        let (found, exit) = start("", jaas).refused();
        let found: Vec<_> = found.iter().map(|line| line.replace(MODULE, "M")).collect();
        assert_eq!(found, lines);
        assert_eq!(exit, code);
    };
    refused(
        "Server { M required\n user_bob=canary user_eve; };",
        1,
        &[
            "jaas.conf:2: No JAAS configuration section named 'Server' was found in 'jaas.conf'. \
           expected =, found ;",
        ],
    );
    refused(
        "Server {\n com.sun.security.auth.module.Krb5LoginModule required\n useKeyTab=true; };",
        2,
        &["jaas.conf:2: Server: GSSAPI (Kerberos) is not supported: \
           com.sun.security.auth.module.Krb5LoginModule (allowed: M)"],
    );
    refused(
        "Server {\n M required user_bob=b;\n com.example.Login optional; };",
        2,
        &["jaas.conf:3: Server: there is no login module com.example.Login (allowed: M)"],
    );
    refused(
        "Server { M required \"user_bob@REALM\"=b; };",
        2,
        &[
            "jaas.conf:1: Server: user_bob@REALM: names with @ are of Kerberos, which is not \
           supported (allowed: names without @)",
        ],
    );
    let missing = file("").flags(&["java.security.auth.login.config=/no/such/file"]);
    let (found, code) = missing.refused();
    assert_eq!(code, 1);
    assert!(
        found[0].starts_with(
            "command line: java.security.auth.login.config: No JAAS configuration section named \
             'Server' was found in '/no/such/file'. No such file"
        ),
        "{found:?}"
    );
}

#[test]
fn what_has_no_effect_is_said() {
    let no_section = start("", "Client { M required username=bob password=b; };");
    assert_eq!(no_section.config().sasl.clients, None);
    let warning = no_section.warnings().remove(0);
    assert!(
        warning.contains("no section Server in jaas.conf: no client can authenticate by SASL"),
        "{warning}"
    );
    check_warned(
        &file("sasl.serverconfig=Other\n"),
        &["zoo.cfg:3: sasl.serverconfig: no effect without \
             -Djava.security.auth.login.config=<file>"],
    );
    check_warned(
        &start(
            "SASLAuthenticationProvider.superPassword=canary\n",
            "Server { M required user_bob=b user_bob=c; };",
        ),
        &[
            "jaas.conf:1: Server: user_bob is given more than once, the last one counts",
            "zoo.cfg:3: SASLAuthenticationProvider.superPassword: no effect without a user_super in \
             the section Server",
        ],
    );
    check_warned(
        &start("", "Server { M required username=bob; };"),
        &["jaas.conf:1: Server: it has no option user_<name>=<password>: nobody can authenticate"],
    );
}

#[test]
fn the_file_is_found_as_java_finds_it_and_knows_properties() {
    let jaas = "Server { M required user_bob=\"${zookeeper.word}${x}\"; };";
    for (prefix, home) in [
        ("", "{dir}"),
        ("=", "{dir}"),
        ("file:", "{dir}"),
        ("file://", "{dir}"),
        ("", "${home}"),
    ] {
        let start = start("word=from-file-\n", jaas);
        let directory = start.dir.path().display().to_string();
        let flag = format!("java.security.auth.login.config={prefix}{home}/jaas.conf");
        let flag = flag.replace("{dir}", &directory);
        let start = start.flags(&[&flag, &format!("home={directory}"), "x=x"]);
        is_client(&start, "bob", "from-file-x", true);
    }
}

const BOTH: &str = "QuorumServer { M required user_test=\"p\"; };\n\
                    QuorumLearner { M required username=test password=\"p\"; };";

#[test]
fn servers_authenticate_to_each_other_step_by_step() {
    let quorum = |more: &str| member(more, BOTH).config().sasl.quorum;
    assert_eq!(quorum(""), None);
    let enabled = quorum("quorum.auth.enableSasl=true\n").unwrap();
    assert!(!enabled.required && enabled.initiator.is_none());
    assert!(lets_in(&enabled.acceptor, Service::SERVERS, "test", "p"));
    let dials = "quorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=true\n";
    let learner = quorum(dials).unwrap();
    assert!(!learner.required && learner.initiator.is_some());
    let all = format!("{dials}quorum.auth.serverRequireSasl=true\n");
    assert!(quorum(&all).unwrap().required);
    let contexts = "quorum.auth.server.saslLoginContext=S\nquorum.auth.learner.saslLoginContext=L\n\
                    quorum.auth.kerberos.servicePrincipal=zk/_HOST\n";
    let jaas = BOTH
        .replace("QuorumServer", "S")
        .replace("QuorumLearner", "L");
    let named = member(&format!("{all}{contexts}"), &jaas).config();
    assert!(named.sasl.quorum.is_some() && named.sasl.clients.is_none());
    // A server alone has nobody to authenticate to.
    assert_eq!(start(&all, BOTH).config().sasl.quorum, None);
}

#[test]
fn flags_between_servers_must_fit_together() {
    let refused = |more: &str, key: &str, needed: &str| {
        let (found, code) = member(more, BOTH).refused();
        let expected = format!("{key}: {needed} is disabled, so cannot enable {key}");
        assert!(found[0].contains(&expected), "{found:?}");
        assert_eq!((found.len(), code), (1, 2));
    };
    let [enable, server, learner] = [
        "quorum.auth.enableSasl",
        "quorum.auth.serverRequireSasl",
        "quorum.auth.learnerRequireSasl",
    ];
    refused(&format!("{learner}=true\n"), learner, enable);
    refused(&format!("{enable}=true\n{server}=true\n"), server, learner);
    let on = format!("{enable}=true\n{learner}=true\n");
    let (found, code) = member(&on, "QuorumServer { M required user_test=p; };").refused();
    assert!(
        found[0].contains(
            "quorum.auth.enableSasl: SASL-authentication failed because the specified JAAS \
             configuration section 'QuorumLearner' could not be found."
        ),
        "{found:?}"
    );
    assert_eq!(code, 1);
    let nameless = BOTH.replace("username=test ", "");
    let (found, _) = member(&on, &nameless).refused();
    assert!(found[0].contains("it names nobody"), "{found:?}");
}

#[test]
fn nobody_sees_a_password() {
    let canary = "canary-7";
    let jaas = format!(
        "Server {{ M required user_bob=\"{canary}\"; }};\n{}",
        BOTH.replace("\"p\"", &format!("\"{canary}\""))
    );
    let all = format!(
        "{PROVIDER}SASLAuthenticationProvider.superPassword={canary}\n\
         quorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=true\n"
    );
    let config = member(&all, &jaas).config();
    let mut printed = format!("{config:?} {:?}", config.warnings);
    // Whatever character of the file is lost, the reason does not tell a password.
    for at in 0..jaas.len() {
        if !jaas.is_char_boundary(at) || !jaas.is_char_boundary(at + 1) {
            continue;
        }
        let damaged = format!("{}{}", &jaas[..at], &jaas[at + 1..]);
        match start(&all, &damaged).load() {
            Ok(config) => printed += &format!("{:?}", config.warnings),
            Err(errors) => printed += &format!("{errors} {:?}", errors.warnings),
        }
    }
    assert!(!printed.contains("canary"), "{printed}");
}
