//! Makes a script that shows a difference as short as it gets.
//!
//! Every smaller script is run on both services; it takes the place of the longer one if it shows any
//! difference too. First whole steps go, then requests, then parts of them.

use crate::script::{Cut, Field, Part, Request, Script, Step};

/// How many smaller scripts are tried at most.
const TRIES: usize = 600;

/// The smallest script found for which `differs` is still true.
pub fn shrink(script: &Script, mut differs: impl FnMut(&Script) -> bool) -> Script {
    let mut smallest = script.clone();
    let mut tries = 0;
    let mut attempt = |candidate: &Script| {
        tries += 1;
        tries <= TRIES && differs(candidate)
    };
    // Many steps at once, then fewer.
    let mut size = smallest.steps.len().div_ceil(2);
    while 0 < size {
        let mut from = smallest.steps.len();
        while 0 < from {
            let begin = from.saturating_sub(size);
            let mut candidate = smallest.clone();
            candidate.steps.drain(begin..from);
            if attempt(&candidate) {
                smallest = candidate;
            }
            from = begin;
        }
        size /= 2;
    }
    loop {
        let smaller = smaller(&smallest).into_iter().find(&mut attempt);
        match smaller {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

/// Scripts that are a little smaller than this one, the smallest first.
fn smaller(script: &Script) -> Vec<Script> {
    let mut all = Vec::new();
    for index in 0..script.steps.len() {
        let mut without = script.clone();
        without.steps.remove(index);
        all.push(without);
    }
    for (index, step) in script.steps.iter().enumerate() {
        let requests = match step {
            Step::Batch { requests, .. } => requests,
            Step::Connect(connect) => &connect.behind,
            Step::Drop(_) | Step::Expire { .. } | Step::Collect(_) => continue,
        };
        for others in smaller_lists(requests, smaller_requests) {
            let mut script = script.clone();
            match &mut script.steps[index] {
                Step::Batch { requests, .. } => *requests = others,
                Step::Connect(connect) => connect.behind = others,
                Step::Drop(_) | Step::Expire { .. } | Step::Collect(_) => {}
            }
            all.push(script);
        }
    }
    all
}

/// Lists with one element fewer, then lists with one element smaller.
fn smaller_lists<T: Clone>(list: &[T], smaller: impl Fn(&T) -> Vec<T>) -> Vec<Vec<T>> {
    let mut all = Vec::new();
    for index in 0..list.len() {
        let mut without = list.to_vec();
        without.remove(index);
        all.push(without);
    }
    for (index, element) in list.iter().enumerate() {
        for element in smaller(element) {
            let mut with = list.to_vec();
            with[index] = element;
            all.push(with);
        }
    }
    all
}

fn smaller_requests(request: &Request) -> Vec<Request> {
    let Request::Op {
        xid,
        opcode,
        body,
        cut,
    } = request
    else {
        return Vec::new();
    };
    let mut all = Vec::new();
    if *cut != Cut::None {
        all.push(Request::op(*xid, *opcode, body.clone()));
    }
    for body in smaller_bodies(body) {
        all.push(Request::Op {
            xid: *xid,
            opcode: *opcode,
            body,
            cut: *cut,
        });
    }
    all
}

fn smaller_bodies(body: &[Field]) -> Vec<Vec<Field>> {
    let mut all = Vec::new();
    for (index, field) in body.iter().enumerate() {
        for part in smaller_parts(field) {
            let mut body = body.to_vec();
            body[index].part = part;
            all.push(body);
        }
    }
    all
}

fn smaller_parts(field: &Field) -> Vec<Part> {
    match &field.part {
        Part::Text(Some(text)) if field.name == "data" && !text.is_empty() => {
            vec![Part::Text(Some(Vec::new()))]
        }
        Part::Byte(1) if field.name == "watch" => vec![Part::Byte(0)],
        Part::Int(flags) if field.name == "flags" && *flags != 0 => vec![Part::Int(0)],
        Part::Int(version) if field.name == "version" && *version != -1 => vec![Part::Int(-1)],
        Part::Vector(records) => {
            let smaller = smaller_lists(records, |body| smaller_bodies(body));
            smaller.into_iter().map(Part::Vector).collect()
        }
        Part::Sequence(records) => {
            // The last is the end mark, and without it the request is another one.
            let Some((end, records)) = records.split_last() else {
                return Vec::new();
            };
            let smaller = smaller_lists(records, |body| smaller_bodies(body)).into_iter();
            smaller
                .map(|records| Part::Sequence([records, vec![end.clone()]].concat()))
                .collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw;
    use compat_tests::wire::op;

    fn has_delete(script: &Script) -> bool {
        script.steps.iter().any(|step| {
            let Step::Batch { requests, .. } = step else {
                return false;
            };
            let mut opcodes = requests.iter().map(Request::opcode);
            opcodes.any(|opcode| opcode == Some(op::DELETE))
        })
    }

    #[test]
    fn what_shows_a_difference_is_all_that_is_left() {
        let script = (1..).map(|seed| draw::script(seed, 1)).find(has_delete);
        let short = shrink(&script.expect("some seed has one"), has_delete);
        let [Step::Batch { requests, .. }] = short.steps.as_slice() else {
            panic!("more than one step:\n{short}");
        };
        assert_eq!(requests.len(), 1, "{short}");
    }
}
