//! A machine of the ensemble: its disk, its clocks, and the server's process while there is one.

mod doors;
mod links;
mod members;
mod operator;
mod process;
mod start;
mod votes;
mod work;

use std::path::Path;

use ox_proto::{EnsembleConfig, ReconfigRequest};
use ox_tree::TreeOptions;

pub(crate) use doors::MAX_FRAME;
pub(crate) use process::Process;
pub(crate) use start::{DATA, store_settings};
pub(crate) use votes::server_of;

use crate::disk::SimDisk;
use crate::env::Env;
use crate::net::{ConnId, DialResult, Dialer, Owner, Piece, Port};
use crate::queue::{Event, Place};

pub(crate) const TREE: TreeOptions = TreeOptions {
    extended_types: true,
    emulate_353_ttl: false,
    digest: true,
};

pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) disk: SimDisk,
    /// How much too fast its clock goes, in parts per million.
    pub(crate) drift: i64,
    pub(crate) wall_off: i64,
    /// Counts runs of its process; a start that was overtaken by another life does not count.
    pub(crate) life: u64,
    pub(crate) process: Option<Box<Process>>,
    pub(crate) is_powered: bool,
    pub(crate) paused_until: i64,
    /// Its disk may have lost what it had synced.
    pub(crate) is_damaged: bool,
    /// It has found its disk damaged and stays down.
    pub(crate) refuses: Option<String>,
}

impl Node {
    pub(crate) fn new(place: Place, drift: i64) -> Self {
        Self {
            place,
            disk: SimDisk::new(),
            drift,
            wall_off: 0,
            life: 0,
            process: None,
            is_powered: true,
            paused_until: 0,
            is_damaged: false,
            refuses: None,
        }
    }

    /// What a new ensemble's machine begins with. Who is not in `initial` knows that and itself.
    pub(crate) fn prepare(&self, autocreate: bool, initial: &EnsembleConfig) {
        members::prepare(&self.disk, self.place, initial);
        if !autocreate {
            self.disk.place(&Path::new(DATA).join("initialize"));
        }
    }

    /// Its wall clock jumps.
    pub(crate) fn jump(&mut self, ms: i64) {
        self.wall_off += ms;
        if let Some(process) = &mut self.process {
            process.jump(ms);
        }
    }

    /// Its process ends. Who was connected hears of it unless the power is gone.
    pub(crate) fn kill(&mut self, env: &mut Env, why: &str) {
        env.story
            .tell(env.now, || format!("{} ends: {why}", self.place));
        self.life += 1;
        if self.process.take().is_some() {
            env.invariants.ended(self.place);
        }
        for (conn, side) in env.net.of_machine(self.place) {
            match self.is_powered {
                true => {
                    env.net
                        .send(env.now, conn, side, Piece::Reset, &mut env.queue);
                    env.net.vanish(conn, side);
                }
                false => env.net.vanish(conn, side),
            }
        }
        self.disk.next_process();
        self.paused_until = env.now;
    }

    /// The power is cut: the process ends, and the disk keeps what it may.
    pub(crate) fn cut_power(&mut self, env: &mut Env, why: &str) {
        self.is_powered = false;
        self.kill(env, why);
        self.disk.power_cut(&mut env.disk);
    }

    /// The process starts at this time, unless it does before.
    pub(crate) fn start_at(&mut self, env: &mut Env, at: i64) {
        let (place, life) = (self.place, self.life);
        env.queue.push(at, Event::Start { place, life });
    }

    /// Somebody asks it to change the members.
    pub(crate) fn reconfigure(&mut self, env: &mut Env, request: ReconfigRequest) {
        if let Some(process) = &mut self.process {
            process.reconfigure(env, request);
        }
    }

    /// Does what has to do with the process.
    pub(crate) fn handle(&mut self, env: &mut Env, event: Event) {
        let life = self.life;
        let Some(process) = &mut self.process else {
            return;
        };
        match event {
            Event::Timer {
                life: its, turn, ..
            } if its == life => process.timer(env, turn),
            Event::Disk { life: its, .. } if its == life => process.disk(env),
            Event::Idle {
                life: its, batches, ..
            } if its == life => process.idle(batches),
            Event::Snapshot { life: its, .. } if its == life => process.snapshot(env),
            Event::Purge { life: its, .. } if its == life => {
                process.purge();
                let at = env.now + env.setup.purge_every;
                let place = self.place;
                env.queue.push(at, Event::Purge { place, life });
            }
            Event::Redial {
                life: its, link, ..
            } if its == life => process.redial(env, link),
            Event::Pull {
                life: its, link, ..
            } if its == life => process.pull(env, link),
            Event::Silence {
                life: its, link, ..
            } if its == life => process.silence(env, link),
            Event::Sessionless {
                life: its, conn, ..
            } if its == life => {
                process.sessionless(env, conn);
            }
            Event::Found {
                life: its,
                link,
                found,
                ..
            } if its == life => {
                process.found(env, link, found);
            }
            _ => {}
        }
        self.after(env);
    }

    /// Something arrives.
    pub(crate) fn arrived(&mut self, env: &mut Env, conn: ConnId, piece: Piece) {
        if let Some(process) = &mut self.process {
            process.arrived(env, conn, piece);
        }
        self.after(env);
    }

    pub(crate) fn accepted(&mut self, env: &mut Env, conn: ConnId, port: Port, machine: usize) {
        if let Some(process) = &mut self.process {
            process.accepted(env, conn, port, machine);
        }
    }

    pub(crate) fn dialed(&mut self, env: &mut Env, dialer: Dialer, result: DialResult) {
        if let Some(process) = &mut self.process {
            process.dialed(env, dialer, result);
        }
        self.after(env);
    }

    /// Perhaps the process has ended by itself.
    fn after(&mut self, env: &mut Env) {
        let Some(death) = self.process.as_ref().and_then(|process| process.death()) else {
            return;
        };
        let why = death.to_owned();
        self.fail(env, &why);
    }

    /// The process has ended by itself; it is started anew after a while.
    pub(crate) fn fail(&mut self, env: &mut Env, why: &str) {
        if self.disk.is_dead() {
            self.cut_power(env, why);
            self.is_powered = true;
        } else {
            env.strike("process ends by itself");
            self.kill(env, why);
        }
        let later = env.now + env.disk.between(200_000, 2_000_000);
        self.start_at(env, later);
    }

    /// Whose the process's connections are.
    pub(crate) fn owner(&self) -> Owner {
        Owner::Server {
            place: self.place,
            life: self.life,
        }
    }
}
