//! SASL for clients and between servers: who may authenticate, and whether anybody must.
//!
//! Invariant: what the file asks for can be done. The JAAS file is read here, so that a mistake in
//! it is a problem with its line and not of the first client; a login module that is not there is a
//! reason not to start. Source: `ServerCnxnFactory.configureSaslLogin`, `QuorumPeerConfig`,
//! `SaslQuorumAuthServer`, `SaslQuorumAuthLearner`; operations.md 1.8 and 7.3 to 7.6, quorum.md 13.2.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use ox_sasl::jaas::{DIGEST_MODULE, Jaas, MAX_FILE, Section, SyntaxError, expand};
use ox_sasl::{Acceptor, Initiator, Service};
use ox_secret::Secret;

use super::problem::Origin;
use super::reader::{Place, Reader, Setting};
use super::tls;

/// Who authenticates by SASL, and what it is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaslSettings {
    /// The clients that may authenticate; none where there is no SASL for clients.
    pub clients: Option<Acceptor>,
    /// The scheme sasl is there: acls may name its identities.
    pub scheme: bool,
    /// `superUser` and `superUser.<any>`: these users are also super.
    pub super_users: Vec<String>,
    /// `allowSaslFailedClients`: who fails goes on unauthenticated.
    pub allow_failed_clients: bool,
    /// Between servers.
    pub quorum: Option<QuorumSasl>,
}

/// SASL between servers: `quorum.auth.enableSasl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumSasl {
    /// Whom this server lets in that authenticates itself.
    pub acceptor: Acceptor,
    /// `quorum.auth.serverRequireSasl`: it lets in nobody else.
    pub required: bool,
    /// As whom it authenticates itself where it dials: `quorum.auth.learnerRequireSasl`.
    pub initiator: Option<Initiator>,
}

const PROVIDER: &str = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider";

/// The flag that names the JAAS file.
const LOGIN: &str = "java.security.auth.login.config";

const SECTION: &str = "sasl.serverconfig";

const ENABLE: &str = "quorum.auth.enableSasl";
const SERVER_REQUIRES: &str = "quorum.auth.serverRequireSasl";
const LEARNER_REQUIRES: &str = "quorum.auth.learnerRequireSasl";
const SERVER_CONTEXT: &str = "quorum.auth.server.saslLoginContext";
const LEARNER_CONTEXT: &str = "quorum.auth.learner.saslLoginContext";

/// The JAAS file, where it is named, and as far as it can be read.
struct File {
    path: PathBuf,
    origin: Origin,
    jaas: Jaas,
}

impl SaslSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        only_as_flag(reader);
        let problems = reader.problems.len();
        let file = file(reader);
        let is_readable = reader.problems.len() == problems;
        let quorum = quorum(reader, file.as_ref(), is_readable);
        let clients = clients(reader, file.as_ref(), quorum.is_some());
        let scheme = has_scheme(reader);
        let allow_failed_clients = reader.property_boolean("allowSaslFailedClients", false);
        let super_users = super_users(reader, clients.is_some() || !is_readable);
        for key in ["sessionRequireClientSASLAuth", "enforce.auth.schemes"] {
            let required = reader.text(key, Place::Property);
            let asks = |value: &str| match key {
                "enforce.auth.schemes" => value.split(',').any(|scheme| scheme.trim() == "sasl"),
                _ => value.eq_ignore_ascii_case("true"),
            };
            if let Some(Setting { value, origin }) = required
                && asks(&value)
                && scheme
                && clients.is_none()
                && is_readable
            {
                let text = format!("no client can authenticate by SASL without -D{LOGIN}=<file>");
                reader.warn(origin, key, text);
            }
        }
        Self {
            clients,
            scheme,
            super_users,
            allow_failed_clients,
            quorum,
        }
    }
}

/// Whether the scheme sasl is there.
pub(super) fn has_scheme(reader: &Reader) -> bool {
    tls::providers(reader).any(|setting| setting.value == PROVIDER)
}

/// Whether a line `authProvider.<any>` names the class behind the scheme.
pub(super) fn is_provider(key: &str, class: &str) -> bool {
    let key = key.strip_prefix("zookeeper.").unwrap_or(key);
    key.starts_with("authProvider.") && class == PROVIDER
}

/// In `zoo.cfg` Java passes it over.
fn only_as_flag(reader: &mut Reader) {
    if let Some(Setting { value, origin }) = reader.file().get(LOGIN).cloned() {
        let reason = format!(
            "it works only as a flag, -D{LOGIN}={value}, and the server would be less guarded \
             without it"
        );
        reader.problem(origin, LOGIN, reason, "no such line");
    }
}

fn super_users(reader: &mut Reader, has_clients: bool) -> Vec<String> {
    let is_meant = |key: &str| key == "superUser" || key.starts_with("superUser.");
    let in_file = reader.file().iter();
    let in_file = in_file.filter(|(key, _)| is_meant(key));
    let flags = reader.flags().iter();
    let flags = flags.filter(|(key, _)| key.strip_prefix("zookeeper.").is_some_and(is_meant));
    // A line of the file takes the place of a flag.
    let mut found: BTreeMap<String, Setting> = BTreeMap::new();
    for (key, setting) in flags.chain(in_file) {
        let key = key.strip_prefix("zookeeper.").unwrap_or(key);
        found.insert(key.to_owned(), setting.clone());
    }
    found.retain(|_, setting| !setting.value.is_empty());
    if !has_clients {
        for (key, setting) in &found {
            let text = "no effect: no client can authenticate by SASL";
            reader.warn(setting.origin.clone(), key, text);
        }
    }
    found.into_values().map(|setting| setting.value).collect()
}

fn clients(reader: &mut Reader, file: Option<&File>, for_servers: bool) -> Option<Acceptor> {
    let name = reader.text(SECTION, Place::Property);
    let super_password = reader.text("SASLAuthenticationProvider.superPassword", Place::Property);
    let is_named = name.is_some();
    let section_name = name.map_or_else(|| "Server".to_owned(), |setting| setting.value);
    let Some(file) = file else {
        if is_named {
            let text = format!("no effect without -D{LOGIN}=<file>");
            reader.warn_about(SECTION, Place::Property, text);
        }
        return None;
    };
    let Some(section) = file.jaas.section(&section_name) else {
        // It may be there for the other servers alone.
        if is_named || !for_servers {
            let text = format!(
                "no section {section_name} in {}: no client can authenticate by SASL",
                file.path.display()
            );
            reader.warn(file.origin.clone(), LOGIN, text);
        }
        return None;
    };
    let acceptor_users = modules(reader, file, &section_name, section).then(|| section.users());
    let mut users = acceptor_users?;
    if let Some(Setting { value, origin }) = super_password
        && !users.set_password("super", Secret::new(value))
    {
        let text = format!("no effect without a user_super in the section {section_name}");
        reader.warn(origin, "SASLAuthenticationProvider.superPassword", text);
    }
    let mut problem = None;
    for name in users.names().filter(|name| name.contains('@')) {
        problem = Some(format!(
            "user_{name}: names with @ are of Kerberos, which is not supported"
        ));
    }
    if let Some(reason) = problem {
        let origin = Origin::Line(file.path.clone(), section.line);
        reader.problem(origin, &section_name, reason, "names without @");
        return None;
    }
    nobody(reader, file, &section_name, section);
    Some(Acceptor::new(Service::CLIENTS, users))
}

fn quorum(reader: &mut Reader, file: Option<&File>, is_readable: bool) -> Option<QuorumSasl> {
    let enabled = reader.boolean(ENABLE, false);
    let required = reader.boolean(SERVER_REQUIRES, false);
    let learner_required = reader.boolean(LEARNER_REQUIRES, false);
    let mut context = |key, default: &str| {
        let setting = reader.text(key, Place::File);
        setting.map_or_else(|| default.to_owned(), |setting| setting.value)
    };
    let server_context = context(SERVER_CONTEXT, "QuorumServer");
    let learner_context = context(LEARNER_CONTEXT, "QuorumLearner");
    reader.text("quorum.auth.kerberos.servicePrincipal", Place::File);
    for (key, is_on, needed, has_needed) in [
        (SERVER_REQUIRES, required, ENABLE, enabled),
        (LEARNER_REQUIRES, learner_required, ENABLE, enabled),
        (
            SERVER_REQUIRES,
            required,
            LEARNER_REQUIRES,
            learner_required,
        ),
    ] {
        if is_on && !has_needed {
            let origin = reader.origin(key, Place::File);
            let reason = format!("{needed} is disabled, so cannot enable {key}");
            let allowed = format!("false, or {needed}=true");
            reader.problem(origin, key, reason, &allowed);
        }
    }
    if !enabled || !reader.in_ensemble || !is_readable {
        return None;
    }
    let server = needed_section(reader, file, SERVER_CONTEXT, &server_context);
    // One complaint is enough about a file that is not there.
    let file = file?;
    let learner = needed_section(reader, Some(file), LEARNER_CONTEXT, &learner_context);
    let (server, learner) = (server?, learner?);
    nobody(reader, file, &server_context, server);
    let credentials = learner.credentials();
    if credentials.is_none() && learner_required {
        let origin = Origin::Line(file.path.clone(), learner.line);
        let reason = "it names nobody as whom this server could authenticate itself";
        let allowed = "options username=\"..\" and password=\"..\"";
        reader.problem(origin, &learner_context, reason, allowed);
    }
    let initiator = |(user, password)| Initiator::new(Service::SERVERS, user, password);
    Some(QuorumSasl {
        acceptor: Acceptor::new(Service::SERVERS, server.users()),
        required,
        initiator: credentials.filter(|_| learner_required).map(initiator),
    })
}

/// A section without which Java does not start.
fn needed_section<'a>(
    reader: &mut Reader,
    file: Option<&'a File>,
    key: &'static str,
    name: &str,
) -> Option<&'a Section> {
    let Some(section) = file.and_then(|file| file.jaas.section(name)) else {
        let is_written = reader.text(key, Place::File).is_some();
        let key = if is_written { key } else { ENABLE };
        let origin = reader.origin(key, Place::File);
        let reason = format!(
            "SASL-authentication failed because the specified JAAS configuration section '{name}' \
             could not be found."
        );
        let allowed = match file {
            None => format!("a file with this section, named by -D{LOGIN}=<file>"),
            Some(file) => format!("a section of {}", file.path.display()),
        };
        reader.problem(origin, key, reason, &allowed);
        found_after_the_configuration(reader);
        return None;
    };
    modules(reader, file?, name, section).then_some(section)
}

/// Whether all modules of a section are there. Each that is not is a problem, by its name.
fn modules(reader: &mut Reader, file: &File, name: &str, section: &Section) -> bool {
    let mut are_known = true;
    for module in section.unknown_modules() {
        are_known = false;
        let class = &module.class;
        let reason = match class.ends_with(".Krb5LoginModule") {
            true => format!("GSSAPI (Kerberos) is not supported: {class}"),
            false => format!("there is no login module {class}"),
        };
        let origin = Origin::Line(file.path.clone(), module.line);
        reader.problem(origin, name, reason, DIGEST_MODULE);
    }
    for module in &section.modules {
        for option in module.repeated_options() {
            let origin = Origin::Line(file.path.clone(), module.line);
            let text = format!("{option} is given more than once, the last one counts");
            reader.warn(origin, name, text);
        }
    }
    are_known
}

/// A section that lets nobody in is most likely a mistake.
fn nobody(reader: &mut Reader, file: &File, name: &str, section: &Section) {
    if section.users().is_empty() {
        let origin = Origin::Line(file.path.clone(), section.line);
        let text = "it has no option user_<name>=<password>: nobody can authenticate";
        reader.warn(origin, name, text);
    }
}

/// Reads the file that the flag names.
fn file(reader: &mut Reader) -> Option<File> {
    let Setting { value, origin } = reader.text(LOGIN, Place::Flag)?;
    let section = reader
        .text(SECTION, Place::Property)
        .map_or_else(|| "Server".to_owned(), |setting| setting.value);
    let (file, flags) = (reader.file().clone(), reader.flags().clone());
    let property = move |name: &str| system_property(&file, &flags, name);
    // Two equals signs say that no other file counts.
    let written = value.strip_prefix('=').unwrap_or(&value);
    let mut failed = |origin: Origin, key: &str, why: &dyn std::fmt::Display| {
        let reason = format!(
            "No JAAS configuration section named '{section}' was found in '{value}'. {why}"
        );
        reader.problem(origin, key, reason, "");
        found_after_the_configuration(reader);
    };
    let path = match expand(written, &property) {
        Ok(path) => path_of(&path),
        Err(error) => {
            failed(origin, LOGIN, &error);
            return None;
        }
    };
    let bytes = match contents(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            failed(origin, LOGIN, &error);
            return None;
        }
    };
    match Jaas::parse(&bytes, &property) {
        Ok(jaas) => Some(File { path, origin, jaas }),
        Err(SyntaxError { line, reason }) => {
            failed(Origin::Line(path, line), "", &reason);
            None
        }
    }
}

/// Java takes a URL as well.
fn path_of(written: &str) -> PathBuf {
    let path = written.strip_prefix("file:").unwrap_or(written);
    let path = path.strip_prefix("//").unwrap_or(path);
    PathBuf::from(path)
}

fn contents(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
    let file = std::fs::File::open(path)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() <= MAX_FILE {
        true => Ok(bytes),
        false => Err(std::io::Error::other(format!(
            "it has more than {MAX_FILE} bytes"
        ))),
    }
}

/// What a JVM would know under this name.
fn system_property(
    file: &BTreeMap<String, Setting>,
    flags: &BTreeMap<String, Setting>,
    name: &str,
) -> Option<String> {
    let in_file = name
        .strip_prefix("zookeeper.")
        .and_then(|key| file.get(key));
    if let Some(setting) = in_file.or_else(|| flags.get(name)) {
        return Some(setting.value.clone());
    }
    match name {
        "user.home" => std::env::var("HOME").ok(),
        "user.dir" => {
            let folder = std::env::current_dir().ok()?;
            Some(folder.to_string_lossy().into_owned())
        }
        _ => None,
    }
}

/// Java finds the problem reported last only when it opens its ports.
fn found_after_the_configuration(reader: &mut Reader) {
    if let Some(problem) = reader.problems.last_mut() {
        problem.exit_code = 1;
    }
}
