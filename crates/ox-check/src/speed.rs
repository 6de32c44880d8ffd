//! A long history: checks must stay fast.

use std::time::{Duration, Instant};

use crate::history::EventKind;
use crate::request::{CreateMode, Request};
use crate::testing::{World, children, create, create_as, delete, get, set, watching};

/// Debug builds on a busy machine take some seconds for what takes one otherwise.
const BOUND: Duration = Duration::from_secs(40);

#[test]
fn a_hundred_thousand_operations_are_checked_fast() {
    let mut world = World::new();
    let connections: Vec<_> = (1..=20).map(|session| world.connect(session)).collect();
    let watcher = connections[0];
    world.write(watcher, create("/w"));
    for folder in 0..100 {
        world.write(watcher, create(&format!("/f{folder}")));
    }
    let recursive = true;
    let path = "/w".into();
    world.read(watcher, Request::AddWatch { path, recursive });
    let mut operations = 0;
    for round in 0_usize.. {
        let connection = connections[round % 20];
        let folder = format!("/f{}", round % 100);
        let name = format!("{folder}/n{round}");
        match round % 8 {
            0 => {
                world.write(connection, create_as(&name, CreateMode::Persistent));
            }
            1 => {
                world.write(
                    connection,
                    delete(&format!("/f{}/n{}", round % 100 - 1, round - 1)),
                );
            }
            2 => drop(world.write(
                connection,
                Request::Multi(vec![create(&name), set(&name, "1"), delete(&name)]),
            )),
            3 => {
                let path = folder.as_str().into();
                world.read(connection, Request::Sync { path });
                operations += 1;
                world.read(connection, get(&folder));
            }
            4 => {
                world.read(connection, watching(children("/w")));
            }
            5 => {
                let write = world.send(connection, set("/w", &name));
                world.execute(write);
                world.event(watcher, EventKind::DataChanged, "/w");
                world.answer(write);
            }
            _ => {
                world.write(connection, set(&folder, &name));
            }
        }
        operations += 1;
        if 100_000 <= operations {
            break;
        }
    }
    world.keep_logs(3);
    world.options.limited = true;
    let begun = Instant::now();
    world.check_good();
    let taken = begun.elapsed();
    println!("{operations} operations checked in {taken:?}");
    assert!(taken < BOUND, "{operations} operations took {taken:?}");
}
