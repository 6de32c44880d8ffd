//! Planted bugs: what is wrong with each, and which is switched on.
//!
//! A simulator is worth what it finds. So every rule that it is to guard is broken here once, in the
//! production code itself, and a run of seeds must notice. The places that break ask [`is_on`].
//! Invariant: without `--cfg mutants` that is a constant `false`, so nothing of this is in a server
//! that is built for use. With it, one mutant at most is on per thread: the one that was chosen there,
//! or else the one that the environment names in `OX_MUTANT`. Source: reliability.md 4.6.

mod table;

pub use table::Mutant;

#[cfg(mutants)]
mod choice {
    use std::cell::Cell;
    use std::sync::LazyLock;

    use super::Mutant;

    static NAMED: LazyLock<Option<Mutant>> = LazyLock::new(|| {
        let id = std::env::var("OX_MUTANT").unwrap_or_default();
        Mutant::from_id(&id)
    });

    thread_local! {
        static CHOSEN: Cell<Option<Mutant>> = Cell::new(*NAMED);
    }

    /// Switches a mutant on in this thread, in place of another. True, as this build has them.
    pub fn choose(mutant: Option<Mutant>) -> bool {
        CHOSEN.set(mutant);
        true
    }

    /// Whether this mutant is on.
    #[inline]
    pub fn is_on(mutant: Mutant) -> bool {
        CHOSEN.get() == Some(mutant)
    }
}

#[cfg(not(mutants))]
mod choice {
    use super::Mutant;

    /// Would switch a mutant on. False, as this build has none.
    pub fn choose(_: Option<Mutant>) -> bool {
        false
    }

    /// Whether this mutant is on: none is in this build.
    #[inline(always)]
    pub const fn is_on(_: Mutant) -> bool {
        false
    }
}

pub use choice::{choose, is_on};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_again() {
        for &mutant in Mutant::ALL {
            assert_eq!(Mutant::from_id(mutant.id()), Some(mutant));
        }
        assert_eq!(Mutant::from_id("M00"), None);
    }

    #[test]
    #[cfg(not(mutants))]
    fn none_is_on_in_a_build_without_them() {
        const { assert!(!is_on(Mutant::M01)) };
    }

    #[test]
    #[cfg(mutants)]
    fn the_one_that_was_chosen_is_on() {
        choose(Some(Mutant::M02));
        assert!(is_on(Mutant::M02) && !is_on(Mutant::M01));
        choose(None);
        assert!(!is_on(Mutant::M02));
    }
}
