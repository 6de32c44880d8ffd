//! Networks that are cut in two, in one direction, for one port, or that lose packets.
//!
//! Expected: while two members can talk to each other in both directions on both ports, writes are
//! accepted again in time; afterwards all three serve, with the same state.

use std::collections::BTreeMap;
use std::time::Duration;

use compat_tests::ensemble::Sid;
use compat_tests::faults::network::{Cut, Network, Verdict};
use compat_tests::faults::seeded;
use compat_tests::ports::{ELECTION_PORT, QUORUM_PORT};
use compat_tests::suite::{Skip, rounds, say};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::load::{Loaded, three_voters};

/// A shape of a broken network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    /// One member hears and is heard by nobody.
    Alone,
    /// One member hears nobody.
    Deaf,
    /// Nobody hears one member.
    Mute,
    /// Two members do not reach each other, the third reaches both.
    Bridge,
    /// One of two members does not hear the other.
    OneWay,
    /// Nothing between two members on the quorum port; votes get through.
    NoQuorumPort,
    /// No votes between two members; the quorum port is open.
    NoElectionPort,
    /// One member's connections to the others are reset, and so is every new one.
    Reset,
    /// Everything between two members is reset.
    BridgeReset,
    /// Nobody hears anybody.
    All,
    /// Three of ten packets are lost between all.
    Lossy,
}

const SHAPES: [Shape; 11] = [
    Shape::Alone,
    Shape::NoQuorumPort,
    Shape::Deaf,
    Shape::Lossy,
    Shape::Mute,
    Shape::Bridge,
    Shape::OneWay,
    Shape::NoElectionPort,
    Shape::Reset,
    Shape::BridgeReset,
    Shape::All,
];

impl Shape {
    /// The cuts, with the members in the roles of the first, the second and the third.
    fn cuts(self, [one, two, three]: [Sid; 3]) -> Vec<Cut> {
        let cut = |(from, to): (Sid, Sid), port, verdict| Cut {
            from,
            to,
            port,
            verdict,
        };
        let out = [(one, two), (one, three)];
        let back = [(two, one), (three, one)];
        let between = [(one, two), (two, one)];
        let all = [out, back, [(two, three), (three, two)]];
        let (pairs, port, verdict) = match self {
            Self::Alone => ([out, back].concat(), None, Verdict::Dropped),
            Self::Deaf => (back.to_vec(), None, Verdict::Dropped),
            Self::Mute => (out.to_vec(), None, Verdict::Dropped),
            Self::Bridge => (between.to_vec(), None, Verdict::Dropped),
            Self::OneWay => (vec![(one, two)], None, Verdict::Dropped),
            Self::NoQuorumPort => (between.to_vec(), Some(QUORUM_PORT), Verdict::Dropped),
            Self::NoElectionPort => (between.to_vec(), Some(ELECTION_PORT), Verdict::Dropped),
            Self::Reset => ([out, back].concat(), None, Verdict::Reset),
            Self::BridgeReset => (between.to_vec(), None, Verdict::Reset),
            Self::All => (all.concat(), None, Verdict::Dropped),
            Self::Lossy => (all.concat(), None, Verdict::Lost(30)),
        };
        pairs
            .into_iter()
            .map(|pair| cut(pair, port, verdict))
            .collect()
    }

    /// Whether two members are left that can serve.
    fn leaves_a_quorum(self) -> bool {
        !matches!(self, Self::All | Self::Lossy)
    }
}

/// A network that breaks in all these ways, one after the other.
pub(crate) fn partitions() -> Result<(), Skip> {
    let rounds = rounds("OX_PARTITIONS", 2);
    let network = Network::create(3)?;
    let mut random = seeded();
    let home = tempfile::tempdir().expect("a temporary folder");
    let plan = three_voters().places(network.places());
    let mut loaded = Loaded::start(&plan, home.path())?;
    let mut waits: BTreeMap<Shape, Vec<Duration>> = BTreeMap::new();
    for round in 0..rounds {
        loaded.go_on(20);
        let shape = SHAPES[round % SHAPES.len()];
        let roles = roles(&loaded, &mut random);
        network.cut(&shape.cuts(roles));
        let begun = std::time::Instant::now();
        // Before anybody notices, during the election, and when it is over.
        std::thread::sleep(Duration::from_millis(random.random_range(0..6_000)));
        if shape.leaves_a_quorum() {
            // What is acknowledged now was decided without those who are cut off, or will be.
            loaded.go_on(20);
        }
        waits.entry(shape).or_default().push(begun.elapsed());
        network.heal();
        loaded.recover();
    }
    for (shape, waits) in waits {
        let longest = waits.iter().max().expect("not empty");
        say(format!(
            "   {shape:?}: {} times, for up to {:.1} s",
            waits.len(),
            longest.as_secs_f64()
        ));
    }
    loaded.finish(rounds, "partitions")?;
    Ok(())
}

/// The members in random order; every other time the leader is the first.
fn roles(loaded: &Loaded, random: &mut StdRng) -> [Sid; 3] {
    let mut sids = vec![1, 2, 3];
    let first = match random.random_bool(0.5) {
        true => loaded.ensemble.leader(),
        false => *sids.choose(random).expect("three"),
    };
    sids.retain(|sid| *sid != first);
    if random.random_bool(0.5) {
        sids.reverse();
    }
    [first, sids[0], sids[1]]
}
