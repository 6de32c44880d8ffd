//! First packets of clients, one connection each, up to the answers of a server that is alone.
//!
//! Between them sessions are given, taken up again and outlive their time. The server must go on.

use ox_jute::{Frames, decode};
use ox_proto::{ConnectRequest, SessionId};
use ox_replica::Input;
use ox_session::{ClientId, password};

use super::MAX_RECORD;
use super::client_frames::{Server, ids};
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "connect",
    run,
    memory: (1 << 20, 512),
    longest: 2048,
    words: &[
        b"\0\0\0\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x27\x10",
        b"\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff",
        b"mntr",
    ],
    short: 1500,
};

fn run(bytes: &[u8]) {
    let mut server = Server::begin();
    let mut frames = Frames::new(bytes, MAX_RECORD);
    let mut client = 0;
    while let Ok(Some(frame)) = frames.next_frame() {
        let Ok(mut request) = decode::<ConnectRequest>(frame) else {
            continue;
        };
        // One in four knows a session and its password.
        if request.timeout_ms % 4 == 1 {
            let known = request.session_id.0.rem_euclid(4);
            request.session_id = SessionId((1 << 56) + known);
            request.password = Some(password(request.session_id).to_vec().into());
        }
        client += 1;
        let wait = i64::from(request.timeout_ms.rem_euclid(5_000));
        server.handle(Input::Connect {
            client: ClientId(client),
            ids: ids(),
            request,
        });
        server.flush();
        server.wait(wait);
    }
    server.connect(ClientId(client + 1));
}
