//! A client that authenticates by SASL: its tokens, and what becomes of it.
//!
//! Invariant: an identity comes from a proof that this connection has given to a challenge of its own;
//! who fails is told no reason, and the log has it. Source: `ZooKeeperServer.processSasl`; operations.md
//! 7.3, client-protocol.md 9.2.

use std::sync::Arc;

use bytes::Bytes;
use ox_jute::{Decoder, Jute};
use ox_proto::{ErrorCode, SaslRequest, SaslResponse, Xid};
use ox_sasl::{Answer, Nonce, Refusal};

use super::{Connection, Ending};
use crate::identities;

impl Connection {
    /// One step of an exchange, answered at once. Without SASL every step is answered by nothing.
    pub(super) fn sasl(&mut self, xid: Xid, input: &mut Decoder<'_>) -> Result<(), Ending> {
        let packet = SaslRequest::decode(input)
            .map_err(|error| Ending::Client(format!("bad sasl packet: {error}")))?;
        let Some(token) = packet.token else {
            return Err(Ending::Client("sasl without a token".into()));
        };
        let shared = Arc::clone(&self.shared);
        let Some(acceptor) = &shared.config.sasl.clients else {
            self.reply_sasl(xid, ErrorCode::Ok, None);
            return Ok(());
        };
        let client = self.client.address;
        if self.sasl.begins_gssapi(&token) {
            tracing::warn!(%client, "a client that speaks GSSAPI, which is not supported");
        }
        match self.sasl.take(acceptor, &token, random_nonce) {
            Ok(Answer::Challenge(challenge)) => {
                self.reply_sasl(xid, ErrorCode::Ok, Some(challenge));
            }
            Ok(Answer::Granted { user, token }) => {
                let granted = shared.auth.sasl_ids(&user);
                let Some(ids) = identities::with_more(&self.ids, granted, self.max_frame()) else {
                    return Err(Ending::Client("it has too many identities".into()));
                };
                tracing::info!(
                    "Successfully authenticated client: authenticationID={user};  \
                     authorizationID={user}."
                );
                let session = self.client.session().unwrap_or_default();
                tracing::info!(
                    "Session {session}: adding SASL authorization for authorizationID: {user}"
                );
                self.ids = ids;
                self.ids_are_news = true;
                self.reply_sasl(xid, ErrorCode::Ok, Some(token));
            }
            Err(refusal) => return self.refuse_sasl(xid, &refusal),
        }
        Ok(())
    }

    fn refuse_sasl(&mut self, xid: Xid, refusal: &Refusal) -> Result<(), Ending> {
        let client = self.client.address;
        self.shared.metrics.auth_failed_count.add(1);
        if refusal.is_silent() {
            return Err(Ending::Client(format!(
                "failed to SASL authenticate: {refusal}"
            )));
        }
        // Who goes on behind the end may do so a hundred thousand times.
        let is_first = *refusal != Refusal::OutOfTurn;
        if is_first {
            tracing::warn!(%client, "Client failed to SASL authenticate: {refusal}");
        }
        let is_required = self.shared.auth.requires_sasl();
        if self.shared.config.sasl.allow_failed_clients && !is_required {
            if is_first {
                tracing::warn!(
                    %client, "Maintaining client connection despite SASL authentication failure."
                );
            }
            self.reply_sasl(xid, ErrorCode::Ok, None);
            return Ok(());
        }
        let error = match is_required {
            true => ErrorCode::SessionClosedRequireSaslAuth,
            false => ErrorCode::AuthFailed,
        };
        self.reply_sasl(xid, error, None);
        self.client.close();
        self.is_refused = true;
        Ok(())
    }

    fn reply_sasl(&self, xid: Xid, error: ErrorCode, token: Option<Vec<u8>>) {
        let token = token.map(Bytes::from);
        self.reply_now(xid, error, |out| SaslResponse { token }.encode(out));
    }
}

/// What nobody can foretell.
pub(crate) fn random_nonce() -> Nonce {
    let mut nonce = Nonce::default();
    rand::fill(&mut nonce);
    nonce
}
