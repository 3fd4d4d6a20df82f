//! A TCP proxy that breaks the network on demand: cut, stalled, slow, or half-open without either side being told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Most bytes that the proxy holds for one direction of one connection. What does not fit stays with the sender, so that a
/// slow receiver is felt by the sender as on a real network.
const HELD_BYTES: usize = 16 << 10;
/// How long a half-open connection is kept for the side that was not told. Longer than any time-out of the protocol.
const HALF_OPEN_FOR: Duration = Duration::from_secs(300);

/// What the network is like now, for all connections that are neither cut nor half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Everything passes at once.
    Fine,
    /// Nothing passes, in either direction; what is sent waits.
    Stalled,
    /// Every piece of at most 16 KiB waits so long before it passes.
    Delayed(Duration),
    /// At most so many bytes per second pass in each direction of each connection.
    Limited(u64),
}

/// Listens on a port of its own on 127.0.0.1 and forwards to another. Ends, and cuts all connections, when dropped.
pub struct FaultProxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    accepted: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

/// Connections are numbered from 1 in the order in which they come.
#[derive(Clone, Copy, Debug)]
struct Orders {
    network: Network,
    /// Connections up to this one are closed on both sides.
    cut: u64,
    /// Connections up to this one are closed towards the client only; the server is not told.
    abandoned: u64,
    /// Connections up to this one carry nothing any more, and neither side is told.
    silenced: u64,
}

impl FaultProxy {
    /// Forwards to `port` on 127.0.0.1, which need not be listened on yet.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for the fault proxy")?;
        let address = listener.local_addr()?;
        let fine = Orders { network: Network::Fine, cut: 0, abandoned: 0, silenced: 0 };
        let orders = watch::Sender::new(fine);
        let accepted = Arc::new(AtomicU64::new(0));
        let accepting = tokio::spawn(accept(listener, port, orders.clone(), Arc::clone(&accepted)));
        Ok(Self { address, orders, accepted, accepting })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Changes what the network is like, for connections that are there and those to come.
    pub fn set(&self, network: Network) {
        self.orders.send_modify(|orders| orders.network = network);
    }

    /// Closes all connections that are there, towards both sides.
    pub fn cut(&self) {
        let last = self.accepted();
        self.orders.send_modify(|orders| orders.cut = last);
    }

    /// Closes all connections that are there towards the client; the server goes on believing in them.
    pub fn abandon(&self) {
        let last = self.accepted();
        self.orders.send_modify(|orders| orders.abandoned = last);
    }

    /// Drops whatever is sent from now on over the connections that are there; both sides go on believing in them.
    pub fn silence(&self) {
        let last = self.accepted();
        self.orders.send_modify(|orders| orders.silenced = last);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.orders.send_modify(|orders| orders.cut = u64::MAX);
    }
}

async fn accept(listener: TcpListener, port: u16, orders: watch::Sender<Orders>, accepted: Arc<AtomicU64>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        let number = accepted.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::spawn(carry(client, port, number, orders.subscribe()));
    }
}

/// One connection, to its end.
async fn carry(client: TcpStream, port: u16, number: u64, mut orders: watch::Receiver<Orders>) {
    // A server that is not there: the client finds its connection closed, as it would behind any proxy.
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut server_reads, mut server_writes) = server.into_split();
    let abandoned = tokio::select! {
        () = pump(&mut client_reads, &mut server_writes, number, orders.clone()) => false,
        () = pump(&mut server_reads, &mut client_writes, number, orders.clone()) => false,
        ordered = orders.wait_for(|orders| orders.cut >= number || orders.abandoned >= number) => {
            ordered.is_ok_and(|orders| orders.cut < number)
        }
    };
    drop((client_reads, client_writes));
    if abandoned {
        let _ = tokio::time::timeout(HALF_OPEN_FOR, orders.wait_for(|orders| orders.cut >= number)).await;
    }
    drop((server_reads, server_writes));
}

/// Forwards one direction until it ends by itself.
async fn pump(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, number: u64, orders: watch::Receiver<Orders>) {
    let mut held = vec![0; HELD_BYTES];
    while forward(from, to, &mut held, number, orders.clone()).await.is_some() {}
}

/// Forwards one piece, as the network is. `None` at the end.
async fn forward(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    held: &mut [u8],
    number: u64,
    mut orders: watch::Receiver<Orders>,
) -> Option<()> {
    let passing = |orders: &Orders| orders.network != Network::Stalled && orders.silenced < number;
    orders.wait_for(passing).await.ok()?;
    let bytes = from.read(held).await.ok().filter(|bytes| *bytes > 0)?;
    // What was read while the network broke does not slip through.
    let network = orders.wait_for(passing).await.ok()?.network;
    match network {
        Network::Delayed(delay) => tokio::time::sleep(delay).await,
        Network::Limited(per_second) => {
            tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / per_second.max(1) as f64)).await;
        }
        Network::Fine | Network::Stalled => {}
    }
    to.write_all(held.get(..bytes)?).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(20);
    const A_MOMENT: Duration = Duration::from_millis(100);

    /// A client and a server that are connected through the proxy.
    async fn connected(proxy: &FaultProxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(("127.0.0.1", proxy.port())).await.expect("connects");
        let (server, _) = timeout(SOON, listener.accept()).await.expect("in time").expect("accepts");
        (client, server)
    }

    async fn read(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        let count = timeout(SOON, stream.read(&mut bytes)).await.expect("in time").expect("reads");
        bytes.truncate(count);
        bytes
    }

    #[tokio::test]
    async fn what_is_sent_during_a_stall_passes_after_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let proxy = FaultProxy::to(listener.local_addr().expect("bound").port()).await.expect("a proxy");
        let (mut client, mut server) = connected(&proxy, &listener).await;
        client.write_all(b"one").await.expect("writes");
        assert_eq!(read(&mut server).await, b"one");
        proxy.set(Network::Stalled);
        client.write_all(b"two").await.expect("writes");
        assert!(timeout(A_MOMENT, server.read(&mut [0])).await.is_err(), "nothing passes");
        proxy.set(Network::Limited(10_000));
        assert_eq!(read(&mut server).await, b"two");
        assert_eq!(proxy.accepted(), 1);
    }

    #[tokio::test]
    async fn a_cut_closes_both_sides_and_the_next_connection_passes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let proxy = FaultProxy::to(listener.local_addr().expect("bound").port()).await.expect("a proxy");
        let (mut client, mut server) = connected(&proxy, &listener).await;
        proxy.cut();
        assert!(read(&mut client).await.is_empty() && read(&mut server).await.is_empty());
        let (mut client, mut server) = connected(&proxy, &listener).await;
        server.write_all(b"back").await.expect("writes");
        assert_eq!(read(&mut client).await, b"back");
    }

    #[tokio::test]
    async fn an_abandoned_connection_is_closed_for_the_client_only_and_a_silenced_one_for_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let proxy = FaultProxy::to(listener.local_addr().expect("bound").port()).await.expect("a proxy");
        let (mut client, mut server) = connected(&proxy, &listener).await;
        proxy.abandon();
        assert!(read(&mut client).await.is_empty());
        assert!(timeout(A_MOMENT, server.read(&mut [0])).await.is_err(), "the server is not told");
        let (mut client, mut server) = connected(&proxy, &listener).await;
        proxy.silence();
        client.write_all(b"lost").await.expect("the client is not told");
        assert!(timeout(A_MOMENT, server.read(&mut [0])).await.is_err(), "nothing arrives");
        assert!(timeout(A_MOMENT, client.read(&mut [0])).await.is_err(), "the client is not told");
    }
}
