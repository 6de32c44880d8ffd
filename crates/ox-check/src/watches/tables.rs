//! The watches of one connection.
//!
//! Source: client-protocol.md 7.2, 7.3, 7.4 and 7.6.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::triggers::Trigger;
use crate::history::EventKind;
use crate::model::parent;
use crate::request::WatchKind;

/// The ways in which a path is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Modes {
    /// Fires once.
    pub(super) once: bool,
    /// Perhaps it has fired already, before the answer that told of it.
    pub(super) perhaps: bool,
    pub(super) persistent: bool,
    pub(super) recursive: bool,
}

/// Whether an event must come, or may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    No,
    Perhaps,
    Yes,
}

/// Data watches and child watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    data: BTreeMap<Arc<str>, Modes>,
    child: BTreeMap<Arc<str>, Modes>,
    recursive: usize,
}

impl Tables {
    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.child.is_empty()
    }

    pub(super) fn set_data(&mut self, path: &Arc<str>, perhaps: bool) {
        set_once(self.data.entry(Arc::clone(path)).or_default(), perhaps);
    }

    pub(super) fn set_child(&mut self, path: &Arc<str>, perhaps: bool) {
        set_once(self.child.entry(Arc::clone(path)).or_default(), perhaps);
    }

    pub(super) fn add(&mut self, path: &Arc<str>, recursive: bool) {
        let data = self.data.entry(Arc::clone(path)).or_default();
        if recursive {
            self.recursive += usize::from(!data.recursive);
            data.recursive = true;
            return;
        }
        data.persistent = true;
        let child = self.child.entry(Arc::clone(path)).or_default();
        child.persistent = true;
    }

    pub(super) fn remove(&mut self, path: &str, kind: WatchKind) {
        let any = kind == WatchKind::Any;
        let child = any || kind == WatchKind::Children;
        let data = any || kind == WatchKind::Data;
        let persistent = any || kind == WatchKind::Persistent;
        let recursive = any || kind == WatchKind::Recursive;
        if let Some(modes) = self.data.get_mut(path) {
            modes.once &= !data;
            modes.persistent &= !persistent;
            if recursive && modes.recursive {
                modes.recursive = false;
                self.recursive -= 1;
            }
        }
        if let Some(modes) = self.child.get_mut(path) {
            modes.once &= !child;
            modes.persistent &= !persistent;
        }
        self.drop_empty(path);
    }

    /// Uses up what a trigger uses up, and says whether the connection hears of it.
    pub(super) fn fire(&mut self, trigger: &Trigger) -> Told {
        let path = &*trigger.path;
        match trigger.kind {
            EventKind::ChildrenChanged => self.fire_child(path),
            EventKind::Deleted => {
                let data = self.fire_data(path);
                let child = self.fire_child(path);
                match data {
                    Told::Yes => Told::Yes,
                    Told::Perhaps | Told::No if child == Told::No => data,
                    Told::Perhaps | Told::No => child,
                }
            }
            EventKind::Created | EventKind::DataChanged => self.fire_data(path),
        }
    }

    fn fire_data(&mut self, path: &str) -> Told {
        let above = 0 < self.recursive && self.is_recursive_above(path);
        let modes = self.data.get_mut(path);
        let own = modes.map_or(Told::No, fire_modes);
        self.drop_empty(path);
        if above { Told::Yes } else { own }
    }

    fn fire_child(&mut self, path: &str) -> Told {
        let told = self.child.get_mut(path).map_or(Told::No, fire_modes);
        self.drop_empty(path);
        told
    }

    fn is_recursive_above(&self, path: &str) -> bool {
        let mut next = parent(path);
        while let Some(path) = next {
            if self.data.get(path).is_some_and(|modes| modes.recursive) {
                return true;
            }
            next = parent(path);
        }
        false
    }

    fn drop_empty(&mut self, path: &str) {
        for table in [&mut self.data, &mut self.child] {
            if table.get(path) == Some(&Modes::default()) {
                table.remove(path);
            }
        }
    }
}

/// Where one is set already, it stays as it is.
fn set_once(modes: &mut Modes, perhaps: bool) {
    if !modes.once {
        modes.once = true;
        modes.perhaps = perhaps;
    }
}

fn fire_modes(modes: &mut Modes) -> Told {
    let told = match *modes {
        Modes {
            persistent,
            recursive,
            ..
        } if persistent || recursive => Told::Yes,
        Modes { once: false, .. } => Told::No,
        Modes { perhaps: true, .. } => Told::Perhaps,
        Modes { perhaps: false, .. } => Told::Yes,
    };
    modes.once = false;
    modes.perhaps = false;
    told
}
