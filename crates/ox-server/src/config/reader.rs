//! Looks settings up, reads their text, and collects what is wrong with them.
//!
//! Invariant: a bad value yields a problem (or Java's silent default, with a warning) and the
//! default, so that one run finds everything.

use std::collections::BTreeMap;

use super::problem::{Origin, Problem, Warning};
use super::value;

/// A setting's text and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// How a key can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `key` in the file; a flag does nothing.
    File,
    /// `key` in the file, or else the flag `-Dzookeeper.key`.
    Property,
    /// The flag `-Dkey`; a line in the file does nothing.
    Flag,
}

/// The settings of one start, and what was found out about them.
pub(super) struct Reader {
    file: BTreeMap<String, Setting>,
    flags: BTreeMap<String, Setting>,
    /// Stands for a key that is not there.
    pub(super) whole: Origin,
    /// Whether the settings are those of an ensemble's member.
    pub(super) in_ensemble: bool,
    /// Every key that was asked for.
    pub(super) known: BTreeMap<&'static str, Place>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl Reader {
    pub(super) fn new(
        whole: Origin,
        file: BTreeMap<String, Setting>,
        flags: BTreeMap<String, Setting>,
    ) -> Self {
        let known = BTreeMap::new();
        Self {
            file,
            flags,
            whole,
            in_ensemble: false,
            known,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Gives the reader the settings of its file.
    pub(super) fn set_file(&mut self, settings: BTreeMap<String, Setting>) {
        self.file = settings;
    }

    pub(super) fn file(&self) -> &BTreeMap<String, Setting> {
        &self.file
    }

    pub(super) fn flags(&self) -> &BTreeMap<String, Setting> {
        &self.flags
    }

    /// The text of `key`, wherever it may be given.
    pub(super) fn text(&mut self, key: &'static str, place: Place) -> Option<Setting> {
        self.known.insert(key, place);
        let in_file = || self.file.get(key);
        match place {
            Place::File => in_file(),
            Place::Property => in_file().or_else(|| self.flags.get(&format!("zookeeper.{key}"))),
            Place::Flag => self.flags.get(key),
        }
        .cloned()
    }

    /// A number of the parser's own kind: anything but a decimal 32-bit number is an error.
    pub(super) fn int(&mut self, key: &'static str, allowed: &str) -> Option<i32> {
        let Setting {
            value: text,
            origin,
        } = self.text(key, Place::File)?;
        let number = value::int(&text);
        if number.is_none() {
            self.problem(
                origin,
                key,
                format!("For input string: \"{text}\""),
                allowed,
            );
        }
        number
    }

    /// A boolean of the parser's own kind: anything but two words is an error.
    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some(Setting {
            value: text,
            origin,
        }) = self.text(key, Place::File)
        else {
            return default;
        };
        value::boolean(&text).unwrap_or_else(|| {
            let reason = format!("Invalid option {text} for {key}. Choose 'true' or 'false.'");
            self.problem(origin, key, reason, "true, false");
            default
        })
    }

    /// A number from the property map (`Integer.getInteger`, `Long.getLong`): text that is no
    /// number within `range` is the default, as in Java, but said aloud.
    pub(super) fn number<T>(&mut self, key: &'static str, place: Place, default: T) -> T
    where
        T: Copy + TryFrom<i64> + std::fmt::Display,
    {
        let Some(Setting {
            value: text,
            origin,
        }) = self.text(key, place)
        else {
            return default;
        };
        let number = value::decode(&text).and_then(|number| T::try_from(number).ok());
        number.unwrap_or_else(|| {
            self.warn(
                origin,
                key,
                format!("\"{text}\" is no number, {default} is used"),
            );
            default
        })
    }

    /// A number that is raised to `least` with a warning.
    pub(super) fn number_from<T>(
        &mut self,
        key: &'static str,
        place: Place,
        default: T,
        least: T,
    ) -> T
    where
        T: Copy + Ord + TryFrom<i64> + std::fmt::Display,
    {
        let number = self.number(key, place, default);
        if number < least {
            self.warn_about(
                key,
                place,
                format!("{number} is too small, {least} is used"),
            );
        }
        number.max(least)
    }

    /// A boolean from the property map (`Boolean.parseBoolean`): what is not `true` is false.
    pub(super) fn property_boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some(Setting {
            value: text,
            origin,
        }) = self.text(key, Place::Property)
        else {
            return default;
        };
        value::boolean(&text).unwrap_or_else(|| {
            self.warn(
                origin,
                key,
                format!("\"{text}\" is read as false; write true or false"),
            );
            false
        })
    }

    /// A boolean that the parser takes from the file, and others from the property map.
    pub(super) fn boolean_or_property(&mut self, key: &'static str, default: bool) -> bool {
        if !self.file.contains_key(key) {
            return self.property_boolean(key, default);
        }
        let found = self.boolean(key, default);
        self.known.insert(key, Place::Property);
        found
    }

    /// Whether `key` is exactly `word`.
    pub(super) fn is_word(&mut self, key: &'static str, word: &str) -> bool {
        self.text(key, Place::Property)
            .is_some_and(|setting| setting.value == word)
    }

    /// Where `key` stands, or should stand.
    pub(super) fn origin(&mut self, key: &'static str, place: Place) -> Origin {
        self.text(key, place)
            .map_or_else(|| self.whole.clone(), |setting| setting.origin)
    }

    pub(super) fn problem(
        &mut self,
        origin: Origin,
        key: &str,
        reason: impl Into<String>,
        allowed: &str,
    ) {
        self.problems.push(Problem {
            origin,
            key: key.to_owned(),
            reason: reason.into(),
            allowed: allowed.to_owned(),
            exit_code: 2,
        });
    }

    pub(super) fn warn(&mut self, origin: Origin, key: &str, text: impl Into<String>) {
        let (key, text) = (key.to_owned(), text.into());
        self.warnings.push(Warning {
            origin,
            key,
            text,
            severe: false,
        });
    }

    pub(super) fn warn_about(&mut self, key: &'static str, place: Place, text: impl Into<String>) {
        let origin = self.origin(key, place);
        self.warn(origin, key, text);
    }
}
