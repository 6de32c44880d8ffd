//! TLS: real clients with stores of every form, whoever is to be kept out, and an ensemble with
//! Apache 3.9.5 whose links get TLS while it runs. Prints a matrix of what met what.

mod client;
mod links;
mod matrix;
mod refused;
mod secured;

use std::process::ExitCode;

use compat_tests::suite;

fn main() -> ExitCode {
    suite::main(
        "tls",
        &[
            ("java_with_stores_of_every_form", client::java),
            (
                "java_with_certificates_as_openssl_makes_them",
                client::java_and_plain_openssl,
            ),
            ("kazoo_with_and_without_a_certificate", client::kazoo),
            ("java_with_credentials_of_all_kinds", matrix::java),
            ("kazoo_with_credentials_of_all_kinds", matrix::kazoo),
            ("c_with_credentials_of_all_kinds", matrix::c),
            ("one_port_for_both", client::one_port),
            ("a_certificate_may_be_super", client::super_user),
            ("who_is_kept_out_and_why", refused::kept_out),
            (
                "slow_and_broken_handshakes_end_and_harm_nobody",
                refused::slow,
            ),
            (
                "stores_that_cannot_be_opened_are_named_at_the_start",
                refused::stores,
            ),
            ("passwords_are_nowhere_to_be_seen", refused::passwords),
            (
                "certificates_are_renewed_without_a_restart",
                client::renewal,
            ),
            ("links_with_apache_get_tls_while_it_runs", links::rolled_in),
            (
                "an_ensemble_with_apache_and_hosts_that_are_checked",
                links::hosts,
            ),
            (
                "a_member_that_is_not_trusted_stays_outside",
                links::stranger,
            ),
        ],
    )
}
