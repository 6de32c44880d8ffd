//! A server's disk at work.

use super::*;

impl World {
    pub(super) fn ask_disk(&mut self, place: Place, op: DiskOp) {
        self.servers[place].disk.queue.push_back(op);
        if !self.servers[place].is_disk_busy {
            self.servers[place].is_disk_busy = true;
            self.schedule_disk(place);
        }
    }

    pub(super) fn schedule_disk(&mut self, place: Place) {
        let server = &self.servers[place];
        let most = match self.now < server.slow_until {
            true => 1500,
            false => self.plan.disk,
        };
        let life = server.life;
        let delay = self.random.between(1, most);
        self.schedule(delay, Event::Disk { place, life });
    }

    pub(super) fn perform(&mut self, place: Place, batch: usize) -> Input {
        let disk = &mut self.servers[place].disk;
        let cuts = matches!(
            disk.queue.front(),
            Some(DiskOp::Install(_) | DiskOp::Request(DiskRequest::Truncate { .. }))
        );
        let before = cuts.then(|| disk.clone());
        let done = match disk.perform(batch) {
            Ok(done) => done,
            Err(what) => self.fail(&format!("L4: {place}: {what}")),
        };
        if let Some(before) = before {
            let disks = self.servers.iter().map(|server| &server.disk);
            self.check(self.checks.cut(place, &before, disks));
        }
        let check = self.checks.disk(place, &self.servers[place].disk);
        self.check(check);
        done
    }

    pub(super) fn disk(&mut self, place: Place) {
        let batch = 1 + self.random.below(8);
        let reloads = matches!(
            self.servers[place].disk.queue.front(),
            Some(DiskOp::Request(
                DiskRequest::Reload | DiskRequest::Truncate { reload: true, .. }
            ))
        );
        let done = self.perform(place, batch);
        let server = &mut self.servers[place];
        if reloads && !matches!(done, Input::Done(DiskDone::NotTruncated)) {
            match server.disk.load() {
                Ok(state) => server.database = state,
                Err(what) => self.fail(&what),
            }
            server.pending.clear();
        }
        match self.servers[place].disk.queue.is_empty() {
            true => self.servers[place].is_disk_busy = false,
            false => self.schedule_disk(place),
        }
        self.input(place, done);
    }
}
