//! Other brains on the same database, as far as agents' requests are passed on to them.
//!
//! A brain proves that it is one by the receiver's key, which only those can read who share the database. What else such a request
//! says is believed: whom it comes from. The agent's token is checked by the receiver as always.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use taskplane_store::replicas::{PeerKey, Replica};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::auth::{NoRandomness, Secret, SecretKind};
use crate::client_address::ClientAddress;

/// Marks a request that a brain has passed on, with the receiver's key. Such a request is never passed on again.
pub(crate) const PEER: HeaderName = HeaderName::from_static("taskplane-peer");
/// Whom a request that was passed on comes from.
pub(crate) const CLIENT: HeaderName = HeaderName::from_static("taskplane-client");

/// A brain that has just started is known to the others a moment later. Whoever asks for it before that waits so long.
const KNOWN_WITHIN: Duration = Duration::from_millis(2_500);
/// How long a peer may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(20);
/// Connections to one peer that are kept.
const MOST_IDLE: usize = 256;
/// Most requests that are being passed on at once; an agent has two at most.
const MOST_PASSING: usize = 20_000;
/// That a peer cannot be reached is said once in so long.
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);

/// Why other brains' certificates cannot be checked.
#[derive(Debug, Error)]
#[error("it holds no certificate: it must be PEM, with BEGIN CERTIFICATE in it")]
pub struct NoAuthority;

/// Who may sign peers' certificates.
#[derive(Clone, Debug)]
pub struct PeerAuthorities(Vec<Certificate>);

impl PeerAuthorities {
    /// Reads certificates in PEM.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, NoAuthority> {
        Certificate::from_pem_bundle(pem).ok().filter(|found| !found.is_empty()).map(Self).ok_or(NoAuthority)
    }
}

/// The other brains. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

struct Shared {
    /// Number of our own run; `None` when we have the database alone.
    run: Option<u32>,
    key: Secret,
    known: watch::Sender<Known>,
    authorities: OnceLock<Vec<Certificate>>,
    http: OnceLock<Client>,
    passing: Arc<Semaphore>,
}

/// By the numbers of their runs.
type Known = BTreeMap<u32, Arc<Peer>>;

/// Another brain.
pub(crate) struct Peer {
    /// Its name, for people.
    pub(crate) name: String,
    /// Where it is, without a slash at the end; `None` when it has not said.
    pub(crate) url: Option<String>,
    /// What it wants to be shown.
    pub(crate) key: HeaderValue,
    complained: Mutex<Option<Instant>>,
}

impl Peers {
    /// Those of a brain whose run has this number, or of one that has the database alone. None of them is known yet.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new(run: Option<u32>) -> Result<Self, NoRandomness> {
        let key = Secret::generate(SecretKind::Peer)?;
        let (authorities, http, passing) = (OnceLock::new(), OnceLock::new(), Arc::new(Semaphore::new(MOST_PASSING)));
        Ok(Self { shared: Arc::new(Shared { run, key, known: watch::Sender::default(), authorities, http, passing }) })
    }

    /// Trusts only peers whose certificates one of these signed, instead of those whom the system trusts. To be said once, and
    /// before the first request is passed on.
    pub fn trust(&self, authorities: PeerAuthorities) {
        let _ = self.shared.authorities.set(authorities.0);
    }

    /// What others have to show us.
    pub fn key(&self) -> PeerKey {
        PeerKey(self.shared.key.expose().to_owned())
    }

    /// Takes note of all brains that are here now.
    pub fn update(&self, here: &[Replica]) {
        self.shared.known.send_modify(|known| {
            let peers = here.iter().filter(|replica| Some(replica.run) != self.shared.run);
            *known = peers.filter_map(|replica| Some((replica.run, peer(known.get(&replica.run), replica)?))).collect();
        });
    }

    /// The brain whose run has this number, if it is here and not ourselves.
    pub(crate) async fn find(&self, run: u32) -> Option<Arc<Peer>> {
        if self.shared.run.is_none_or(|own| own == run) {
            return None;
        }
        let mut known = self.shared.known.subscribe();
        let peer = known.borrow_and_update().get(&run).cloned();
        if peer.is_some() {
            return peer;
        }
        // Perhaps it has just come: the next news will say.
        timeout(KNOWN_WITHIN, known.changed()).await.ok()?.ok()?;
        known.borrow().get(&run).cloned()
    }

    /// True when a request shows our key.
    pub(crate) fn has_sent(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(PEER).and_then(|key| Secret::parse(SecretKind::Peer, key.to_str().ok()?));
        // Hashes are compared: how much of a guess is right cannot be told from the time it takes.
        shown.is_some_and(|shown| shown.hash() == self.shared.key.hash())
    }

    /// Whom a request comes from: whom a peer names, if a peer has passed it on, else `sender`.
    pub(crate) fn client(&self, sender: ClientAddress, headers: &HeaderMap) -> ClientAddress {
        let told = || headers.get(CLIENT)?.to_str().ok()?.parse::<IpAddr>().ok();
        let told = if self.has_sent(headers) { told() } else { None };
        told.map_or(sender, |ip| ClientAddress(ip.to_canonical()))
    }

    /// Room for one more request to pass on; `None` when there is none.
    pub(crate) fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared.passing).try_acquire_owned().ok()
    }

    /// What speaks to peers.
    pub(crate) fn http(&self) -> &Client {
        self.shared.http.get_or_init(|| {
            let system = match self.shared.authorities.get() {
                Some(trusted) => client().tls_certs_only(trusted.clone()).build(),
                None => client().build(),
            };
            system
                .or_else(|error| {
                    tracing::warn!(%error, "peers cannot be reached by https: give their CA with --peer-ca");
                    client().tls_certs_only([]).build()
                })
                // That one needs nothing of the system.
                .unwrap_or_default()
        })
    }
}

fn client() -> reqwest::ClientBuilder {
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE)
        .user_agent(concat!("taskplane/", env!("CARGO_PKG_VERSION")))
}

/// A replica as a peer, the one that is known already unless it has changed; `None` when it takes nothing from others.
fn peer(known: Option<&Arc<Peer>>, replica: &Replica) -> Option<Arc<Peer>> {
    let key = HeaderValue::from_str(&replica.peer_key.as_ref()?.0).ok()?;
    let url = replica.peer_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
    let same = known.filter(|peer| peer.url == url && peer.key == key);
    Some(
        same.cloned()
            .unwrap_or_else(|| Arc::new(Peer { name: replica.name.clone(), url, key, complained: Mutex::default() })),
    )
}

impl Peer {
    /// Says that it cannot be reached, and why, unless that has just been said.
    pub(crate) fn complain(&self, error: &str) {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            let url = self.url.as_deref().unwrap_or("none");
            tracing::warn!(
                peer = %self.name, url, error,
                "a long-poll could not be passed on to the brain that has its session; the agent begins another one. If it \
                 goes on, give that brain a --peer-url by which this one reaches it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(run: u32, peers: &Peers) -> Replica {
        let url = Some(format!("http://10.0.0.{run}:7440/"));
        Replica { run, name: format!("b{run}"), peer_url: url, peer_key: Some(peers.key()), changes: 0, reads: vec![] }
    }

    fn headers(pairs: &[(&HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| ((*name).clone(), value.parse().expect("a value")));
        pairs.collect()
    }

    #[test]
    fn only_who_knows_our_key_is_believed() {
        let (ours, theirs) = (Peers::new(Some(1)).expect("peers"), Peers::new(Some(2)).expect("peers"));
        let sender = ClientAddress("10.0.0.2".parse().expect("an address"));
        for (key, believed) in [(ours.key().0, true), (theirs.key().0, false), (String::new(), false)] {
            let headers = headers(&[(&PEER, &key), (&CLIENT, "::ffff:192.0.2.1")]);
            assert_eq!(ours.has_sent(&headers), believed);
            let client = if believed { "192.0.2.1" } else { "10.0.0.2" };
            assert_eq!(ours.client(sender, &headers).0.to_string(), client);
        }
        assert_eq!(ours.client(sender, &headers(&[(&CLIENT, "192.0.2.1")])), sender);
        assert_eq!(ours.client(sender, &headers(&[(&PEER, &ours.key().0), (&CLIENT, "nobody")])), sender);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_has_just_come_is_waited_for_and_one_that_is_gone_is_not_for_long() {
        let (ours, theirs) = (Peers::new(Some(1)).expect("peers"), Peers::new(Some(2)).expect("peers"));
        let here = [replica(1, &ours), replica(2, &theirs)];
        let waiting = tokio::spawn({
            let ours = ours.clone();
            async move { ours.find(2).await.and_then(|peer| peer.url.clone()) }
        });
        tokio::task::yield_now().await;
        ours.update(&here);
        assert_eq!(waiting.await.expect("ends").as_deref(), Some("http://10.0.0.2:7440"));
        assert!(ours.find(1).await.is_none(), "that is us");
        assert!(ours.find(3).await.is_none());
        ours.update(&here[..1]);
        assert!(ours.find(2).await.is_none());
        assert!(Peers::new(None).expect("peers").find(2).await.is_none());
    }
}
