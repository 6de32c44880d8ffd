//! The handshake. Written by hand: the last byte is missing from old clients' requests, and then
//! from the responses to them. Source: `ProtocolManager.java`; client-protocol.md chapter 2.

use bytes::Bytes;
use ox_jute::{DecodeError, Decoder, Jute};

use crate::{SessionId, Zxid};

/// The first packet of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Ignored.
    pub protocol_version: i32,
    /// The highest zxid that the client has seen.
    pub last_zxid_seen: Zxid,
    /// The session timeout that the client wants, in milliseconds.
    pub timeout_ms: i32,
    /// The session to go on with, or [`SessionId::NONE`].
    pub session_id: SessionId,
    /// The password of that session.
    pub password: Option<Bytes>,
    /// Whether a read-only server will do; `None` from clients that end before this byte.
    pub read_only: Option<bool>,
}

impl Jute for ConnectRequest {
    const NAME: &'static str = "ConnectRequest";

    fn encode(&self, out: &mut Vec<u8>) {
        self.protocol_version.encode(out);
        self.last_zxid_seen.encode(out);
        self.timeout_ms.encode(out);
        self.session_id.encode(out);
        self.password.encode(out);
        if let Some(read_only) = self.read_only {
            read_only.encode(out);
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: input.int()?,
            last_zxid_seen: Jute::decode(input)?,
            timeout_ms: input.int()?,
            session_id: Jute::decode(input)?,
            password: input.buffer()?,
            read_only: last_byte(input)?,
        })
    }
}

/// The answer to a [`ConnectRequest`]; it has no reply header before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Always 0.
    pub protocol_version: i32,
    /// The session timeout granted, in milliseconds; 0 refuses the session.
    pub timeout_ms: i32,
    /// The session; [`SessionId::NONE`] when refused.
    pub session_id: SessionId,
    /// Its password; zeros when refused.
    pub password: [u8; 16],
    /// Whether this server is read-only; `None` for clients that did not send the byte.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// Tells a client that its session is over.
    pub fn refused(read_only: Option<bool>) -> Self {
        Self {
            protocol_version: 0,
            timeout_ms: 0,
            session_id: SessionId::NONE,
            password: [0; 16],
            read_only,
        }
    }
}

impl Jute for ConnectResponse {
    const NAME: &'static str = "ConnectResponse";

    fn encode(&self, out: &mut Vec<u8>) {
        self.protocol_version.encode(out);
        self.timeout_ms.encode(out);
        self.session_id.encode(out);
        16_i32.encode(out);
        out.extend_from_slice(&self.password);
        if let Some(read_only) = self.read_only {
            read_only.encode(out);
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: input.int()?,
            timeout_ms: input.int()?,
            session_id: Jute::decode(input)?,
            password: {
                let bytes = input.slice()?.ok_or(DecodeError::Null)?;
                bytes.try_into().map_err(|_| DecodeError::End)?
            },
            read_only: last_byte(input)?,
        })
    }
}

/// Clients up to 3.3 end here, without readOnly.
fn last_byte(input: &mut Decoder<'_>) -> Result<Option<bool>, DecodeError> {
    match input.remaining() {
        [] => Ok(None),
        _ => input.boolean().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_is_there_or_not_and_stays_so() {
        for read_only in [None, Some(false), Some(true)] {
            let request = ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: Zxid(3),
                timeout_ms: 10_000,
                session_id: SessionId(7),
                password: Some(Bytes::from_static(&[9; 16])),
                read_only,
            };
            let mut bytes = Vec::new();
            request.encode(&mut bytes);
            assert_eq!(bytes.len(), if read_only.is_none() { 44 } else { 45 });
            assert_eq!(ox_jute::decode(&bytes), Ok(request));

            let mut bytes = Vec::new();
            let response = ConnectResponse::refused(read_only);
            response.encode(&mut bytes);
            assert_eq!(bytes.len(), if read_only.is_none() { 36 } else { 37 });
            assert_eq!(ox_jute::decode(&bytes), Ok(response));
        }
    }
}
