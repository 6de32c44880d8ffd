//! The rules of a disk: after a power cut each sector holds what it held at the last sync or
//! anything that was written since, each file has a length it had since, and of the changes of
//! names that the folder's last sync has not covered any part has been done.
//!
//! Two rules are ext4's own, and were found here: a sync of one page leaves the length at the end
//! of that page if only writes, and no allocation, have taken the file beyond; and what is cut off
//! a file may come back as zeros.
//!
//! Source: reliability.md 4.2.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::name;
use super::script::{Name, PAGE, State, Step};

/// A file without its name.
#[derive(Clone, Debug, Default)]
struct Inode {
    /// What readers see.
    cache: Vec<u64>,
    /// What was there at the last sync.
    synced: Vec<u64>,
    /// By sector, what it may hold: that, and what has come since.
    may_be: BTreeMap<usize, BTreeSet<u64>>,
    /// The lengths it has had since.
    lengths: BTreeSet<usize>,
    /// The length as it was set last, by something other than a write, or made durable.
    set: usize,
}

/// A change of names.
#[derive(Clone, Copy, Debug)]
enum Change {
    Link(Name, usize),
    Move(Name, Name, usize),
    Unlink(Name),
}

/// A folder, and what is durable of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    inodes: Vec<Inode>,
    names: BTreeMap<Name, usize>,
    synced_names: BTreeMap<Name, usize>,
    pending: Vec<Change>,
}

impl Model {
    /// The sectors of a file as readers see them.
    pub(super) fn cached_content(&self, file: Name) -> Option<&[u64]> {
        self.names
            .get(&file)
            .map(|inode| &*self.inodes[*inode].cache)
    }

    pub(super) fn run(&mut self, step: &Step) {
        match *step {
            Step::Make(file) => match self.names.get(&file) {
                Some(inode) => self.inodes[*inode].set_length(0),
                None => {
                    self.inodes.push(Inode {
                        lengths: [0].into(),
                        ..Inode::default()
                    });
                    self.change(Change::Link(file, self.inodes.len() - 1));
                }
            },
            Step::Write {
                file,
                sector,
                count,
                tag,
            } => {
                for index in 0..count {
                    self.inode(file).write(place(sector + index), tag + index);
                }
            }
            Step::Allocate { file, sectors } => {
                let inode = self.inode(file);
                if inode.cache.len() < place(sectors) {
                    inode.set_length(place(sectors));
                }
            }
            Step::Store { file, sector, tag } => self.inode(file).write(place(sector), tag),
            Step::SyncPage { file, sector } => {
                let first = place(sector / PAGE * PAGE);
                self.inode(file).sync_page(first, first + place(PAGE));
            }
            Step::SyncData(file) | Step::SyncAll(file) => self.inode(file).sync(),
            Step::SyncFolder => {
                self.synced_names.clone_from(&self.names);
                self.pending.clear();
            }
            Step::Rename { from, to } => self.change(Change::Move(from, to, self.names[&from])),
            Step::SetLength { file, sectors } => self.inode(file).set_length(place(sectors)),
            Step::Remove(file) => self.change(Change::Unlink(file)),
            Step::WriteBack { .. } => {}
        }
    }

    /// The state that is there if the power stays.
    pub(super) fn cached(&self) -> State {
        self.state(&self.names, |inode| &inode.cache)
    }

    /// The state that is there if nothing was written but for the syncs.
    pub(super) fn synced(&self) -> State {
        self.state(&self.synced_names, |inode| &inode.synced)
    }

    fn state(&self, names: &BTreeMap<Name, usize>, of: fn(&Inode) -> &Vec<u64>) -> State {
        let file = |(file, inode): (&Name, &usize)| (name(*file), of(&self.inodes[*inode]).clone());
        State(names.iter().map(file).collect())
    }

    /// An error that says why a power cut cannot have left this state.
    pub(super) fn allows(&self, state: &State) -> Result<(), String> {
        let mut nearest = String::from("no part of the changes of names leaves these names");
        for parts in 0..1_u64 << self.pending.len() {
            let mut names = self.synced_names.clone();
            for (index, change) in self.pending.iter().enumerate() {
                if parts >> index & 1 == 1 {
                    change.apply(&mut names);
                }
            }
            match self.allows_under(&names, state) {
                Ok(()) => return Ok(()),
                Err(None) => {}
                Err(Some(reason)) => nearest = reason,
            }
        }
        Err(nearest)
    }

    /// The same if these are the names; no reason if they are not.
    fn allows_under(
        &self,
        names: &BTreeMap<Name, usize>,
        state: &State,
    ) -> Result<(), Option<String>> {
        let wanted: BTreeSet<PathBuf> = names.keys().map(|file| name(*file)).collect();
        if !wanted.iter().eq(state.0.keys()) {
            return Err(None);
        }
        for (file, inode) in names {
            let path = name(*file);
            let inode = &self.inodes[*inode];
            if let Err(reason) = inode.allows(&state.0[&path]) {
                return Err(Some(format!("{}: {reason}", path.display())));
            }
        }
        Ok(())
    }

    /// The state without a sector that it cannot be without.
    pub(super) fn lose_something_synced(&self, state: &State) -> Option<State> {
        if !self.pending.is_empty() {
            return None;
        }
        for (file, inode) in &self.names {
            let inode = &self.inodes[*inode];
            let one = |sector: &usize| inode.may_be.get(sector).is_none_or(|tags| tags.len() == 1);
            let sector =
                (0..inode.synced.len()).find(|sector| one(sector) && inode.synced[*sector] != 0);
            if let Some(sector) = sector {
                let mut lost = state.clone();
                *lost.0.get_mut(&name(*file))?.get_mut(sector)? = 0;
                return Some(lost);
            }
        }
        None
    }

    fn inode(&mut self, file: Name) -> &mut Inode {
        &mut self.inodes[self.names[&file]]
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }
}

impl Change {
    fn apply(self, names: &mut BTreeMap<Name, usize>) {
        match self {
            Self::Link(file, inode) => {
                names.insert(file, inode);
            }
            Self::Move(from, to, inode) => {
                names.remove(&from);
                names.insert(to, inode);
            }
            Self::Unlink(file) => {
                names.remove(&file);
            }
        }
    }
}

impl Inode {
    fn write(&mut self, sector: usize, tag: u64) {
        if self.cache.len() <= sector {
            self.grow(sector + 1);
        }
        self.cache[sector] = tag;
        self.may_hold(sector, tag);
    }

    fn grow(&mut self, length: usize) {
        for sector in self.cache.len()..length {
            self.may_hold(sector, 0);
        }
        self.cache.resize(length, 0);
        self.lengths.insert(length);
    }

    fn set_length(&mut self, length: usize) {
        for sector in length..self.cache.len() {
            self.may_hold(sector, 0);
        }
        self.cache.truncate(length);
        self.grow(length);
        self.set = length;
    }

    fn may_hold(&mut self, sector: usize, tag: u64) {
        let synced = self.synced.get(sector).copied().unwrap_or_default();
        let tags = self.may_be.entry(sector).or_insert_with(|| [synced].into());
        tags.insert(tag);
    }

    /// All is durable.
    fn sync(&mut self) {
        self.synced.clone_from(&self.cache);
        self.may_be.clear();
        self.set = self.cache.len();
        self.lengths = [self.set].into();
    }

    /// The sectors of a page are durable, and so much of the length as is sure.
    fn sync_page(&mut self, from: usize, to: usize) {
        let length = self.cache.len();
        let to = to.min(length);
        let sure = self.set.max(to).min(length);
        self.synced.resize(sure, 0);
        self.synced[from..to].copy_from_slice(&self.cache[from..to]);
        self.may_be.retain(|sector, _| !(from..to).contains(sector));
        self.lengths = [sure, length].into();
    }

    fn allows(&self, found: &[u64]) -> Result<(), String> {
        let shortest = self.lengths.first().copied().unwrap_or_default();
        let longest = self.lengths.last().copied().unwrap_or_default();
        if !(shortest..=longest).contains(&found.len()) {
            return Err(format!(
                "{} sectors, not {shortest} to {longest}",
                found.len()
            ));
        }
        for (sector, tag) in found.iter().enumerate() {
            let synced = self.synced.get(sector).copied().unwrap_or_default();
            let allowed = match self.may_be.get(&sector) {
                Some(tags) => tags.contains(tag),
                None => *tag == synced,
            };
            if !allowed {
                let may_be = self.may_be.get(&sector);
                return Err(format!(
                    "sector {sector} holds {tag}, not {synced} or {may_be:?}"
                ));
            }
        }
        Ok(())
    }
}

fn place(sectors: u64) -> usize {
    usize::try_from(sectors).expect("a short file")
}
