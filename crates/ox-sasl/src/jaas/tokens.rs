//! The file in tokens, as Java's tokenizer cuts it for this purpose.
//!
//! Source: `java.io.StreamTokenizer` with what `ConfigFile.readConfig` sets: quotes `"` and `'`,
//! comments `//`, `/* */` and any other slash to the end of the line, numbers.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    Word,
    Quoted,
    SingleQuoted,
    Number,
    Symbol(char),
}

/// A token, and where it begins.
pub(super) struct Token {
    kind: Kind,
    line: usize,
    /// Of words and quotes.
    pub(super) text: String,
}

/// All tokens, one of them seen already.
pub(super) struct Tokens {
    rest: std::vec::IntoIter<char>,
    line: usize,
    seen: Token,
}

impl Tokens {
    pub(super) fn new(text: &str) -> Self {
        // An end of a line is one character, whichever way it is written.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let characters: Vec<char> = text.chars().collect();
        let mut tokens = Self {
            rest: characters.into_iter(),
            line: 1,
            seen: Token {
                kind: Kind::End,
                line: 1,
                text: String::new(),
            },
        };
        tokens.take();
        tokens
    }

    /// The kind of the next token.
    pub(super) fn kind(&self) -> Kind {
        self.seen.kind
    }

    /// Where the next token begins.
    pub(super) fn line(&self) -> usize {
        self.seen.line
    }

    /// The next token. Behind the end there are only ends.
    pub(super) fn take(&mut self) -> Token {
        let next = self.next_token();
        std::mem::replace(&mut self.seen, next)
    }

    fn next_token(&mut self) -> Token {
        loop {
            let line = self.line;
            let token = |kind, text| Token { kind, line, text };
            let Some(first) = self.next() else {
                return token(Kind::End, String::new());
            };
            match first {
                '\0'..=' ' => {}
                '/' => self.skip_comment(),
                '"' => return token(Kind::Quoted, self.quoted('"')),
                '\'' => return token(Kind::SingleQuoted, self.quoted('\'')),
                '-' if !self.peek().is_some_and(|c| c == '.' || c.is_ascii_digit()) => {
                    return token(Kind::Symbol('-'), String::new());
                }
                '-' | '.' | '0'..='9' => {
                    self.skip_number(first == '.');
                    return token(Kind::Number, String::new());
                }
                first if is_of_word(first) => {
                    let mut text = String::from(first);
                    while let Some(next) = self.peek()
                        && (is_of_word(next) || is_of_number(next))
                    {
                        text.extend(self.next());
                    }
                    return token(Kind::Word, text);
                }
                symbol => return token(Kind::Symbol(symbol), String::new()),
            }
        }
    }

    /// Behind a slash. One that is not closed runs to the end of the file.
    fn skip_comment(&mut self) {
        if self.peek() != Some('*') {
            while self.peek().is_some_and(|c| c != '\n') {
                self.next();
            }
            return;
        }
        self.next();
        let mut before = '\0';
        while let Some(c) = self.next() {
            if before == '*' && c == '/' {
                return;
            }
            before = c;
        }
    }

    fn skip_number(&mut self, mut has_dot: bool) {
        while let Some(c) = self.peek()
            && (c.is_ascii_digit() || c == '.' && !has_dot)
        {
            has_dot |= c == '.';
            self.next();
        }
    }

    /// Up to the quote, or to the end of the line, which is no mistake to Java.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n') => return text,
                Some(c) if c == quote => {
                    self.next();
                    return text;
                }
                Some('\\') => {
                    self.next();
                    text.extend(self.escaped());
                }
                Some(_) => text.extend(self.next()),
            }
        }
    }

    /// Behind a backslash: octal digits, the letters of C, or the character itself.
    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            first @ '0'..='7' => {
                let most = if first <= '3' { 3 } else { 2 };
                let mut code = first.to_digit(8)?;
                for _ in 1..most {
                    let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    self.next();
                    code = code * 8 + digit;
                }
                char::from_u32(code)?
            }
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            other => other,
        })
    }

    fn peek(&self) -> Option<char> {
        self.rest.as_slice().first().copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        if next == '\n' {
            self.line += 1;
        }
        Some(next)
    }
}

fn is_of_word(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '$' | '_' | '*' | '\u{a0}'..)
}

/// In words too, but not at their beginning.
fn is_of_number(c: char) -> bool {
    matches!(c, '0'..='9' | '.' | '-')
}
