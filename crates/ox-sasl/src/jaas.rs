//! The JAAS login configuration: sections of login modules with options.
//!
//! Read as Java reads it, with all its turns: a slash begins a comment wherever it stands, quotes
//! end with their line, what begins with a digit is a number and so no value. Invariant: no error
//! shows a word of the file but names of sections, for any other may be a password. Source:
//! `sun.security.provider.ConfigFile`, `java.io.StreamTokenizer`, `PropertyExpander`.

mod expand;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use ox_secret::Secret;

use crate::Users;
use tokens::{Kind, Tokens};

pub use expand::{ExpandError, expand};

/// The longest file that is read, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// The one login module there is.
pub const DIGEST_MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

/// Options that begin so name users.
const USER: &str = "user_";

/// A file by the names of its sections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jaas {
    sections: BTreeMap<String, Section>,
}

/// The login modules of one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Where it begins, counted from 1.
    pub line: usize,
    /// One at least.
    pub modules: Vec<Module>,
}

/// A login module and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Where it begins, counted from 1.
    pub line: usize,
    /// The name of its class.
    pub class: String,
    /// In their order.
    options: Vec<(String, Secret)>,
}

/// A place in the file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// What is there, and what should be.
    pub reason: String,
}

impl Jaas {
    /// Reads a file. `property` answers the system property that a value names as `${name}`.
    ///
    /// # Errors
    /// The first place where the file cannot be read.
    pub fn parse(
        file: &[u8],
        property: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SyntaxError> {
        let mut parser = Parser {
            tokens: Tokens::new(&String::from_utf8_lossy(file)),
            property,
        };
        let mut sections = BTreeMap::new();
        while parser.tokens.kind() != Kind::End {
            let line = parser.tokens.line();
            let name = parser.name()?;
            let modules = parser.modules()?;
            // Java knows no section without modules.
            let section = Section { line, modules };
            if sections.insert(name.clone(), section).is_some() {
                let reason = format!("a second section {name}");
                return Err(SyntaxError { line, reason });
            }
        }
        sections.retain(|_, section: &mut Section| !section.modules.is_empty());
        Ok(Self { sections })
    }

    /// The section of this name, if it has modules.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(name)
    }

    /// The names of all sections.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }
}

impl Section {
    /// The modules that are not there.
    pub fn unknown_modules(&self) -> impl Iterator<Item = &Module> {
        let unknown = |module: &&Module| module.class != DIGEST_MODULE;
        self.modules.iter().filter(unknown)
    }

    /// The users that may authenticate here: options `user_<name>=<password>`.
    pub fn users(&self) -> Users {
        let options = self.modules.iter().flat_map(|module| &module.options);
        let users = options.filter_map(|(key, value)| {
            let name = key.strip_prefix(USER)?;
            Some((name.to_owned(), value.clone()))
        });
        users.collect()
    }

    /// Who authenticates itself: the options `username` and `password` of the first module that
    /// has a name.
    pub fn credentials(&self) -> Option<(String, Secret)> {
        let module = |module: &&Module| module.option("username").is_some();
        let module = self.modules.iter().find(module)?;
        let name = module.option("username")?.reveal().to_owned();
        Some((name, module.option("password")?.clone()))
    }
}

impl Module {
    /// An option; the last of a name counts.
    pub fn option(&self, name: &str) -> Option<&Secret> {
        let mut options = self.options.iter().rev();
        options.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Names that are given more than once.
    pub fn repeated_options(&self) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let options = self.options.iter().map(|(key, _)| key.as_str());
        options.filter(|&key| !seen.insert(key)).collect()
    }
}

struct Parser<'a> {
    tokens: Tokens,
    property: &'a dyn Fn(&str) -> Option<String>,
}

impl Parser<'_> {
    fn name(&mut self) -> Result<String, SyntaxError> {
        match self.tokens.kind() {
            Kind::Word | Kind::Quoted | Kind::SingleQuoted => Ok(self.tokens.take().text),
            _ => Err(self.expected("the name of a section")),
        }
    }

    fn modules(&mut self) -> Result<Vec<Module>, SyntaxError> {
        self.symbol('{')?;
        let mut modules = Vec::new();
        while self.tokens.kind() != Kind::Symbol('}') {
            modules.push(self.module()?);
        }
        self.symbol('}')?;
        self.symbol(';')?;
        Ok(modules)
    }

    fn module(&mut self) -> Result<Module, SyntaxError> {
        let line = self.tokens.line();
        let class = self.word("the class of a login module, or }")?;
        let flag_line = self.tokens.line();
        let flag = self.word("required, requisite, sufficient or optional")?;
        let flags = ["required", "requisite", "sufficient", "optional"];
        if !flags.iter().any(|known| flag.eq_ignore_ascii_case(known)) {
            return Err(SyntaxError {
                line: flag_line,
                reason: "expected required, requisite, sufficient or optional, found another word"
                    .to_owned(),
            });
        }
        let mut options = Vec::new();
        while self.tokens.kind() != Kind::Symbol(';') {
            let key = self.word("the name of an option, or ;")?;
            self.symbol('=')?;
            let line = self.tokens.line();
            let value = self.word("the value of an option")?;
            options.push((key, self.value(value, line)?));
        }
        self.symbol(';')?;
        Ok(Module {
            line,
            class,
            options,
        })
    }

    fn value(&self, value: String, line: usize) -> Result<Secret, SyntaxError> {
        let failed = |reason: &str| SyntaxError {
            line,
            reason: reason.to_owned(),
        };
        if value.is_empty() {
            return Ok(Secret::default());
        }
        match expand(&value, self.property) {
            Ok(text) if text.is_empty() => {
                Err(failed("the system properties in the value are all empty"))
            }
            Ok(text) => Ok(Secret::new(text)),
            Err(error) => Err(failed(&error.to_string())),
        }
    }

    fn word(&mut self, expected: &str) -> Result<String, SyntaxError> {
        match self.tokens.kind() {
            Kind::Word | Kind::Quoted => Ok(self.tokens.take().text),
            _ => Err(self.expected(expected)),
        }
    }

    fn symbol(&mut self, symbol: char) -> Result<(), SyntaxError> {
        if self.tokens.kind() == Kind::Symbol(symbol) {
            self.tokens.take();
            return Ok(());
        }
        Err(self.expected(&symbol.to_string()))
    }

    fn expected(&self, expected: &str) -> SyntaxError {
        let found = match self.tokens.kind() {
            Kind::End => "the end of the file",
            Kind::Word => "a word",
            Kind::Quoted => "text in quotes",
            Kind::SingleQuoted => "text in single quotes, which is none; write \"...\"",
            Kind::Number => "a number; what begins with a digit, a dot or a minus needs quotes",
            Kind::Symbol('{') => "{",
            Kind::Symbol('}') => "}",
            Kind::Symbol('=') => "=",
            Kind::Symbol(';') => ";",
            Kind::Symbol(_) => "a character that needs quotes",
        };
        SyntaxError {
            line: self.tokens.line(),
            reason: format!("expected {expected}, found {found}"),
        }
    }
}
