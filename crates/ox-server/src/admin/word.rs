//! The words themselves: how they are recognized and refused, and the answers that never change.
//!
//! Source: operations.md 3.1 and 3.2; client-protocol.md 1.4.

/// The answer to `ruok`, serving or not.
pub const RUOK: &str = "imok";
/// The answer to `isro` while serving.
pub const ISRO: &str = "rw";
/// The answer to `isro` of a server that serves reads only.
pub const ISRO_READ_ONLY: &str = "ro";
/// The answer to `isro` otherwise.
pub const ISRO_NOT_SERVING: &str = "null";
/// The answer to `srst`.
pub const SRST: &str = "Server stats reset.\n";
/// The answer to `crst`.
pub const CRST: &str = "Connection stats reset.\n";
/// The trace mask of a server that was not told another.
pub const DEFAULT_TRACE_MASK: i64 = 306;

macro_rules! words {
    ($($(#[$meta:meta])* $word:ident = $bytes:literal, $name:literal;)*) => {
        /// What the first four bytes of a connection may ask for in place of a session.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Word {
            $($(#[$meta])* $word,)*
        }

        impl Word {
            /// The word that a connection begins with. None is a length that a packet could have.
            pub fn recognize(first: [u8; 4]) -> Option<Self> {
                match &first {
                    $($bytes => Some(Self::$word),)*
                    _ => None,
                }
            }

            /// The name by which the whitelist knows it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$word => $name,)*
                }
            }
        }
    };
}

words! {
    /// The configuration.
    Conf = b"conf", "conf";
    /// The connections, in full.
    Cons = b"cons", "cons";
    /// Resets what `cons` counts.
    Crst = b"crst", "crst";
    /// The sizes of the data directories.
    Dirs = b"dirs", "dirs";
    /// Sessions, ephemerals and connections with their expiry.
    Dump = b"dump", "dump";
    /// The environment.
    Envi = b"envi", "envi";
    /// Gets the trace mask.
    Gtmk = b"gtmk", "gtmk";
    /// The digests of the tree.
    Hash = b"hash", "hash";
    /// Whether the server is read-only.
    Isro = b"isro", "isro";
    /// Everything that is measured.
    Mntr = b"mntr", "mntr";
    /// Whether the process is alive.
    Ruok = b"ruok", "ruok";
    /// Resets what the server counts.
    Srst = b"srst", "srst";
    /// The server in short.
    Srvr = b"srvr", "srvr";
    /// The server in short, and its connections.
    Stat = b"stat", "stat";
    /// Sets the trace mask to the 8 bytes that follow.
    Stmk = b"stmk", "stmk";
    /// Watches by session.
    Wchc = b"wchc", "wchc";
    /// Watches by path.
    Wchp = b"wchp", "wchp";
    /// Watches, counted.
    Wchs = b"wchs", "wchs";
    /// What a telnet sends to interrupt: never answered, only refused or closed.
    TelnetClose = b"\xff\xf4\xff\xfd", "telnet close";
}

impl Word {
    /// The answer to a word that is not on the whitelist.
    pub fn refusal(self) -> String {
        format!(
            "{} is not executed because it is not in the whitelist.\n",
            self.name()
        )
    }

    /// The answer of a server that serves nobody as yet, to those words that need one.
    pub fn not_serving(self) -> Option<&'static str> {
        const LINE: &str = "This ZooKeeper instance is not currently serving requests\n";
        match self {
            Self::Ruok | Self::Isro | Self::Gtmk | Self::Stmk | Self::Envi | Self::TelnetClose => {
                None
            }
            // This one never ends its line.
            Self::Hash => Some(LINE.trim_end()),
            Self::Conf
            | Self::Cons
            | Self::Crst
            | Self::Dirs
            | Self::Dump
            | Self::Mntr
            | Self::Srst
            | Self::Srvr
            | Self::Stat
            | Self::Wchc
            | Self::Wchp
            | Self::Wchs => Some(LINE),
        }
    }
}

/// The answer to `gtmk`, and with the new mask to `stmk`.
pub fn trace_mask(mask: i64) -> String {
    mask.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_eighteen_words_and_the_end_of_a_telnet_are_recognized() {
        let words = "conf cons crst dirs dump envi gtmk hash isro mntr ruok srst srvr stat stmk \
                     wchc wchp wchs";
        assert_eq!(words.split(' ').count(), 18);
        for name in words.split(' ') {
            let word = Word::recognize(name.as_bytes().try_into().unwrap());
            assert_eq!(word.map(Word::name), Some(name));
        }
        let telnet = Word::recognize(0xfff4_fffd_u32.to_be_bytes());
        assert_eq!(telnet.map(Word::name), Some("telnet close"));
    }

    #[test]
    fn nothing_else_is() {
        for first in [
            *b"RUOK",
            *b"kill",
            *b"reqs",
            *b"ruo\n",
            [0, 0, 0, 44],
            [0xff; 4],
        ] {
            assert_eq!(Word::recognize(first), None, "{first:?}");
        }
    }
}
