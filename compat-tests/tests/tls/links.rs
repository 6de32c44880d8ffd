//! Ensembles whose servers speak TLS among themselves, some of them Apache's.

use compat_tests::ensemble::{Ensemble, Plan, Sid, wait_for};
use compat_tests::history::Recording;
use compat_tests::pki::{Authority, Form};
use compat_tests::server::Kind;
use compat_tests::service;
use compat_tests::suite::{Skip, say};

use crate::secured::{World, world};

/// Long enough for any of the restarts.
const TIMEOUT_MS: i32 = 40_000;

/// Writes that are accepted between two restarts.
const BETWEEN: u64 = 100;

/// A mixed ensemble; each member has stores of another form.
fn lay_out(home: &std::path::Path, authority: &Authority, kinds: &[Kind], plan: Plan) -> Ensemble {
    let mut ensemble = plan.lay_out(home);
    for (index, _) in kinds.iter().enumerate() {
        let form = Form::ALL[index % Form::ALL.len()];
        for (key, value) in authority.lines("ssl.quorum", "member", form) {
            ensemble.set_line(index + 1, &key, &value);
        }
    }
    ensemble
}

/// Followers first.
#[track_caller]
fn restart_all(ensemble: &mut Ensemble, what: &str, lines: &[(&str, &str)]) -> Result<(), Skip> {
    let leader = ensemble.leader();
    let mut sids: Vec<Sid> = ensemble.sids();
    sids.retain(|sid| *sid != leader);
    sids.push(leader);
    for sid in sids {
        ensemble.stop(sid);
        for (key, value) in lines {
            ensemble.set_line(sid, key, value);
        }
        ensemble.start(sid)?;
        let mode = ensemble.wait_until_serving(sid);
        let leader = ensemble.leader();
        let zxid = wait_for("the leader's zxid", || ensemble.zxid(leader));
        wait_for("the leader's transactions", || {
            ensemble.zxid(sid).filter(|seen| zxid <= *seen)
        });
        say(format!(
            "   {what}: server {sid}, {} ({mode:?})",
            ensemble.kind(sid)
        ));
    }
    Ok(())
}

/// As the manual has it: ports that take both, then TLS, then nothing else; while clients write.
pub(crate) fn rolled_in() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let World { authority, .. } = world()?;
    let (ours, java) = (Kind::under_test(), Kind::REFERENCE);
    let kinds = [java, ours, java];
    let mut ensemble = lay_out(home.path(), authority, &kinds, Plan::voters(&kinds));
    ensemble.start_all()?;
    let recording = Recording::start(&ensemble.addresses(), 0, 4, TIMEOUT_MS);
    for (what, lines) in [
        ("both are taken", &[("portUnification", "true")][..]),
        ("TLS is dialed", &[("sslQuorum", "true")]),
        ("only TLS is taken", &[("portUnification", "false")]),
    ] {
        write_on(&recording);
        restart_all(&mut ensemble, what, lines)?;
    }
    write_on(&recording);
    let mut history = recording.finish();
    say(format!("   {}", history.summary()));
    history.check(&ensemble.check_same_state());
    history.close_sessions();
    history.check_closed(&ensemble.check_same_state());
    // Either kind leads under TLS.
    let mut led = Vec::new();
    while led.len() < 2 {
        let leader = ensemble.leader();
        let kind = ensemble.kind(leader);
        if !led.contains(&kind) {
            service::check(&ensemble, &format!("/service-{}", led.len()));
            say(format!("   all under TLS, {kind} leads: passed"));
            led.push(kind);
        }
        if led.len() < 2 {
            lead(&mut ensemble, if kind == ours { java } else { ours })?;
        }
    }
    Ok(())
}

/// Makes a server of the kind the leader: when all begin anew and it has the most to tell.
#[track_caller]
fn lead(ensemble: &mut Ensemble, kind: Kind) -> Result<(), Skip> {
    let sids = ensemble.sids();
    let of_kind = |sid: &Sid| ensemble.kind(*sid) == kind;
    let chosen = sids
        .iter()
        .copied()
        .rfind(of_kind)
        .expect("one of each kind");
    for &sid in &sids {
        ensemble.stop(sid);
    }
    // With a smaller id beside it, it is elected.
    let other = sids
        .iter()
        .copied()
        .find(|sid| *sid < chosen)
        .expect("a smaller id");
    ensemble.start(chosen)?;
    ensemble.start(other)?;
    ensemble.wait_until_all_serve();
    ensemble.start_all()
}

#[track_caller]
fn write_on(recording: &Recording) {
    let before = recording.acknowledged();
    wait_for("writes", || {
        (before + BETWEEN <= recording.acknowledged()).then_some(())
    });
}

/// With FIPS mode off both kinds look at the hosts in certificates.
pub(crate) fn hosts() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let World { authority, .. } = world()?;
    let (ours, java) = (Kind::under_test(), Kind::REFERENCE);
    let kinds = [ours, java, ours];
    let plan = Plan::voters(&kinds)
        .observers(&[java])
        .property("zookeeper.fips-mode", "false")
        .line("sslQuorum", "true");
    let kinds = [ours, java, ours, java];
    let mut ensemble = lay_out(home.path(), authority, &kinds, plan);
    ensemble.start_all()?;
    service::check(&ensemble, "/service");
    say("   ours and 3.9.5, hosts are checked: passed");
    Ok(())
}

/// A member whose certificate is another authority's, or for another host, does not get in.
pub(crate) fn stranger() -> Result<(), Skip> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let World {
        authority,
        stranger: other,
        ..
    } = world()?;
    let kinds = [Kind::under_test(); 3];
    let plan = Plan::voters(&kinds)
        .line("sslQuorum", "true")
        .property("zookeeper.fips-mode", "false");
    let mut ensemble = lay_out(home.path(), authority, &kinds, plan);
    for sid in [1, 2] {
        ensemble.start(sid)?;
    }
    ensemble.wait_until_all_serve();
    let elsewhere = authority.lines("ssl.quorum", "elsewhere", Form::Pkcs12);
    for (what, lines, reason) in [
        (
            "another authority's",
            other.lines("ssl.quorum", "member", Form::Pkcs12),
            "UnknownIssuer",
        ),
        ("for another host", elsewhere, "is not for 127.0.0.1"),
    ] {
        // It trusts the others, so that it is they who send it away.
        let trust = authority.lines("ssl.quorum", "member", Form::Pkcs12);
        let trust = trust
            .into_iter()
            .filter(|(key, _)| key.contains("trustStore"));
        for (key, value) in lines.into_iter().chain(trust) {
            ensemble.set_line(3, &key, &value);
        }
        let before = [1, 2].map(|sid| ensemble.log(sid).len());
        ensemble.start(3)?;
        for (sid, before) in [1, 2].into_iter().zip(before) {
            wait_for(&format!("server {sid} to say {reason:?}"), || {
                ensemble.log(sid)[before..].contains(reason).then_some(())
            });
        }
        assert_eq!(ensemble.mode(3), None, "{what}");
        ensemble.kill(3);
        say(format!(
            "   stays outside: a member with a certificate {what}"
        ));
    }
    for (key, value) in authority.lines("ssl.quorum", "member", Form::Pkcs12) {
        ensemble.set_line(3, &key, &value);
    }
    ensemble.start_all()?;
    ensemble.check_same_state();
    Ok(())
}
