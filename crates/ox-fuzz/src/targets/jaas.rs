//! JAAS files with anything in them.

use ox_sasl::jaas::Jaas;

use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "jaas",
    run,
    memory: (64 << 10, 256),
    longest: 8192,
    words: &[
        b"Server {",
        b"};",
        b"org.apache.zookeeper.server.auth.DigestLoginModule required",
        b"user_bob=\"bobsecret\"",
        b"username=\"bob\" password=\"bobsecret\"",
        b"${zookeeper.x}",
        b"${{x}}",
        b"\\377",
        b"/* */",
        b"// \n",
        b"'",
    ],
    short: 6000,
};

/// Property values this long may stand anywhere.
const VALUE: &str = "a value";

fn run(bytes: &[u8]) {
    let property = |name: &str| (!name.is_empty()).then(|| VALUE.to_owned());
    match Jaas::parse(bytes, &property) {
        Ok(jaas) => {
            let names: Vec<&str> = jaas.names().collect();
            for name in names {
                let section = jaas.section(name).expect("it has just been named");
                assert!(!section.modules.is_empty());
                drop(format!("{section:?} {:?}", section.users()));
                section.credentials();
                section.unknown_modules().count();
                for module in &section.modules {
                    module.repeated_options();
                }
            }
        }
        Err(error) => {
            let lines = bytes
                .iter()
                .filter(|byte| matches!(byte, b'\n' | b'\r'))
                .count()
                + 1;
            assert!(0 < error.line && error.line <= lines, "{error}");
        }
    }
}
