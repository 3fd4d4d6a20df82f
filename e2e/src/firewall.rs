//! A network that lets no WebSocket through.

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Forwards to a port, except for upgrades, which it refuses. Ends with its value.
pub struct Firewall {
    port: u16,
    _forwarding: JoinSet<()>,
}

impl Firewall {
    /// A firewall in front of a port on 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn before(behind: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let mut forwarding = JoinSet::new();
        forwarding.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(async move { drop(forward(client, behind).await) });
            }
        });
        Ok(Self { port, _forwarding: forwarding })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

async fn forward(mut client: TcpStream, behind: u16) -> Result<()> {
    // A connection carries upgrades or long-polls, never both.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    if String::from_utf8_lossy(&head).to_ascii_lowercase().contains("upgrade: websocket") {
        client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
        return Ok(());
    }
    let mut server = TcpStream::connect(("127.0.0.1", behind)).await?;
    server.write_all(&head).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
