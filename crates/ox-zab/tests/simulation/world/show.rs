//! For a person to read.

use super::*;

pub(super) fn show(output: &Output) -> String {
    match output {
        Output::Notify { to, notification } => {
            format!("vote to {}: {}", place(*to), show_vote(notification))
        }
        Output::Send { link, packet } => format!("{} {}", link.0, show_packet(packet)),
        Output::Append { record, .. } => format!("append {}", record.header.zxid),
        Output::Apply { record } => format!("apply {}", record.header.zxid),
        Output::Dial { server } => format!("dial {}", place(*server)),
        other => format!("{other:?}"),
    }
}

pub(super) fn show_packet(packet: &QuorumPacket) -> String {
    let data = packet.data.as_deref().filter(|data| data.len() < 9);
    format!("{:?} {} {data:?}", packet.r#type, packet.zxid)
}

pub(super) fn show_vote(vote: &Notification) -> String {
    format!(
        "{:?} {} {} r{} e{}",
        vote.state,
        vote.leader.0.saturating_sub(1),
        vote.zxid,
        vote.election_epoch,
        vote.peer_epoch
    )
}
