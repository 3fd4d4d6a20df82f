//! Who may come in, and how many at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use governor::Quota;
use taskplane_store::access::{SecretHash, TokenGrant};

use super::GatewayLimits;
use super::connection::Admitted;
use crate::api::Problem;
use crate::auth::{self, FailedAttempts, PeerLimit, Unauthorized};
use crate::brain::Brain;
use crate::client_address::ClientAddress;
use crate::metrics::{Refusal, RefusalLabels};

/// Seconds after which an agent that found too many others may try again.
const RETRY_AFTER: u32 = 30;

/// What is counted at the door. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    shared: Arc<Shared>,
}

struct Shared {
    limits: GatewayLimits,
    handshakes: PeerLimit,
    failures: FailedAttempts,
    /// Connections by token.
    places: Mutex<HashMap<String, usize>>,
}

/// The place of one connection among those of its token. Dropping it leaves the place.
pub(super) struct Place {
    shared: Arc<Shared>,
    token_id: String,
}

impl Door {
    /// A door with nobody behind it.
    pub(crate) fn new(limits: GatewayLimits) -> Self {
        let quota = Quota::per_second(limits.handshakes_per_second).allow_burst(limits.handshake_burst);
        let (handshakes, failures) = (PeerLimit::new(quota), FailedAttempts::default());
        Self { shared: Arc::new(Shared { limits, handshakes, failures, places: Mutex::default() }) }
    }

    /// The limits.
    pub(super) fn limits(&self) -> &GatewayLimits {
        &self.shared.limits
    }

    /// Takes a place, if the token has one left.
    fn take_place(&self, token_id: &str) -> Option<Place> {
        let mut places = self.shared.places();
        let taken = places.get(token_id).copied().unwrap_or(0);
        if taken >= self.shared.limits.connections_per_token {
            return None;
        }
        places.insert(token_id.to_owned(), taken + 1);
        Some(Place { shared: Arc::clone(&self.shared), token_id: token_id.to_owned() })
    }
}

impl Shared {
    fn places(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // Single map operations only.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.shared.places();
        if let Some(taken) = places.get_mut(&self.token_id) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.token_id);
            }
        }
    }
}

/// Lets a new connection in, or says why not. What costs least is checked first.
pub(super) async fn admit(brain: &Brain, client: ClientAddress, headers: &HeaderMap) -> Result<Admitted, Response> {
    if let Err(wait) = brain.door.shared.handshakes.note(Some(client.0)) {
        return Err(refuse(brain, Refusal::Rate, {
            let detail =
                "Too many agents connect from your address at once. Spread them out, or raise the brain's limit.";
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_handshakes", detail).retry_after(seconds)
        }));
    }
    let (token, grant) = authenticate(brain, client, headers).await.map_err(|(_, response)| response)?;
    let Some(place) = brain.door.take_place(&grant.token_id) else {
        let most = brain.door.limits().connections_per_token;
        tracing::warn!(token = %grant.token_id, most, "refused an agent: its token has no place left");
        return Err(refuse(brain, Refusal::TokenFull, {
            let detail =
                format!("There are {most} connections with this token already. Close some, or use another token.");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", detail).retry_after(RETRY_AFTER)
        }));
    };
    Ok(Admitted { grant, token, place })
}

/// Checks the token of a request: what it is, and what it opens; or whether it is unknown, and what to answer.
pub(super) async fn authenticate(
    brain: &Brain,
    client: ClientAddress,
    headers: &HeaderMap,
) -> Result<(SecretHash, TokenGrant), (Option<SecretHash>, Response)> {
    let token = auth::agent_token(headers.get(header::AUTHORIZATION));
    let (unknown, refusal) = match token {
        Ok(token) => match auth::agent_grant(&*brain.store, token).await {
            Ok(grant) => return Ok((token, grant)),
            Err(refusal) => (Some(token).filter(|_| matches!(refusal, Unauthorized::Unknown)), refusal),
        },
        Err(refusal) => (None, refusal),
    };
    let response = match refusal {
        Unauthorized::Store(_) => refuse(brain, Refusal::Store, refusal),
        _ if !brain.door.shared.failures.note(Some(client.0)) => {
            refuse(brain, Refusal::Attempts, Problem::too_many_attempts())
        }
        _ => refuse(brain, Refusal::Token, refusal),
    };
    Err((unknown, response))
}

fn refuse(brain: &Brain, reason: Refusal, answer: impl IntoResponse) -> Response {
    brain.metrics.handshakes_refused.get_or_create(&RefusalLabels { reason }).inc();
    answer.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_so_many_places_and_others_have_their_own() {
        let door = Door::new(GatewayLimits { connections_per_token: 2, ..GatewayLimits::default() });
        let first = door.take_place("a");
        let second = door.take_place("a");
        assert!(first.is_some() && second.is_some() && door.take_place("a").is_none());
        assert!(door.take_place("b").is_some());
        drop(first);
        assert!(door.take_place("a").is_some());
        drop(second);
        assert!(door.shared.places().is_empty(), "nothing is kept of who is gone");
    }
}
