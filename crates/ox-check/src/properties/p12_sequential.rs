//! The numbers of sequential znodes rise with their zxids while their parent lives, so none comes
//! twice; behind 2147483647 comes the lowest negative number.
//!
//! Source: reliability.md 3.2 P12; client-protocol.md 6.5.

use std::collections::BTreeMap;

use crate::case::Case;
use crate::history::OpId;
use crate::judge::numbered;
use crate::report::{Property, Report};
use crate::request::{Answer, Outcome, Request};

/// Life of the parent, then zxid and place in the multi: number and operation.
type Numbers = BTreeMap<(String, i64), BTreeMap<(i64, usize), (i32, OpId)>>;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let mut numbers = Numbers::new();
    for (id, write) in &case.replies {
        let mut note = |place, request: &_, outcome: &_| {
            if let Err(text) = number(
                case,
                &mut numbers,
                (write.zxid, place),
                *id,
                request,
                outcome,
            ) {
                report.add(Property::Sequential, &[*id], text);
            }
        };
        match (&write.request, &write.outcome) {
            (Request::Multi(parts), Outcome::Ok(Answer::Multi(outcomes))) => {
                for (place, (part, outcome)) in parts.iter().zip(outcomes).enumerate() {
                    note(place, part, outcome);
                }
            }
            (request, outcome) => note(0, request, outcome),
        }
    }
    for ((parent, _), numbers) in &numbers {
        let mut last: Option<(i32, OpId)> = None;
        for (number, id) in numbers.values() {
            let wraps = |before: i32| before > i32::MAX - 1_000_000 && *number < 0;
            if let Some((before, earlier)) = last
                && *number <= before
                && !wraps(before)
            {
                let text = format!("{number} behind {before} in {parent}");
                report.add(Property::Sequential, &[earlier, *id], text);
            }
            last = Some((*number, *id));
        }
    }
}

/// Notes the number that a sequential creation was given.
fn number(
    case: &Case<'_>,
    numbers: &mut Numbers,
    place: (i64, usize),
    id: OpId,
    request: &Request,
    outcome: &Outcome,
) -> Result<(), String> {
    let Request::Create { path, mode, .. } = request else {
        return Ok(());
    };
    let (Outcome::Ok(Answer::Path(given) | Answer::Created(given, _)), true) =
        (outcome, mode.is_sequential())
    else {
        return Ok(());
    };
    let suffix = given.strip_prefix(&**path);
    let number = suffix.and_then(|suffix| suffix.parse().ok());
    let number = number.filter(|number| numbered(path, *number) == **given);
    let number = number.ok_or_else(|| format!("{path} was given the name {given}"))?;
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let key = if parent.is_empty() { "/" } else { parent };
    let node = case.model.node_at(key, case.count(place.0));
    let life = node.map_or(0, |node| node.czxid);
    numbers
        .entry((key.to_owned(), life))
        .or_default()
        .insert(place, (number, id));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::CreateMode;
    use crate::testing::{World, create, create_as, delete};

    fn world() -> (World, [OpId; 3]) {
        let mut world = World::new();
        let a = world.connect(1);
        let numbered = || create_as("/q/n-", CreateMode::PersistentSequential);
        world.write(a, create("/q"));
        let first = world.write(a, numbered());
        world.write(a, delete("/q/n-0000000000"));
        let second = world.write(a, numbered());
        let third = world.write(a, Request::Multi(vec![numbered(), numbered()]));
        // The next parent of that name begins anew.
        for number in 1..4 {
            world.write(a, delete(&format!("/q/n-{number:010}")));
        }
        world.write(a, delete("/q"));
        world.write(a, create("/q"));
        world.write(a, numbered());
        (world, [first, second, third])
    }

    #[track_caller]
    fn check(which: usize, name: &str) {
        let (mut world, ids) = world();
        world.operation(ids[which]).outcome = Outcome::Ok(Answer::Path(name.into()));
        world.check_breaks(Property::Sequential);
    }

    #[test]
    fn numbers_rise() {
        world().0.check_good();
    }

    #[test]
    fn a_number_given_twice_is_seen() {
        check(1, "/q/n-0000000000");
    }

    #[test]
    fn a_number_out_of_order_is_seen() {
        check(0, "/q/n-0000000009");
        check(1, "/q/n-0000000002");
    }

    #[test]
    fn a_name_that_is_no_number_is_seen() {
        check(1, "/q/n-1");
        check(1, "/q/m-0000000001");
    }
}
