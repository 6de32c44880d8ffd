//! SASL DIGEST-MD5: of clients, and between servers.
//!
//! Every case runs against the server under test and against Apache ZooKeeper 3.9.5, and both must
//! say the same. A matrix of what was seen is printed.

#[path = "sasl/clients.rs"]
mod clients;
#[path = "sasl/quorum.rs"]
mod quorum;
#[path = "sasl/replaced.rs"]
mod replaced;
#[path = "sasl/secrets.rs"]
mod secrets;
#[path = "sasl/tokens.rs"]
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use compat_tests::server::{Kind, Setup};
use compat_tests::suite;

fn main() -> ExitCode {
    suite::main(
        "sasl",
        &[
            ("java_client", clients::java),
            ("kazoo", clients::kazoo),
            ("c_client", clients::c),
            ("every_token_is_answered_as_java_answers", tokens::all),
            (
                "responses_with_a_part_replaced_are_judged_as_by_java",
                tokens::replaced,
            ),
            ("a_session_may_need_sasl", tokens::required),
            ("who_fails_may_stay", tokens::failed_clients),
            ("nobody_sees_a_password", secrets::none_are_told),
            ("rolled_into_a_mixed_ensemble", quorum::rolled_in),
            ("a_wrong_password_stays_out", quorum::wrong_password),
            ("strangers_get_nothing", quorum::strangers),
        ],
    )
}

/// The login module of DIGEST-MD5.
const MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

/// What makes the scheme sasl of acls.
const PROVIDER: (&str, &str) = (
    "authProvider.sasl",
    "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
);

/// The clients there are. A password with all that needs quoting is one of them.
const USERS: &str = "user_super=\"adminsecret\" user_bob=\"bobsecret\" user_ann=\"p\\\"\\\\ =,\" \
                     \"user_jörg\"=\"pässwörd\"";

/// Writes a JAAS file of sections, each with the options of its one module.
fn jaas(folder: &Path, sections: &[(&str, &str)]) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder can be made");
    let path = folder.join("jaas.conf");
    let sections = sections
        .iter()
        .map(|(name, options)| format!("{name} {{\n  {MODULE} required\n  {options};\n}};\n"));
    fs::write(&path, sections.collect::<String>()).expect("a file of ours");
    path
}

/// A server of some kind that knows [`USERS`]. DIGEST-MD5 is no mechanism of FIPS mode, which
/// Java's server does not ask of its clients; it is off all the same.
fn setup(kind: Kind, home: &Path) -> Setup {
    let file = jaas(home, &[("Server", USERS)]);
    Setup::new(kind, home)
        .property(
            "java.security.auth.login.config",
            &file.display().to_string(),
        )
        .property("zookeeper.fips-mode", "false")
        .line(PROVIDER.0, PROVIDER.1)
        .line("superUser", "super")
}

/// The server under test, and the one whose behaviour is the standard.
fn both() -> [Kind; 2] {
    [Kind::under_test(), Kind::REFERENCE]
}
