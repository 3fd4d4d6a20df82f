//! A TCP load balancer without sticky sessions: every new connection goes to the next server that takes it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Listens on a port of its own on 127.0.0.1. Ends, and closes all connections, when dropped.
pub struct Balancer {
    address: SocketAddr,
    backends: Arc<Mutex<Backends>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Backends {
    ports: Vec<u16>,
    next: usize,
    carried: BTreeMap<u16, u64>,
}

impl Backends {
    /// All ports, each once, the one whose turn it is first. The next call begins with the one after that.
    fn turn(&mut self) -> Vec<u16> {
        let mut ports = self.ports.clone();
        if !ports.is_empty() {
            ports.rotate_left(self.next % self.ports.len());
            self.next = self.next.wrapping_add(1);
        }
        ports
    }
}

impl Balancer {
    /// Forwards to these ports on 127.0.0.1 in turn, which need not be listened on yet.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn over(ports: &[u16]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for the balancer")?;
        let address = listener.local_addr()?;
        let backends = Arc::new(Mutex::new(Backends { ports: ports.to_vec(), ..Backends::default() }));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&backends)));
        Ok(Self { address, backends, accepting })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// New connections go to this port, too.
    pub fn add(&self, port: u16) {
        let mut backends = lock(&self.backends);
        if !backends.ports.contains(&port) {
            backends.ports.push(port);
        }
    }

    /// New connections do not go to this port any more; those that are there stay.
    pub fn remove(&self, port: u16) {
        lock(&self.backends).ports.retain(|other| *other != port);
    }

    /// How many connections a port has taken.
    pub fn carried(&self, port: u16) -> u64 {
        lock(&self.backends).carried.get(&port).copied().unwrap_or(0)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Its connections end with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, backends: Arc<Mutex<Backends>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                connections.spawn(carry(client, Arc::clone(&backends)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, to its end. While nobody takes it, the client finds it closed.
async fn carry(mut client: TcpStream, backends: Arc<Mutex<Backends>>) {
    let ports = lock(&backends).turn();
    for port in ports {
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
        *lock(&backends).carried.entry(port).or_default() += 1;
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let _ = copy_bidirectional(&mut client, &mut server).await;
        return;
    }
}

fn lock(backends: &Mutex<Backends>) -> MutexGuard<'_, Backends> {
    // Single operations on a list and a map only.
    backends.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;
    use crate::free_port;

    /// A server that says its name to whoever connects, and then what it hears.
    async fn server(name: u8) -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let port = listener.local_addr().expect("bound").port();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                connections.spawn(async move {
                    let _ = client.write_all(&[name]).await;
                    let (mut reads, mut writes) = client.split();
                    tokio::io::copy(&mut reads, &mut writes).await
                });
            }
        });
        (port, serving)
    }

    /// Who takes the next connection; `None` when nobody does.
    async fn next(balancer: &Balancer) -> Option<(TcpStream, u8)> {
        let mut client = TcpStream::connect(("127.0.0.1", balancer.port())).await.expect("connects");
        let name = timeout(Duration::from_secs(20), client.read_u8()).await.expect("in time").ok()?;
        Some((client, name))
    }

    async fn names(balancer: &Balancer, count: usize) -> Vec<u8> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(next(balancer).await.expect("somebody takes it").1);
        }
        names
    }

    #[tokio::test]
    async fn connections_go_round_and_pass_over_who_refuses() {
        let ((one, _one), (two, _two), nobody) = (server(1).await, server(2).await, free_port().expect("a port"));
        let balancer = Balancer::over(&[one, two]).await.expect("a balancer");
        assert_eq!(names(&balancer, 4).await, [1, 2, 1, 2]);
        balancer.add(nobody);
        let mut found = names(&balancer, 6).await;
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, [1, 2]);
        assert_eq!(balancer.carried(one) + balancer.carried(two), 10);
        assert_eq!(balancer.carried(nobody), 0);
    }

    #[tokio::test]
    async fn who_is_taken_out_keeps_its_connections_and_gets_no_new_ones() {
        let ((one, _one), (two, _two)) = (server(1).await, server(2).await);
        let balancer = Balancer::over(&[one]).await.expect("a balancer");
        let (mut client, name) = next(&balancer).await.expect("somebody takes it");
        balancer.add(two);
        balancer.remove(one);
        assert_eq!((name, names(&balancer, 3).await), (1, vec![2, 2, 2]));
        client.write_all(&[7]).await.expect("writes");
        assert_eq!(client.read_u8().await.expect("reads"), 7);
        balancer.remove(two);
        assert!(next(&balancer).await.is_none());
    }
}
