//! An image to a tree.
//!
//! Invariant: no bytes make it panic, and none make it hold more than they justify. A path that
//! comes twice counts as it came last. What is not in the image is built anew: children, owners,
//! quotas and their usage, the digest.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ox_jute::{DecodeError, Decoder, Jute};
use ox_proto::{Acl, SessionId, StatPersisted, path};

use super::OPEN_NUMBER;
use crate::acl_table::OPEN;
use crate::owner::{TreeOptions, is_unknown_feature};
use crate::tree::{DataTree, NewNode, ROOT};

/// Why bytes are not the image of a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A record that cannot be read.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// A znode came before its parent.
    #[error("the parent of {path} is missing")]
    MissingParent {
        /// The znode.
        path: String,
    },
    /// With extended types on, a znode has a feature this server does not know.
    #[error("the owner {owner:#x} of {path} names an unknown extended feature")]
    UnknownFeature {
        /// The znode.
        path: String,
        /// Its `ephemeralOwner`.
        owner: i64,
    },
    /// There is no root.
    #[error("the image has no root")]
    MissingRoot,
    /// The end was not reached.
    #[error("the image ends early")]
    Unfinished,
}

/// What became of a window of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// So many bytes were whole records.
    pub consumed: usize,
    /// The image has ended; what follows is not part of it.
    pub done: bool,
}

/// An image on its way into a tree.
pub struct ImageLoader {
    tree: DataTree,
    max_length: usize,
    next: Section,
    root_seen: bool,
    /// Where the last znode was added.
    last_parent: u32,
    sessions: Vec<(SessionId, i32)>,
    acls: HashMap<i64, u32, FixedState>,
    /// For znodes whose acl is not in the table, until a record brings it: nobody may do anything.
    closed_acl: u32,
}

/// What comes next, with how many more of it.
enum Section {
    SessionCount,
    Sessions(i32),
    AclCount,
    Acls(i32),
    Nodes,
    End,
}

impl ImageLoader {
    /// A loader of one image.
    pub fn new(hash_seed: u64, options: TreeOptions) -> Self {
        let mut tree = DataTree::bare(hash_seed, options);
        let closed_acl = tree.acls.acquire(&[Acl::world(0)]);
        Self {
            tree,
            max_length: Decoder::DEFAULT_MAX_LENGTH,
            next: Section::SessionCount,
            root_seen: false,
            last_parent: ROOT,
            sessions: Vec::new(),
            acls: HashMap::default(),
            closed_acl,
        }
    }

    /// Sets the largest length of a path or of data, in bytes.
    pub fn with_limit(self, max_length: usize) -> Self {
        Self { max_length, ..self }
    }

    /// Makes room for what an image of so many bytes is likely to hold, so that it need not be
    /// made piece by piece. More is no error, and much more than there will be is not taken.
    pub fn expect(&mut self, bytes: usize) {
        /// An image's bytes per znode; most have more.
        const TYPICAL: usize = 200;
        /// Room for more than this is left to grow.
        const MOST: usize = 1 << 22;
        self.tree.reserve((bytes / TYPICAL).min(MOST));
    }

    /// Takes the whole records at the front of `window`, which begins where the last one taken
    /// ended. If nothing was consumed a longer window is needed.
    pub fn feed(&mut self, window: &[u8]) -> Result<Fed, ImageError> {
        let mut input = Decoder::new(window).with_limit(self.max_length);
        let mut consumed = 0;
        while !matches!(self.next, Section::End) {
            match self.record(&mut input) {
                Err(ImageError::Decode(DecodeError::End)) => break,
                taken => taken?,
            }
            consumed = window.len() - input.remaining().len();
        }
        Ok(Fed {
            consumed,
            done: matches!(self.next, Section::End),
        })
    }

    /// The tree and the sessions with their timeouts in milliseconds. The tree's last zxid is for
    /// the caller to set, who knows it from the name of the file.
    pub fn finish(mut self) -> Result<(DataTree, Vec<(SessionId, i32)>), ImageError> {
        if !matches!(self.next, Section::End) {
            return Err(ImageError::Unfinished);
        }
        if !self.root_seen {
            return Err(ImageError::MissingRoot);
        }
        // The lists that no znode uses go.
        for number in self.acls.values().chain([&self.closed_acl]) {
            self.tree.acls.release(*number);
        }
        self.tree.rebuild_quotas();
        Ok((self.tree, self.sessions))
    }

    fn record(&mut self, input: &mut Decoder<'_>) -> Result<(), ImageError> {
        match self.next {
            Section::SessionCount => self.next = Section::Sessions(input.int()?),
            Section::Sessions(left) if left > 0 => {
                self.sessions.push((Jute::decode(input)?, input.int()?));
                self.next = Section::Sessions(left - 1);
            }
            Section::Sessions(_) => self.next = Section::AclCount,
            Section::AclCount => self.next = Section::Acls(input.int()?),
            Section::Acls(left) if left > 0 => {
                let (number, list) = (input.long()?, Vec::<Acl>::decode(input)?);
                let acquired = self.tree.acls.acquire(&list);
                if let Some(replaced) = self.acls.insert(number, acquired) {
                    self.tree.acls.release(replaced);
                }
                self.next = Section::Acls(left - 1);
            }
            Section::Acls(_) => self.next = Section::Nodes,
            Section::Nodes => self.node(input)?,
            Section::End => {}
        }
        Ok(())
    }

    fn node(&mut self, input: &mut Decoder<'_>) -> Result<(), ImageError> {
        let path = input.slice()?.ok_or(DecodeError::Null)?;
        if path == path::ROOT.as_bytes() {
            self.next = Section::End;
            return Ok(());
        }
        let (data, acl) = (input.slice()?, input.long()?);
        let stat = StatPersisted::decode(input)?;
        let path = String::from_utf8_lossy(path);
        self.check_owner(&path, stat.ephemeral_owner)?;
        let acl = self.acl(acl);
        let new = NewNode { stat, acl, data };
        if path.is_empty() {
            self.root_seen = true;
            self.tree.overwrite(ROOT, new);
            return Ok(());
        }
        let hash = self.tree.hash(&path);
        if let Some(id) = self.tree.resolve_hashed(&path, hash) {
            self.tree.overwrite(id, new);
        } else {
            let parent = self
                .parent(&path)
                .ok_or_else(|| ImageError::MissingParent {
                    path: path.to_string(),
                })?;
            self.last_parent = parent;
            self.tree.insert_hashed(parent, &path, hash, new);
        }
        Ok(())
    }

    /// The znode above; in an image, siblings often follow one another.
    fn parent(&self, path: &str) -> Option<u32> {
        let (parent, _) = path.rsplit_once('/')?;
        if self.tree.is_directory_at(self.last_parent, parent) {
            return Some(self.last_parent);
        }
        if parent == path::ROOT {
            return None;
        }
        self.tree.resolve(parent)
    }

    fn check_owner(&self, path: &str, owner: i64) -> Result<(), ImageError> {
        if is_unknown_feature(owner, &self.tree.options()) {
            return Err(ImageError::UnknownFeature {
                path: path.to_string(),
                owner,
            });
        }
        Ok(())
    }

    /// One more use of the list with this number in the image.
    fn acl(&mut self, number: i64) -> u32 {
        let number = match number {
            OPEN_NUMBER => OPEN,
            _ => self.acls.get(&number).copied().unwrap_or(self.closed_acl),
        };
        self.tree.acls.acquire_again(number);
        number
    }
}
