//! Real processes and the real kernel made to fail, round after round, under a load whose every
//! answer is recorded: no acknowledged write is lost, and a server always starts again.
//!
//! Quick forms here; `make faults` sets the numbers of rounds of the full ones. What needs root or
//! a tool that is missing is skipped and says so.

mod broken_disk;
mod calibration;
mod calls;
mod full_disk;
mod load;
mod partitions;
mod power;
mod signals;
mod slow;

use std::process::ExitCode;

use compat_tests::faults::enclosure;
use compat_tests::suite;

fn main() -> ExitCode {
    enclosure::enter();
    suite::main(
        "faults",
        &[
            ("kill_9_of_any_members", signals::kills),
            ("members_stopped_longer_than_a_session", signals::pauses),
            ("full_disks_of_one_server", full_disk::standalone),
            ("full_disks_of_members", full_disk::ensemble),
            (
                "disks_that_cannot_keep_what_they_took",
                broken_disk::write_back_errors,
            ),
            ("sessions_outlast_slow_syncs", slow::standalone),
            ("slow_disks_of_members", slow::ensemble),
            ("jumps_of_the_clock", slow::clock_jumps),
            ("partitions_of_the_network", partitions::partitions),
            ("every_call_fails_once", calls::from_the_start),
            ("every_call_of_a_snapshot_fails_once", calls::of_snapshots),
            ("every_call_of_a_member_fails_once", calls::of_a_member),
            (
                "what_the_rules_of_a_disk_forbid_is_seen",
                calibration::rules,
            ),
            (
                "what_power_cuts_leave_of_the_simulated_disk",
                calibration::simulated,
            ),
            ("what_power_cuts_leave_on_ext4", calibration::on_ext4),
            ("power_cuts_of_one_server", power::standalone),
            (
                "power_cuts_without_syncs_are_seen_to_lose",
                power::without_syncs,
            ),
            ("power_cuts_of_an_ensemble", power::ensemble),
        ],
    )
}
