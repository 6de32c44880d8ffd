//! Scripts of disk operations, and what a folder holds after one.
//!
//! Every sector that is written is filled with one number, of its own, so that what is found can
//! be told apart and a sector that was torn is seen.

use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use ox_txnlog::{Disk, DiskFile, Open, Window};
use rand::RngExt;
use rand::rngs::StdRng;
use rustix::fs::{Advice, fadvise};

use super::model::Model;
use super::name;

pub(super) const SECTOR: u64 = 512;
/// Sectors of a page.
pub(super) const PAGE: u64 = 8;
/// Files of a script, and the sectors each may have.
const FILES: u8 = 5;
const SECTORS: u64 = 40;

/// A file, by its name's place in the alphabet.
pub(super) type Name = u8;

/// One operation. Sectors count from 0.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Makes a file, or empties it.
    Make(Name),
    /// Writes so many sectors, filled with `tag` and the numbers behind it.
    Write {
        file: Name,
        sector: u64,
        count: u64,
        tag: u64,
    },
    /// Makes a file that long, with space.
    Allocate {
        file: Name,
        sectors: u64,
    },
    /// Stores a sector through a mapping where there are zeros.
    Store {
        file: Name,
        sector: u64,
        tag: u64,
    },
    /// Syncs the page of a sector through a mapping.
    SyncPage {
        file: Name,
        sector: u64,
    },
    SyncData(Name),
    SyncAll(Name),
    SyncFolder,
    Rename {
        from: Name,
        to: Name,
    },
    SetLength {
        file: Name,
        sectors: u64,
    },
    Remove(Name),
    /// Lets the kernel know that a page is not needed: it is written back soon.
    WriteBack {
        file: Name,
        sector: u64,
    },
}

/// Operations, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
}

impl Script {
    /// Some that can all be done.
    pub(super) fn random(random: &mut StdRng) -> Self {
        let mut model = Model::default();
        let mut steps = Vec::new();
        let mut tag = 1;
        for _ in 0..random.random_range(5..60) {
            let step = step(&model, tag, random);
            tag += 100;
            model.run(&step);
            steps.push(step);
        }
        Self { steps }
    }
}

fn step(model: &Model, tag: u64, random: &mut StdRng) -> Step {
    let file = random.random_range(0..FILES);
    let Some(sectors) = model.cached_content(file) else {
        return Step::Make(file);
    };
    let length = u64::try_from(sectors.len()).expect("a short file");
    let sector = random.random_range(0..length.max(1));
    match random.random_range(0..24) {
        0 => Step::Make(file),
        1..=4 => {
            let sector = random.random_range(0..=length.min(SECTORS - 4));
            let count = random.random_range(1..=4);
            Step::Write {
                file,
                sector,
                count,
                tag,
            }
        }
        5 | 6 => Step::Allocate {
            file,
            sectors: SECTORS,
        },
        7..=10 => match sectors.iter().position(|found| *found == 0) {
            Some(place) => {
                let sector = u64::try_from(place).expect("a short file");
                Step::Store { file, sector, tag }
            }
            None => Step::Allocate {
                file,
                sectors: SECTORS,
            },
        },
        11 | 12 if length > 0 => Step::SyncPage { file, sector },
        13 | 14 => Step::SyncData(file),
        15 => Step::SyncAll(file),
        16 | 17 => Step::SyncFolder,
        18 => {
            let to = (file + random.random_range(1..FILES)) % FILES;
            Step::Rename { from: file, to }
        }
        19 => Step::SetLength {
            file,
            sectors: random.random_range(0..=length),
        },
        20 => Step::Remove(file),
        _ => Step::WriteBack { file, sector },
    }
}

/// The files of a script that is being run, open since they were made.
pub(super) struct Files<'a> {
    disk: &'a dyn Disk,
    folder: PathBuf,
    open: BTreeMap<Name, Box<dyn DiskFile>>,
}

impl<'a> Files<'a> {
    /// None yet, in an empty folder.
    pub(super) fn new(disk: &'a dyn Disk, folder: &Path) -> Self {
        Self {
            disk,
            folder: folder.to_path_buf(),
            open: BTreeMap::new(),
        }
    }

    /// Does a step on a disk that works.
    #[track_caller]
    pub(super) fn run(&mut self, step: &Step) {
        self.try_run(step)
            .unwrap_or_else(|error| panic!("{step:?}: {error}"));
    }

    fn try_run(&mut self, step: &Step) -> std::io::Result<()> {
        match *step {
            Step::Make(file) => {
                let made = self.disk.open(&self.path(file), Open::Replace)?;
                self.open.insert(file, made);
                Ok(())
            }
            Step::Write {
                file,
                sector,
                count,
                tag,
            } => {
                let bytes: Vec<u8> = (0..count).flat_map(|index| filled(tag + index)).collect();
                self.open[&file].write_at([&bytes, &[]], sector * SECTOR)
            }
            Step::Allocate { file, sectors } => {
                let length = self.open[&file].length()?;
                match (sectors * SECTOR).saturating_sub(length) {
                    0 => Ok(()),
                    more => self.open[&file].allocate(length, more).map(|_| ()),
                }
            }
            Step::Store { file, sector, tag } => {
                let mut window = self.map(file, sector)?;
                window.store(sector * SECTOR, &filled(tag));
                Ok(())
            }
            Step::SyncPage { file, sector } => {
                let window = self.map(file, sector)?;
                window.sync(sector * SECTOR, (sector + 1) * SECTOR)
            }
            Step::SyncData(file) => self.open[&file].sync_data(),
            Step::SyncAll(file) => self.open[&file].sync_all(),
            Step::SyncFolder => self.disk.sync_dir(&self.folder),
            Step::Rename { from, to } => {
                self.disk.rename(&self.path(from), &self.path(to))?;
                let file = self.open.remove(&from).expect("it is there");
                self.open.insert(to, file);
                Ok(())
            }
            Step::SetLength { file, sectors } => self.open[&file].set_length(sectors * SECTOR),
            Step::Remove(file) => {
                self.open.remove(&file);
                self.disk.remove(&self.path(file))
            }
            Step::WriteBack { file, sector } => {
                // Only a real file has a kernel that could be told; the simulator has its own way.
                if let Ok(file) = File::open(self.path(file)) {
                    let length = NonZeroU64::new(PAGE * SECTOR);
                    fadvise(&file, page(sector), length, Advice::DontNeed)?;
                }
                Ok(())
            }
        }
    }

    fn map(&self, file: Name, sector: u64) -> std::io::Result<Box<dyn Window>> {
        let file = &self.open[&file];
        file.map(page(sector), file.length()?)
    }

    fn path(&self, file: Name) -> PathBuf {
        self.folder.join(name(file))
    }
}

/// Where the page of a sector begins.
fn page(sector: u64) -> u64 {
    sector / PAGE * PAGE * SECTOR
}

fn filled(tag: u64) -> Vec<u8> {
    tag.to_be_bytes().repeat(64)
}

/// The files of a folder: of each, what its sectors are filled with; 0 is zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State(pub(super) BTreeMap<PathBuf, Vec<u64>>);

impl State {
    /// What is there.
    #[track_caller]
    pub(super) fn read(disk: &dyn Disk, folder: &Path) -> Self {
        let names = disk.list(folder).expect("a folder");
        let content = |name: std::ffi::OsString| {
            let path = folder.join(&name);
            let length = disk.length(&path).expect("a file that is listed");
            let mut bytes = vec![0; usize::try_from(length).expect("a short file")];
            let file = disk.open(&path, Open::Read).expect("a file that is listed");
            let mut read = 0;
            while read < bytes.len() {
                let at = u64::try_from(read).expect("a short file");
                let count = file
                    .read_at(&mut bytes[read..], at)
                    .expect("a file that is listed");
                assert_ne!(count, 0, "{}: shorter than it says", path.display());
                read += count;
            }
            let sectors = bytes.chunks(512).map(|sector| tag(&path, sector)).collect();
            (PathBuf::from(name), sectors)
        };
        Self(names.into_iter().map(content).collect())
    }
}

#[track_caller]
fn tag(path: &Path, sector: &[u8]) -> u64 {
    let (words, rest) = sector.as_chunks::<8>();
    let torn = words.len() != 64 || !rest.is_empty() || words.iter().any(|word| *word != words[0]);
    assert!(!torn, "{}: a torn sector", path.display());
    u64::from_be_bytes(words[0])
}
