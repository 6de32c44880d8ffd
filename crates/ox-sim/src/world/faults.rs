//! What goes wrong, and how it ends.
//!
//! The atlas: what can lose something that was synced strikes only where enough good copies are
//! left, and one machine of a run at most.

use ox_proto::{MemberRole, ReconfigRequest};
use ox_replica::Mode;

use super::World;
use crate::disk::DiskFault;
use crate::env::{Env, member};
use crate::net::Cut;
use crate::node::server_of;
use crate::plan::{Fault, Part, Target};

impl World {
    /// Whom a fault strikes now.
    fn whom(&mut self, target: Target) -> Option<usize> {
        let in_mode = |mode: Mode| {
            let is = |process: &crate::node::Process| process.mode() == Some(mode);
            self.nodes
                .iter()
                .filter(move |node| node.process.as_ref().is_some_and(|process| is(process)))
                .map(|node| node.place)
                .collect::<Vec<_>>()
        };
        let places = match target {
            Target::Place(place) => vec![place],
            Target::Leader => in_mode(Mode::Leader),
            Target::Follower => in_mode(Mode::Follower),
        };
        match places.is_empty() {
            true => None,
            false => Some(*self.choice.pick(&places)).filter(|place| *place < self.nodes.len()),
        }
    }

    pub(super) fn strike(&mut self, number: usize) {
        if self.is_healing {
            return;
        }
        let timed = self.plan.faults[number].clone();
        let until = timed.until;
        match timed.fault {
            Fault::Kill(target) => {
                if let Some(place) = self.whom(target) {
                    self.env.strike("kill");
                    self.nodes[place].kill(&mut self.env, "killed");
                    self.nodes[place].start_at(&mut self.env, until);
                }
            }
            Fault::PowerCut(target) => {
                if let Some(place) = self.whom(target) {
                    self.cut_power(place, until);
                }
            }
            Fault::PowerCutAll => {
                for place in 0..self.nodes.len() {
                    self.cut_power(place, until);
                }
            }
            Fault::Disk(target, fault) => {
                if let Some(place) = self.whom(target) {
                    self.disk_fault(place, fault);
                }
            }
            Fault::Damage(target, damage, begins) => {
                if let Some(place) = self.whom(target)
                    && self.may_lose(place)
                {
                    self.damage(place);
                    let disk = &self.nodes[place].disk;
                    let what = disk.damage(&mut self.env.disk, damage, &begins);
                    self.env
                        .story
                        .tell(self.env.now, || format!("{place} is damaged: {what:?}"));
                    // It is found when it is read.
                    self.nodes[place].kill(&mut self.env, "killed");
                    self.nodes[place].start_at(&mut self.env, until);
                }
            }
            Fault::Wipe(target) => {
                if !self.env.setup.autocreate
                    && let Some(place) = self.whom(target)
                    && self.may_lose(place)
                {
                    self.env.strike("wipe");
                    self.damage(place);
                    self.nodes[place].kill(&mut self.env, "wiped");
                    self.nodes[place].disk.wipe();
                    self.nodes[place].start_at(&mut self.env, until);
                }
            }
            Fault::Lie(target, lie) => {
                if let Some(place) = self.whom(target) {
                    self.env
                        .story
                        .tell(self.env.now, || format!("{place} lies about {lie:?}"));
                    self.nodes[place].disk.lie(lie);
                }
            }
            Fault::SlowDisk(target) => {
                if let Some(place) = self.whom(target)
                    && let Some(process) = &mut self.nodes[place].process
                {
                    process.slow_until = until;
                    self.env.strike("slow disk");
                }
            }
            Fault::Pause(target) => {
                if let Some(place) = self.whom(target) {
                    self.env.strike("pause");
                    self.env
                        .story
                        .tell(self.env.now, || format!("{place} stands still"));
                    self.nodes[place].paused_until = until;
                }
            }
            Fault::Cut { ways, ports } => {
                self.env.strike("partition");
                self.env
                    .story
                    .tell(self.env.now, || format!("cut {ways:?} {ports}"));
                for (from, to) in ways {
                    self.env.net.cut(Cut {
                        fault: number,
                        from,
                        to,
                        ports,
                    });
                }
            }
            Fault::Isolate {
                whom,
                inwards,
                outwards,
                ports,
            } => {
                if let Some(place) = self.whom(whom) {
                    self.env.strike("isolation");
                    self.env
                        .story
                        .tell(self.env.now, || format!("{place} is isolated"));
                    self.isolate(number, place, (inwards, outwards), ports);
                }
            }
            Fault::Reset { percent } => {
                for conn in self.env.net.all() {
                    if self.choice.percent(percent) {
                        let env = &mut self.env;
                        env.net.reset(env.now, conn, &mut env.queue);
                    }
                }
            }
            Fault::Reconfig { by, parts } => {
                if let Some(place) = self.whom(by) {
                    let request = reconfig_request(&parts);
                    self.nodes[place].reconfigure(&mut self.env, request);
                }
            }
            Fault::WallJump(target, ms) => {
                if let Some(place) = self.whom(target) {
                    self.env.strike("wall clock jump");
                    self.nodes[place].jump(ms);
                }
            }
        }
    }

    fn cut_power(&mut self, place: usize, until: i64) {
        if self.nodes[place].is_damaged {
            return;
        }
        if self.nodes[place].disk.lies() {
            match self.may_lose(place) {
                true => self.damage(place),
                false => self.nodes[place].disk.keep_promises(),
            }
        }
        self.env.strike("power cut");
        self.nodes[place].cut_power(&mut self.env, "power cut");
        self.nodes[place].start_at(&mut self.env, until);
    }

    fn disk_fault(&mut self, place: usize, fault: DiskFault) {
        match fault {
            DiskFault::CutAt(_)
                if self.nodes[place].is_damaged || self.nodes[place].disk.lies() =>
            {
                return;
            }
            DiskFault::SyncError
            | DiskFault::CutAt(_)
            | DiskFault::Full
            | DiskFault::WriteBack
            | DiskFault::ReadError => {}
        }
        self.env
            .story
            .tell(self.env.now, || format!("{place} gets {fault:?}"));
        self.nodes[place].disk.set(fault, &mut self.env.disk);
    }

    fn may_lose(&mut self, place: usize) -> bool {
        // Who is enough may have changed meanwhile.
        let may = !self.env.setup.reconfig
            && self.nodes.iter().all(|node| !node.is_damaged)
            && place < self.plan.setup.voters
            && self.env.invariants.can_lose(place);
        if !may {
            self.env.strike("loss not allowed by the atlas");
        }
        may
    }

    fn damage(&mut self, place: usize) {
        self.nodes[place].is_damaged = true;
        self.env.invariants.damaged(place);
    }

    fn isolate(
        &mut self,
        fault: usize,
        place: usize,
        (inwards, outwards): (bool, bool),
        ports: u8,
    ) {
        for other in 0..self.nodes.len() + self.clients.len() {
            if other == place {
                continue;
            }
            for (from, to, is_cut) in [(other, place, inwards), (place, other, outwards)] {
                if is_cut {
                    self.env.net.cut(Cut {
                        fault,
                        from,
                        to,
                        ports,
                    });
                }
            }
        }
    }

    pub(super) fn end_fault(&mut self, number: usize) {
        if self.is_healing {
            return;
        }
        match self.plan.faults[number].fault {
            Fault::Cut { .. } | Fault::Isolate { .. } => {
                let env = &mut self.env;
                env.story.tell(env.now, || format!("fault {number} ends"));
                env.net.join(env.now, Some(number), &mut env.queue);
            }
            Fault::PowerCut(_) | Fault::PowerCutAll => {
                // Another may have cut it later; then it comes back a little early.
                for node in &mut self.nodes {
                    if !node.is_powered {
                        node.is_powered = true;
                        let at = self.env.now + 1;
                        node.start_at(&mut self.env, at);
                    }
                }
            }
            Fault::Lie(..) => {
                for place in 0..self.nodes.len() {
                    if self.nodes[place].disk.lies() {
                        self.cut_power(place, self.env.now);
                        self.nodes[place].is_powered = true;
                        let at = self.env.now + self.choice.between(1000, 1_000_000);
                        self.nodes[place].start_at(&mut self.env, at);
                    }
                }
            }
            Fault::Disk(_, DiskFault::Full) => {
                for node in &self.nodes {
                    node.disk.heal_space();
                }
            }
            _ => {}
        }
    }

    /// The faults stop; a core of the ensemble is well from now on.
    pub(super) fn heal(&mut self) {
        self.is_healing = true;
        let now = self.env.now;
        self.env.story.tell(now, || "the faults stop".to_owned());
        self.env.net.delays.late = 0;
        let Env { net, queue, .. } = &mut self.env;
        net.join(now, None, queue);
        for client in &mut self.clients {
            client.stop();
        }
        let voters = self.plan.setup.voters;
        // Who has found its disk damaged does not count.
        let is_able = |place: &&usize| {
            let node = &self.nodes[**place];
            **place < voters && node.refuses.is_none() && !node.is_damaged
        };
        let (is_down, inwards, outwards) = self.plan.healing.others;
        let are_all_well = !is_down && !inwards && !outwards;
        let able = self.plan.healing.core.iter().filter(is_able).count();
        if are_all_well || able <= voters / 2 || self.plan.setup.reconfig {
            self.plan.healing.core = (0..self.nodes.len()).collect();
        }
        for place in 0..self.nodes.len() {
            let is_core = self.plan.healing.core.contains(&place);
            let node = &mut self.nodes[place];
            node.paused_until = now;
            node.disk.heal();
            if let Some(process) = &mut node.process {
                process.slow_until = now;
            }
            if is_down && !is_core {
                node.is_powered = false;
                node.kill(&mut self.env, "it stays down");
                continue;
            }
            node.is_powered = true;
            if node.process.is_none() {
                node.start_at(&mut self.env, now + 1000);
            }
            if !is_core {
                self.isolate(usize::MAX, place, (inwards, outwards), 15);
            }
        }
    }
}

/// What is asked for when servers are to have these parts.
fn reconfig_request(parts: &[(usize, Part)]) -> ReconfigRequest {
    let (mut joining, mut leaving) = (Vec::new(), Vec::new());
    for &(place, part) in parts {
        let id = server_of(place).0;
        let role = match part {
            Part::Participant => MemberRole::Participant,
            Part::Observer => MemberRole::Observer,
            Part::None => {
                leaving.push(id.to_string());
                continue;
            }
        };
        joining.push(format!("server.{id}={}", member(place, role)));
    }
    ReconfigRequest {
        joining_servers: Some(joining.join(",")),
        leaving_servers: Some(leaving.join(",")),
        new_members: None,
        current_config_id: -1,
    }
}
