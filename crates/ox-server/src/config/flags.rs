//! Java's system properties: `-Dname=value` from `SERVER_JVMFLAGS`, `JVMFLAGS` and the command line.
//!
//! Invariant: later flags stand after earlier ones, and the last of a name wins, as in a JVM.

use super::problem::{Origin, Warning};

/// One system property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// `zookeeper.snapCount`, `jute.maxbuffer`, ...
    pub name: String,
    /// Empty for a bare `-Dname`.
    pub value: String,
    /// Where it was given.
    pub origin: Origin,
}

impl Flag {
    /// Reads `name=value`, what follows a `-D`.
    pub fn parse(text: &str, origin: Origin) -> Self {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
            origin,
        }
    }
}

/// Takes the `-D` flags out of the text of `variable`. All its other words are JVM tuning, which
/// has no meaning here: one warning names them.
pub(super) fn from_variable(variable: &'static str, text: &str) -> (Vec<Flag>, Option<Warning>) {
    let origin = Origin::Variable(variable);
    let (flags, other): (Vec<_>, Vec<_>) = words(text)
        .into_iter()
        .partition(|word| word.starts_with("-D"));
    let flags = flags
        .iter()
        .map(|word| Flag::parse(&word[2..], origin.clone()))
        .collect();
    // What is no option may be a part of a secret that is not quoted as a shell wants it.
    let options: Vec<_> = other
        .iter()
        .map(|word| match word.starts_with('-') {
            true => word.split('=').next().unwrap_or_default(),
            false => "...",
        })
        .collect();
    let warning = (!other.is_empty()).then(|| Warning {
        origin,
        key: String::new(),
        text: format!("options of a JVM have no effect: {}", options.join(" ")),
        severe: false,
    });
    (flags, warning)
}

/// Splits as a shell does: blanks outside quotes, `'..'`, `".."` and `\`. Open quotes run to the end.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, ' ' | '\t' | '\n' | '\r') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let cases: [(&str, &[&str]); 5] = [
            ("  -Da=1   -Db=2\n", &["-Da=1", "-Db=2"]),
            ("-Da='x y' -Db=\"p \\\" q\"", &["-Da=x y", "-Db=p \" q"]),
            ("-Da=x\\ y ''", &["-Da=x y", ""]),
            ("-Da='open x", &["-Da=open x"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn flags_are_taken_out_and_the_rest_is_named_once() {
        let (flags, warning) =
            from_variable("JVMFLAGS", "-Xmx1g -Djute.maxbuffer=4096 -XX:+UseG1GC -Dx");
        let named: Vec<_> = flags
            .iter()
            .map(|f| (f.name.as_str(), f.value.as_str()))
            .collect();
        assert_eq!(named, [("jute.maxbuffer", "4096"), ("x", "")]);
        assert_eq!(
            warning.map(|w| w.to_string()).as_deref(),
            Some("JVMFLAGS: options of a JVM have no effect: -Xmx1g -XX:+UseG1GC")
        );
    }
}
