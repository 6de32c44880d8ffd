//! What a run of answers adds to the metrics: gathered here first, since every addition there costs
//! the other cores something.

use crate::admin::metrics::Metrics;

/// Answers that were given and are not in the metrics yet.
pub(crate) struct AnswerCount<'a> {
    metrics: &'a Metrics,
    answers: usize,
    bytes: usize,
    /// Those of the last latency, all reads or all writes.
    alike: Alike,
    sizes: Option<Sizes>,
}

#[derive(Default)]
struct Alike {
    write: bool,
    latency_ms: u64,
    answers: u64,
}

/// Bytes of answers without the length before them.
struct Sizes {
    smallest: usize,
    largest: usize,
    last: usize,
}

impl<'a> AnswerCount<'a> {
    pub(crate) fn new(metrics: &'a Metrics) -> Self {
        Self {
            metrics,
            answers: 0,
            bytes: 0,
            alike: Alike::default(),
            sizes: None,
        }
    }

    /// How many answers there were.
    pub(crate) fn answers(&self) -> usize {
        self.answers
    }

    /// Counts an answer, a frame of `length` bytes.
    pub(crate) fn add(&mut self, write: bool, latency_ms: u64, length: usize) {
        if (write, latency_ms) != (self.alike.write, self.alike.latency_ms) {
            self.add_latencies();
            self.alike = Alike {
                write,
                latency_ms,
                answers: 0,
            };
        }
        self.alike.answers += 1;
        self.answers += 1;
        self.bytes += length;
        let last = length.saturating_sub(4);
        let (smallest, largest) = match &self.sizes {
            Some(sizes) => (sizes.smallest.min(last), sizes.largest.max(last)),
            None => (last, last),
        };
        self.sizes = Some(Sizes {
            smallest,
            largest,
            last,
        });
    }

    /// Adds everything to the metrics.
    pub(crate) fn finish(self) {
        let Some(sizes) = &self.sizes else {
            return;
        };
        self.add_latencies();
        for size in [sizes.smallest, sizes.largest, sizes.last] {
            self.metrics.client_response_size.record(size);
        }
        let count = |number| u64::try_from(number).unwrap_or(0);
        self.metrics.packets_sent.add(count(self.answers));
        self.metrics.response_bytes.add(count(self.bytes));
    }

    fn add_latencies(&self) {
        let Alike {
            write,
            latency_ms,
            answers,
        } = self.alike;
        match write {
            true => self.metrics.write_answered(latency_ms, answers),
            false => self.metrics.read_answered(latency_ms, answers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_gathered_is_what_one_by_one_would_have_come_to() {
        let metrics = Metrics::default();
        AnswerCount::new(&metrics).finish();
        assert_eq!(metrics.client_response_size.last(), -1);
        let mut count = AnswerCount::new(&metrics);
        for (write, latency_ms, length) in [
            (true, 0, 20),
            (true, 0, 104),
            (false, 0, 24),
            (false, 3, 44),
            (false, 3, 44),
            (true, 7, 54),
        ] {
            count.add(write, latency_ms, length);
        }
        assert_eq!(count.answers(), 6);
        count.finish();
        let (reads, writes) = (&metrics.readlatency, &metrics.updatelatency);
        let both = [reads, writes].map(|latency| latency.summary());
        assert_eq!(
            both.map(|summary| (summary.count(), summary.sum())),
            [(3, 6), (3, 7)]
        );
        assert_eq!((metrics.latency.count(), metrics.latency.max()), (6, 7));
        let sizes = &metrics.client_response_size;
        assert_eq!([sizes.min(), sizes.max(), sizes.last()], [16, 100, 50]);
        assert_eq!(metrics.packets_sent.value(), 6);
        assert_eq!(metrics.response_bytes.value(), 290);
    }
}
