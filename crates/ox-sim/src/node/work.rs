//! What a server has asked of its disk and the disk has not done, as the queue of the log thread.

use std::collections::VecDeque;

use ox_proto::Zxid;
use ox_zab::DiskRequest;

#[derive(Debug)]
pub(crate) enum Job {
    Records(Vec<(Zxid, Vec<u8>)>),
    Request(DiskRequest),
}

#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) is_busy: bool,
    /// Batches written so far.
    pub(crate) batches: u64,
}

impl Work {
    pub(crate) fn append(&mut self, zxid: Zxid, payload: &[u8]) {
        let record = (zxid, payload.to_vec());
        // What the disk is at takes nothing more.
        let is_open = self.jobs.len() > usize::from(self.is_busy);
        match self.jobs.back_mut() {
            Some(Job::Records(records)) if is_open => records.push(record),
            _ => self.jobs.push_back(Job::Records(vec![record])),
        }
    }

    pub(crate) fn request(&mut self, request: DiskRequest) {
        self.jobs.push_back(Job::Request(request));
    }
}
