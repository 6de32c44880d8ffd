//! A disk in memory, for a server to start from what an input says its files hold.
//!
//! Everything is durable at once. There is no log to append to, so nothing can be mapped.

use std::any::Any;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ox_txnlog::{DataDirs, Disk, DiskFile, Open, Window};

type Content = Arc<Mutex<Vec<u8>>>;

/// Files by their paths; every folder exists.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    files: Mutex<BTreeMap<PathBuf, Content>>,
}

#[derive(Debug)]
struct File(Content);

/// The folders of a server that holds these files.
pub(crate) fn dirs_with(files: &[(&str, Vec<u8>)]) -> DataDirs {
    let disk = Memory::default();
    for (name, content) in files {
        let path = Path::new("/data/version-2").join(name);
        let content = Arc::new(Mutex::new(content.clone()));
        lock(&disk.files).insert(path, content);
    }
    let dir = Path::new("/data");
    DataDirs::open_on(Arc::new(disk), dir, dir, true).expect("every folder exists")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Memory {
    fn find(&self, path: &Path) -> io::Result<Content> {
        lock(&self.files).get(path).cloned().ok_or_else(missing)
    }
}

impl Disk for Memory {
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let files = lock(&self.files);
        let here = files.keys().filter(|path| path.parent() == Some(dir));
        Ok(here
            .filter_map(|path| Some(path.file_name()?.to_owned()))
            .collect())
    }

    fn is_dir(&self, path: &Path) -> bool {
        !lock(&self.files).contains_key(path)
    }

    fn create_dirs(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let content = match how {
            Open::Read | Open::Write => self.find(path)?,
            Open::WriteOrMake => Arc::clone(lock(&self.files).entry(path.into()).or_default()),
            Open::Replace => {
                let content = Content::default();
                lock(&self.files).insert(path.into(), Arc::clone(&content));
                content
            }
        };
        Ok(Box::new(File(content)))
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        File(self.find(path)?).length()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.files);
        let content = files.remove(from).ok_or_else(missing)?;
        files.insert(to.into(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        lock(&self.files).remove(path).map(drop).ok_or_else(missing)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        Ok(Some(Box::new(())))
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(u64::try_from(lock(&self.0).len()).unwrap_or(u64::MAX))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.0);
        let rest = content.get(place(offset)..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, parts: [&[u8]; 2], offset: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        let mut at = place(offset);
        for part in parts {
            let end = at + part.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[at..end].copy_from_slice(part);
            at = end;
        }
        Ok(())
    }

    fn allocate(&self, _offset: u64, _length: u64) -> io::Result<bool> {
        Ok(false)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        lock(&self.0).resize(place(length), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, _start: u64, _end: u64) -> io::Result<Box<dyn Window>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
