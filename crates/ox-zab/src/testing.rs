//! Configurations for tests.

use ox_proto::{ClientAddress, EnsembleConfig, Member, MemberRole, PeerAddress, ServerId};

/// Servers 1 to `count`, all of which vote.
pub(crate) fn voters(count: i64) -> EnsembleConfig {
    members(count, 0)
}

/// Servers 1 to `voters` vote; so many more observe.
pub(crate) fn members(voters: i64, observers: i64) -> EnsembleConfig {
    let member = |id: i64| {
        let port = u16::try_from(2000 + 10 * id).unwrap();
        let member = Member {
            role: match id <= voters {
                true => MemberRole::Participant,
                false => MemberRole::Observer,
            },
            addresses: vec![PeerAddress {
                host: "127.0.0.1".to_owned(),
                quorum_port: port,
                election_port: port + 1,
            }],
            client: Some(ClientAddress {
                host: "0.0.0.0".to_owned(),
                port: port + 2,
            }),
        };
        (ServerId(id), member)
    };
    EnsembleConfig {
        members: (1..=voters + observers).map(member).collect(),
        ..EnsembleConfig::default()
    }
}
