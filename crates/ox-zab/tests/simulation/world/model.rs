//! All that can happen to a small ensemble: every order of deliveries and of what the disks do, and
//! every moment at which a server may crash or a connection be lost, within a bound.
//!
//! Elections are not taken apart: votes arrive at once, and time passes only when nothing else can
//! happen; the simulation takes care of those. What is explored is what follows them: discovery,
//! synchronization, broadcast and recovery. States are told apart by a hash of all that they are,
//! the memory of the checks included. Source: reliability.md 4.3; the TLA+ models of ZooKeeper.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::*;

/// How much may happen, in all of a run.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Bound {
    /// Transactions that are proposed.
    pub(crate) proposals: usize,
    /// Servers that crash.
    pub(crate) crashes: usize,
    /// Connections that are lost, with all that is on its way.
    pub(crate) resets: usize,
    /// Times at which only the clock goes on.
    pub(crate) timers: usize,
    /// Times at which something else happens than what has been due for longest: delay-bounded
    /// scheduling (Emmi, Qadeer and Rakamarić, POPL 2011). `None` is every order there is.
    pub(crate) delays: Option<usize>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Explored {
    /// States that differ.
    pub(crate) states: u64,
    /// How often all servers were well and equal, and nothing was left to happen.
    pub(crate) ended: u64,
    /// States behind which time would have had to pass more often than the bound allows.
    pub(crate) cut_off: u64,
}

/// One thing that may happen next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// What was scheduled so.
    Happen((i64, u64)),
    /// The same, although something else has been due for longer.
    HappenBefore((i64, u64)),
    Propose(Place),
    Crash {
        place: Place,
        /// So many of the things that its disk was asked for are done.
        done: usize,
        /// It comes back only when the others have come to rest.
        late: bool,
    },
    Reset(LinkId),
}

impl World {
    /// Three servers that have never run before.
    pub(crate) fn for_model() -> Self {
        let plan = Plan {
            voters: 3,
            observers: 0,
            latency: 1,
            disk: 1,
            keep: 1000,
            force_snapshot_sync: false,
            master_limit: None,
            losses: 0,
            faults: Vec::new(),
            fault_every: i64::MAX,
            load_every: i64::MAX,
            quiet_at: i64::MAX,
        };
        let mut world = Self::of(0, plan, Random::Told(0));
        world.is_exhaustive = true;
        for place in 0..world.servers.len() {
            world.start(place);
        }
        world
    }

    /// Explores all that can happen from here.
    pub(crate) fn explore(self, bound: Bound) -> Explored {
        let mut found = Explored::default();
        #[expect(clippy::disallowed_types, reason = "nobody looks at its order")]
        let mut seen = std::collections::HashSet::new();
        let mut stack = vec![(self, bound)];
        while let Some((mut world, mut bound)) = stack.pop() {
            world.settle();
            while world.is_at_rest() && !world.is_well() {
                let Some(left) = bound.timers.checked_sub(1) else {
                    break;
                };
                bound.timers = left;
                world.pass_time();
                world.settle();
            }
            if !seen.insert(world.fingerprint(bound)) {
                continue;
            }
            found.states += 1;
            if world.is_at_rest() {
                match world.is_well() {
                    true => found.ended += 1,
                    false => {
                        found.cut_off += 1;
                        continue;
                    }
                }
            }
            for action in world.actions(bound) {
                let mut next = world.clone();
                let left = next.act(action, bound);
                stack.push((next, left));
            }
        }
        found
    }

    /// Lets everything happen of which nobody can tell when it does.
    fn settle(&mut self) {
        while let Some(key) = self.events.iter().find_map(|(&key, event)| {
            let at_once = match *event {
                Event::Deliver { link, side } => !self.is_news(link, side),
                Event::Disk { place, life } => self.servers[place].life != life,
                Event::Vote { .. }
                | Event::Dial { .. }
                | Event::Silenced { .. }
                | Event::Found { .. }
                | Event::Rejoin { .. } => true,
                Event::Timer { .. } | Event::Silence { .. } | Event::Restart { .. } => false,
                Event::Crash { .. } | Event::Join | Event::Fault | Event::Load => {
                    unreachable!("not here: {event:?}")
                }
            };
            at_once.then_some(key)
        }) {
            self.let_happen(key);
        }
    }

    fn let_happen(&mut self, key: (i64, u64)) {
        let event = self.events.remove(&key).expect("it was to happen");
        self.happen(event);
    }

    /// Whether an end of a link is still there to be told something.
    fn is_news(&self, link: LinkId, side: usize) -> bool {
        let end = self.links.get(&link).map(|link| &link.ends[side]);
        end.is_some_and(|end| !end.is_over && !end.lane.items.is_empty())
    }

    /// What may happen next without anybody's doing, the oldest first.
    fn due(&self) -> Vec<(i64, u64)> {
        let keys = |is_due: &dyn Fn(&Event) -> bool| -> Vec<_> {
            let due = self.events.iter().filter(|(_, event)| is_due(event));
            due.map(|(&key, _)| key).collect()
        };
        let due = keys(&|event| match event {
            Event::Deliver { .. } | Event::Disk { .. } => true,
            Event::Restart { place } => !self.late.contains(place),
            _ => false,
        });
        match due.is_empty() {
            true => keys(&|event| matches!(event, Event::Restart { .. })),
            false => due,
        }
    }

    /// Whether only time could change anything.
    fn is_at_rest(&self) -> bool {
        self.due().is_empty()
    }

    fn actions(&self, bound: Bound) -> Vec<Action> {
        let due = self.due();
        let reachable = bound.delays.map_or(due.len(), |delays| 1 + delays.min(1));
        let mut actions: Vec<_> = due
            .into_iter()
            .take(reachable.max(1))
            .enumerate()
            .map(|(index, key)| match index {
                0 => Action::Happen(key),
                _ => Action::HappenBefore(key),
            })
            .collect();
        for server in self.servers.iter().filter(|server| server.peer.is_some()) {
            let place = server.place;
            if 0 < bound.proposals && matches!(server.serves, Some((Role::Leading, _))) {
                actions.push(Action::Propose(place));
            }
            if 0 < bound.crashes {
                let crash = |done| [false, true].map(|late| Action::Crash { place, done, late });
                actions.extend((0..=server.disk.queue.len()).flat_map(crash));
            }
        }
        let is_whole = |link: &Link| link.ends.iter().all(|end| !end.is_over);
        if 0 < bound.resets {
            let whole = self.links.iter().filter(|(_, link)| is_whole(link));
            actions.extend(whole.map(|(&link, _)| Action::Reset(link)));
        }
        actions
    }

    /// Does it, and tells what is left of the bound.
    fn act(&mut self, action: Action, mut bound: Bound) -> Bound {
        self.path.push(action);
        match action {
            Action::Happen(key) => self.let_happen(key),
            Action::HappenBefore(key) => {
                bound.delays = bound.delays.map(|delays| delays - 1);
                self.let_happen(key);
            }
            Action::Propose(place) => {
                bound.proposals -= 1;
                self.propose(place);
            }
            Action::Crash { place, done, late } => {
                bound.crashes -= 1;
                self.random = Random::Told(u64::try_from(done).unwrap());
                self.crash(place);
                match late {
                    true => self.late.insert(place),
                    false => self.late.remove(&place),
                };
                self.schedule(0, Event::Restart { place });
            }
            Action::Reset(link) => {
                bound.resets -= 1;
                self.reset(link);
            }
        }
        bound
    }

    /// Somebody has waited long enough.
    fn pass_time(&mut self) {
        let (&key, _) = self.events.first_key_value().expect("somebody waits");
        self.now = self.now.max(key.0);
        self.let_happen(key);
    }

    /// All servers serve, and have the same.
    fn is_well(&self) -> bool {
        let all_run = self.servers.iter().all(|server| server.peer.is_some());
        all_run && self.healthy().is_some_and(|leader| self.is_level(leader))
    }

    /// All that the future depends on.
    fn fingerprint(&self, bound: Bound) -> u64 {
        let mut hasher = DefaultHasher::new();
        (bound, self.now, &self.late, &self.links, &self.checks).hash(&mut hasher);
        for (_, vote) in self.votes.values() {
            vote.hash(&mut hasher);
        }
        for server in &self.servers {
            let Server {
                peer,
                disk,
                database,
                pending,
                serves,
                ..
            } = server;
            (peer, disk, database, pending, serves).hash(&mut hasher);
        }
        if bound.delays.is_some() {
            for key in self.due() {
                match self.events[&key] {
                    Event::Deliver { link, side } => (0, link.0, side).hash(&mut hasher),
                    Event::Disk { place, .. } => (1, place).hash(&mut hasher),
                    Event::Restart { place } => (2, place).hash(&mut hasher),
                    _ => {}
                }
            }
        }
        hasher.finish()
    }
}
