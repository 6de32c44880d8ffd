//! A stretch of the log on its way to a learner, as a link takes it.

use std::io;

use ox_store::LogPieces;
use ox_zab_net::Source;

/// Sends what stands in the log behind one zxid, up to another.
pub(super) struct LogSource(pub(super) LogPieces);

impl Source for LogSource {
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        self.0.append(out)
    }
}
