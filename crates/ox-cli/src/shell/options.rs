//! A command's options, with the texts of the library that ZooKeeper's shell reads them with.
//!
//! Options may stand anywhere, letters may be joined (`-sw`), a letter's value may be joined to it
//! (`-v3`), `--` ends them. Source: Apache Commons CLI, `PosixParser`.

use std::fmt;

/// One option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt {
    name: &'static str,
    has_value: bool,
}

/// An option that is there or not.
pub(crate) const fn flag(name: &'static str) -> Opt {
    Opt {
        name,
        has_value: false,
    }
}

/// An option that is followed by a value.
pub(crate) const fn value(name: &'static str) -> Opt {
    Opt {
        name,
        has_value: true,
    }
}

/// Which options a command has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) all: &'static [Opt],
    /// True if only one of them may be given.
    pub(crate) exclusive: bool,
    /// What is said if none is given, where one must be.
    pub(crate) required: Option<&'static str>,
}

impl Options {
    pub(crate) const NONE: Self = Self::of(&[]);

    pub(crate) const fn of(all: &'static [Opt]) -> Self {
        Self {
            all,
            exclusive: false,
            required: None,
        }
    }
}

/// Words that are no use to the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OptionError {
    Unrecognized(String),
    MissingValue(&'static str),
    AlreadySelected {
        second: &'static str,
        first: &'static str,
    },
    MissingOption(&'static str),
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("org.apache.commons.cli.")?;
        match self {
            Self::Unrecognized(word) => {
                write!(
                    f,
                    "UnrecognizedOptionException: Unrecognized option: {word}"
                )
            }
            Self::MissingValue(name) => {
                write!(
                    f,
                    "MissingArgumentException: Missing argument for option: {name}"
                )
            }
            Self::AlreadySelected { second, first } => write!(
                f,
                "AlreadySelectedException: The option '{second}' was specified but an option from \
                 this group has already been selected: '{first}'"
            ),
            Self::MissingOption(names) => {
                write!(
                    f,
                    "MissingOptionException: Missing required option: [{names}]"
                )
            }
        }
    }
}

/// A command's words, told apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    options: Vec<(&'static str, String)>,
    /// What is no option, without the command's name.
    pub(crate) args: Vec<String>,
}

impl Parsed {
    /// Words that are all arguments.
    pub(crate) fn arguments(words: &[String]) -> Self {
        Self {
            options: Vec::new(),
            args: words.to_vec(),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The value of an option; the first one counts.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .find(|(option, _)| *option == name)
            .map(|(_, value)| value.as_str())
    }

    /// An argument by its place.
    pub(crate) fn arg(&self, place: usize) -> Option<&str> {
        self.args.get(place).map(String::as_str)
    }
}

/// Tells options and arguments apart.
pub(crate) fn parse(options: &Options, words: &[String]) -> Result<Parsed, OptionError> {
    let mut parsed = Parsed::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            Some("-") => parsed.args.extend(words.by_ref().cloned()),
            Some(name) if !name.is_empty() => {
                for (option, joined) in recognize(options, word, name)? {
                    let text = match (option.has_value, joined) {
                        (false, _) => String::new(),
                        (true, Some(text)) => text.to_owned(),
                        (true, None) => words
                            .next()
                            .ok_or(OptionError::MissingValue(option.name))?
                            .clone(),
                    };
                    parsed.options.push((option.name, text));
                }
            }
            _ => parsed.args.push(word.clone()),
        }
    }
    check_group(options, &parsed)?;
    Ok(parsed)
}

/// The options in one word, and the value that is joined to the last.
fn recognize<'a>(
    options: &Options,
    word: &str,
    name: &'a str,
) -> Result<Vec<(Opt, Option<&'a str>)>, OptionError> {
    let find = |name: &str| options.all.iter().find(|option| option.name == name);
    if let Some(option) = find(name) {
        return Ok(vec![(*option, None)]);
    }
    let mut found = Vec::new();
    for (place, letter) in name.char_indices() {
        let end = place + letter.len_utf8();
        let Some(option) = find(&name[place..end]) else {
            return Err(OptionError::Unrecognized(word.to_owned()));
        };
        let rest = Some(&name[end..]).filter(|rest| option.has_value && !rest.is_empty());
        found.push((*option, rest));
        if rest.is_some() {
            break;
        }
    }
    Ok(found)
}

fn check_group(options: &Options, parsed: &Parsed) -> Result<(), OptionError> {
    match (&parsed.options[..], options.required) {
        ([], Some(names)) => Err(OptionError::MissingOption(names)),
        ([(first, _), rest @ ..], _) if options.exclusive => {
            match rest.iter().find(|(second, _)| second != first) {
                Some(&(second, _)) => Err(OptionError::AlreadySelected { second, first }),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options::of(&[flag("s"), flag("w"), value("v"), value("add")]);

    /// Options with their values, and arguments.
    type Words<'a> = (&'a [(&'static str, &'a str)], &'a [&'a str]);

    #[track_caller]
    fn check(words: &str, outcome: Result<Words<'_>, OptionError>) {
        let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        let expected = outcome.map(|(options, args)| Parsed {
            options: options
                .iter()
                .map(|&(name, text)| (name, text.to_owned()))
                .collect(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
        });
        assert_eq!(parse(&OPTIONS, &words), expected);
    }

    #[test]
    fn options_stand_anywhere_and_may_be_joined() {
        check("-s /a", Ok((&[("s", "")], &["/a"])));
        check("/a -s", Ok((&[("s", "")], &["/a"])));
        check("-sw /a", Ok((&[("s", ""), ("w", "")], &["/a"])));
        check("-v 3 /a", Ok((&[("v", "3")], &["/a"])));
        check("-v3 /a", Ok((&[("v", "3")], &["/a"])));
        check("-v -1 /a", Ok((&[("v", "-1")], &["/a"])));
        check("-sv3 /a", Ok((&[("s", ""), ("v", "3")], &["/a"])));
        check("-add x /a", Ok((&[("add", "x")], &["/a"])));
        check("-- -s", Ok((&[], &["-s"])));
        check("- /a", Ok((&[], &["-", "/a"])));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let unrecognized = |word: &str| Err(OptionError::Unrecognized(word.to_owned()));
        check("-q /a", unrecognized("-q"));
        check("-sz /a", unrecognized("-sz"));
        check("--s /a", unrecognized("--s"));
        check("/a -5", unrecognized("-5"));
        check("-v", Err(OptionError::MissingValue("v")));
    }

    #[test]
    fn of_some_options_one_and_only_one_may_be_given() {
        let options = Options {
            exclusive: true,
            required: Some("names"),
            ..OPTIONS
        };
        let parse = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            parse(&options, &words)
        };
        assert!(parse(&["-s", "-s"]).is_ok());
        assert_eq!(parse(&["/a"]), Err(OptionError::MissingOption("names")));
        let (second, first) = ("w", "s");
        assert_eq!(
            parse(&["-s", "-w"]),
            Err(OptionError::AlreadySelected { second, first })
        );
    }
}
