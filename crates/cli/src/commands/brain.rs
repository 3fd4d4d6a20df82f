//! `taskplane brain`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use taskplane_brain::brain::{Brain, StartOptions};
use taskplane_brain::gateway::GatewayLimits;
use taskplane_brain::peers::PeerAuthorities;
use taskplane_brain::public_url::{BasePath, PublicUrl};
use taskplane_brain::replicas::ReplicaName;
use taskplane_brain::retention::{KeepFor, Retention};
use taskplane_brain::server::{ServerOptions, ServerTls, TlsFiles, TrustedProxies};
use taskplane_brain::{auth, clock, server};
use tokio::net::TcpListener;

use crate::arguments::{BrainOptions, KeepOptions, LimitOptions, ProxyOptions, ReplicaOptions, ServerTlsOptions};
use crate::output::say;
use crate::store::Place;
use crate::wrong_usage::WrongUsage;

/// A stopping brain waits so long for what is under way.
const STOP_WITHIN: Duration = Duration::from_secs(9);
/// So many seconds' worth of handshakes may come at once from one address.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);

pub(crate) async fn run(options: BrainOptions) -> Result<()> {
    let tls = tls(options.tls)?;
    ensure!(
        tls.is_some() || options.insecure_bind || options.listen.ip().to_canonical().is_loopback(),
        "refusing to listen on {} without TLS: tokens and task data would be readable on the network. Give a certificate with \
         --tls-cert and --tls-key, or put a proxy with TLS in front and keep --listen on 127.0.0.1, or add --insecure-bind if \
         this network is trusted",
        options.listen
    );
    let scheme = if tls.is_some() { "https" } else { "http" };
    // What is wrong with it is said before anything is touched.
    public_url(&options.proxy, &format!("{scheme}://{}", options.listen))?;
    let retention = retention(&options.keep)?;
    let place = Place::of(options.store)?;
    check_replica(&options.replica, &place)?;
    let peer_authorities = options.replica.peer_ca.as_deref().map(peer_authorities).transpose()?;
    let store = place.open().await?;
    let mut claim = place.claim()?;
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!("cannot listen on {}: choose another address with --listen, or stop what listens there", options.listen)
    })?;
    let address = listener.local_addr()?;
    let public_url = public_url(&options.proxy, &format!("{scheme}://{address}"))?;
    if let Some(Err(error)) = claim.as_mut().map(|claim| claim.announce(&public_url)) {
        tracing::warn!(%error, "other programs will not know where this brain is reached");
    }
    let unclaimed = store.is_unclaimed().await?;
    let stop = super::stop_on_signal()?;
    let replica = replica(options.replica, scheme, address);
    let ask_after = options.ask_after.all();
    let start = StartOptions { limits: limits(&options.limits), retention, replica, ask_after };
    let brain = Brain::start_with(Arc::clone(&store), &public_url, stop, start).await?;
    if let Some(authorities) = peer_authorities {
        brain.peers.trust(authorities);
    }
    say(&format!("Taskplane {} is at {public_url}", env!("CARGO_PKG_VERSION")));
    if unclaimed {
        let link = auth::issue_signin_link(&*store, &public_url, clock::now()).await?;
        say(&format!("First start. Sign in within 15 minutes (one use):\n  {link}"));
        say(&format!("Later, make another link with: taskplane signin-link {}", place.as_options()));
    }
    let tasks = brain.tasks.clone();
    let trusted_proxies = TrustedProxies::new(options.proxy.trusted_proxy);
    server::serve_with(listener, brain, ServerOptions { tls, trusted_proxies }).await;
    tasks.close();
    if tokio::time::timeout(STOP_WITHIN, tasks.wait()).await.is_err() {
        tracing::warn!("stopped before everything under way had ended; nothing that was acked is lost");
    }
    Ok(())
}

/// What is said of a brain among others makes sense.
fn check_replica(options: &ReplicaOptions, place: &Place) -> Result<()> {
    let named = options.replica_name.is_some() || options.peer_url.is_some() || options.peer_ca.is_some();
    if named && matches!(place, Place::Folder(_)) {
        let text = "--replica-name, --peer-url and --peer-ca are for several brains on one PostgreSQL: give --database-url, too";
        bail!(WrongUsage(text.to_owned()));
    }
    let wrong = |error| WrongUsage(format!("{error} (--peer-url)"));
    options.peer_url.as_deref().map(PublicUrl::parse).transpose().map_err(wrong)?;
    Ok(())
}

/// Who may sign other brains' certificates.
fn peer_authorities(path: &Path) -> Result<PeerAuthorities> {
    let pem = std::fs::read(path).with_context(|| format!("{} cannot be read (--peer-ca)", path.display()))?;
    PeerAuthorities::from_pem(&pem).with_context(|| format!("{} is no CA of other brains (--peer-ca)", path.display()))
}

/// How this brain, which listens on `address`, is known to others on its database.
fn replica(options: ReplicaOptions, scheme: &str, address: SocketAddr) -> ReplicaName {
    let reachable = !address.ip().to_canonical().is_unspecified();
    ReplicaName {
        name: options.replica_name.unwrap_or_else(|| format!("{}-{}", host_name(), std::process::id())),
        peer_url: options.peer_url.or_else(|| reachable.then(|| format!("{scheme}://{address}"))),
    }
}

fn host_name() -> String {
    super::agent::host_name().unwrap_or_else(|_| "brain".to_owned())
}

fn limits(options: &LimitOptions) -> GatewayLimits {
    GatewayLimits {
        handshakes_per_second: options.handshakes_per_second,
        // A whole fleet behind one address may come back at once, after a restart of the brain.
        handshake_burst: options.handshakes_per_second.saturating_mul(BURST),
        connections_per_token: options.connections_per_token.get(),
        ..GatewayLimits::default()
    }
}

fn retention(options: &KeepOptions) -> Result<Retention> {
    let ages = KeepFor {
        events: options.keep_events.0,
        tasks: options.keep_tasks.0,
        failures: options.keep_failures.0,
        minutes: options.keep_minutes.0,
        hours: options.keep_hours.0,
        days: options.keep_days.0,
        records: options.keep_records.0,
    };
    let kept = Retention::new(ages, options.keep_size.map(|size| size.0));
    Ok(kept.map_err(|error| WrongUsage(format!("{error} (--keep-events, --keep-tasks, …, --keep-size)")))?)
}

fn tls(options: ServerTlsOptions) -> Result<Option<Arc<ServerTls>>> {
    let files = match (options.tls_cert, options.tls_key) {
        (Some(cert), Some(key)) => TlsFiles { cert, key, client_ca: options.tls_client_ca },
        (None, None) if options.tls_client_ca.is_none() => return Ok(None),
        (None, None) => bail!(WrongUsage("--tls-client-ca needs TLS: give --tls-cert and --tls-key, too".to_owned())),
        _ => bail!(WrongUsage("--tls-cert and --tls-key belong together: give both".to_owned())),
    };
    Ok(Some(Arc::new(ServerTls::load(files)?)))
}

/// Where people reach the brain, with the path that everything is below.
fn public_url(options: &ProxyOptions, listening: &str) -> Result<PublicUrl> {
    let given = options.public_url.as_deref();
    let wrong = |text: String| WrongUsage(format!("{text} (--public-url, --base-path)"));
    let url = PublicUrl::parse(given.unwrap_or(listening)).map_err(|error| wrong(error.to_string()))?;
    let Some(base) = &options.base_path else { return Ok(url) };
    let base = BasePath::parse(base).map_err(|error| wrong(error.to_string()))?;
    if url.base() == &base {
        return Ok(url);
    }
    if !url.base().as_str().is_empty() {
        let text = "the path of the public URL and the base path are not the same: leave one of them out";
        bail!(wrong(text.to_owned()));
    }
    Ok(PublicUrl::parse(&format!("{url}{base}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(public_url_text: Option<&str>, base_path: Option<&str>) -> Result<String> {
        let options = ProxyOptions {
            public_url: public_url_text.map(str::to_owned),
            base_path: base_path.map(str::to_owned),
            trusted_proxy: Vec::new(),
        };
        Ok(public_url(&options, "https://127.0.0.1:7440")?.to_string())
    }

    #[test]
    fn the_base_path_is_the_public_urls_or_its_own_flags() {
        for (url, base, whole) in [
            (None, None, "https://127.0.0.1:7440"),
            (None, Some("/tasks/"), "https://127.0.0.1:7440/tasks"),
            (Some("https://host/"), Some("/tasks"), "https://host/tasks"),
            (Some("https://host/tasks/"), None, "https://host/tasks"),
            (Some("https://host/tasks"), Some("/tasks"), "https://host/tasks"),
        ] {
            assert_eq!(reached(url, base).expect("a URL"), whole);
        }
        for (url, base) in [
            (Some("https://host/queues"), Some("/tasks")),
            (Some("host"), None),
            (None, Some("tasks")),
            (None, Some("/api")),
        ] {
            assert!(reached(url, base).expect_err("refused").is::<WrongUsage>(), "{url:?} {base:?}");
        }
    }

    #[test]
    fn others_reach_a_brain_where_it_listens_unless_that_is_everywhere() {
        let url = |given: Option<&str>, listen: &str| {
            let options = ReplicaOptions { peer_url: given.map(str::to_owned), ..ReplicaOptions::default() };
            replica(options, "http", listen.parse().expect("an address")).peer_url
        };
        assert_eq!(url(None, "10.0.0.7:7440").as_deref(), Some("http://10.0.0.7:7440"));
        assert_eq!(url(None, "0.0.0.0:7440"), None);
        assert_eq!(url(Some("http://brain-1:7440"), "[::]:7440").as_deref(), Some("http://brain-1:7440"));
        let options = ReplicaOptions { replica_name: Some("one".into()), ..ReplicaOptions::default() };
        assert!(check_replica(&options, &Place::Folder("x".into())).expect_err("is refused").is::<WrongUsage>());
        let options = ReplicaOptions { peer_url: Some("brain-1".into()), ..ReplicaOptions::default() };
        let place = Place::Database("postgres://u@h/d".into());
        assert!(check_replica(&options, &place).expect_err("is refused").is::<WrongUsage>());
    }
}
