//! The JAAS file.

use super::jaas_module;
use crate::jaas::{Jaas, SyntaxError};

pub(super) fn parse(text: &str) -> Result<Jaas, SyntaxError> {
    Jaas::parse(text.as_bytes(), &|name| match name {
        "set" => Some("from outside".to_owned()),
        "empty" => Some(String::new()),
        _ => None,
    })
}

/// The options of the one module of the section `S`.
#[track_caller]
fn options(text: &str) -> Vec<(String, String)> {
    let file = format!("S {{ {} required {text}; }};", jaas_module());
    let jaas = parse(&file).unwrap();
    let section = jaas.section("S").unwrap();
    let users = section.users();
    let password = |name: &str| {
        let key = format!("user_{name}");
        section.modules[0].option(&key).unwrap().reveal().to_owned()
    };
    let names = users.names().map(|name| (name.to_owned(), password(name)));
    names.collect()
}

#[test]
fn a_file_as_the_manual_has_it() {
    let file = "// Server side.\n\
        Server {\n\
          org.apache.zookeeper.server.auth.DigestLoginModule required\n\
          user_super=\"adminsecret\" /* the one\n and only */\n\
          user_bob=\"bobsecret\";\n\
        };\n\
        QuorumLearner { org.apache.zookeeper.server.auth.DigestLoginModule REQUIRED\n\
          username=\"test\" password=\"mypassword\"; };\n\
        Kerberos { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true; };\n\
        Empty { };";
    let jaas = parse(file).unwrap();
    assert_eq!(
        jaas.names().collect::<Vec<_>>(),
        ["Kerberos", "QuorumLearner", "Server"]
    );
    let server = jaas.section("Server").unwrap();
    assert_eq!(server.line, 2);
    assert_eq!(server.users().names().collect::<Vec<_>>(), ["bob", "super"]);
    assert_eq!(server.unknown_modules().count(), 0);
    assert_eq!(server.credentials(), None);
    let learner = jaas.section("QuorumLearner").unwrap();
    let (name, password) = learner.credentials().unwrap();
    assert_eq!((name.as_str(), password.reveal()), ("test", "mypassword"));
    let kerberos = jaas.section("Kerberos").unwrap();
    let classes: Vec<_> = kerberos
        .unknown_modules()
        .map(|m| (&m.class, m.line))
        .collect();
    let class = "com.sun.security.auth.module.Krb5LoginModule".to_owned();
    assert_eq!(classes, [(&class, 10)]);
}

#[test]
fn values_are_read_as_java_reads_them() {
    for (written, password) in [
        ("bare-word.7", "bare-word.7"),
        (r#""with \"quotes\" and \\""#, r#"with "quotes" and \"#),
        (r#""\101\60\0472\n""#, "A0'2\n"),
        (r#""\477""#, "'7"),
        (r#""// no comment /* here""#, "// no comment /* here"),
        ("\"ends with its line\n", "ends with its line"),
        ("bare/comment\n", "bare"),
        ("bare//comment\n", "bare"),
        ("bare/* comment\n */ ", "bare"),
        ("\"${set}!\"", "from outside!"),
        ("\"${/}\"", "/"),
        ("\"${{set}}x\"", "${{set}}x"),
        ("\"${open\"", "${open"),
        ("\"\"", ""),
        ("päss", "päss"),
    ] {
        let found = options(&format!("user_bob={written}"));
        assert_eq!(
            found,
            [("bob".to_owned(), password.to_owned())],
            "{written}"
        );
    }
}

#[test]
fn the_last_of_an_option_counts_and_the_others_are_known() {
    let file = format!("S {{ {} required a=1b a=c b=d a=e; }};", jaas_module());
    // A value that begins with a digit is a number, and no value.
    assert!(parse(&file).is_err());
    let file = file.replace("1b", "b");
    let jaas = parse(&file).unwrap();
    let module = &jaas.section("S").unwrap().modules[0];
    assert_eq!(module.option("a").unwrap().reveal(), "e");
    assert_eq!(Vec::from_iter(module.repeated_options()), ["a"]);
}

#[test]
fn mistakes_are_named_with_their_line_and_without_their_words() {
    let module = jaas_module();
    for (text, line, reason) in [
        ("S", 1, "expected {, found the end of the file"),
        (
            "S {\n",
            2,
            "expected the class of a login module, or }, found the end of the file",
        ),
        ("\n= {", 2, "expected the name of a section, found ="),
        ("S { } S { };", 1, "expected ;, found a word"),
        (
            "S { M canary; };",
            1,
            "expected required, requisite, sufficient or optional, found another word",
        ),
        ("S { M required canary; };", 1, "expected =, found ;"),
        (
            "S { M required canary \"canary\"; };",
            1,
            "expected =, found text in quotes",
        ),
        (
            "S { M required\n a=12canary; };",
            2,
            "expected the value of an option, found a number; what begins with a digit, a dot or a minus needs quotes",
        ),
        (
            "S { M required\n a='canary'; };",
            2,
            "expected the value of an option, found text in single quotes, which is none; write \"...\"",
        ),
        (
            "S { M required a=-; };",
            1,
            "expected the value of an option, found a character that needs quotes",
        ),
        (
            "S { M required a=b }",
            1,
            "expected the name of an option, or ;, found }",
        ),
        (
            "S { M required a=\"${canary}\"; };",
            1,
            "a system property between ${ and } is not set",
        ),
        (
            "S { M required\n\n a=\"${empty}\"; };",
            3,
            "the system properties in the value are all empty",
        ),
        ("S { };\nS { M required; };", 2, "a second section S"),
        ("S { M required a=b; }; /* no end", 1, ""),
    ] {
        let text = text.replace('M', module);
        match parse(&text) {
            Err(error) => {
                assert_eq!(
                    (error.line, error.reason.as_str()),
                    (line, reason),
                    "{text}"
                );
                assert!(!error.to_string().contains("canary"));
            }
            Ok(_) => assert_eq!(reason, "", "{text}"),
        }
    }
}
