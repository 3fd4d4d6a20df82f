//! An HTTP proxy that opens tunnels, as companies have at the border of their networks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A proxy on a port of its own; it ends with its value.
pub struct ConnectProxy {
    /// Where it is.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl ConnectProxy {
    /// Starts a proxy for which all host names mean this host, and which wants this value of `Proxy-Authorization`.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(authorization: Option<&str>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, wanted) = (Arc::clone(&asked), authorization.map(str::to_owned));
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (noted, wanted) = (Arc::clone(&noted), wanted.clone());
                tokio::spawn(async move { tunnel(client, &noted, wanted.as_deref()).await });
            }
        });
        Ok(Self { address, asked, serving })
    }

    /// The targets that were asked for with the right credentials, as `host:port`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn tunnel(client: TcpStream, asked: &Mutex<Vec<String>>, wanted: Option<&str>) -> Result<()> {
    // A client says nothing more before it has the answer, so nothing is lost in the reader.
    let mut client = BufReader::new(client);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        anyhow::ensure!(client.read_line(&mut line).await? > 0, "no request");
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut client = client.into_inner();
    let given = lines.iter().find_map(|line| line.strip_prefix("Proxy-Authorization: "));
    if wanted.is_some() && given != wanted {
        let refusal =
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
        client.write_all(refusal.as_bytes()).await?;
        return Ok(());
    }
    let target = lines[0].strip_prefix("CONNECT ").and_then(|rest| rest.split_once(' ')).context("not CONNECT")?.0;
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(target.to_owned());
    let port: u16 = target.rsplit_once(':').context("no port")?.1.parse()?;
    let mut server = match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(server) => server,
        Err(_) => {
            client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await?;
            return Ok(());
        }
    };
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
