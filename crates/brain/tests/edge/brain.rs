//! A brain with TLS on a port of its own, and streams to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use taskplane_brain::brain::Brain;
use taskplane_brain::server::{self, ServerOptions, ServerTls, TlsFiles};
use taskplane_store_sqlite::SqliteStore;
use taskplane_testkit::{Authority, Issued};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

pub(crate) struct TestBrain {
    pub(crate) brain: Brain,
    pub(crate) address: SocketAddr,
}

impl TestBrain {
    pub(crate) async fn start(ip: IpAddr, path: &str, options: ServerOptions) -> Self {
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind((ip, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let folder = tempfile::tempdir().expect("a folder").keep();
        let store = Arc::new(SqliteStore::open(&folder).expect("a store"));
        let url = format!("{scheme}://{address}{path}");
        let brain = Brain::start(store, &url, CancellationToken::new()).await.expect("a brain");
        tokio::spawn(server::serve_with(listener, brain.clone(), options));
        Self { brain, address }
    }

    /// A brain without TLS.
    pub(crate) async fn plain(path: &str, options: ServerOptions) -> Self {
        Self::start(Ipv4Addr::LOCALHOST.into(), path, options).await
    }

    /// A plain connection.
    pub(crate) async fn tcp(&self) -> TcpStream {
        soon(TcpStream::connect(self.address)).await.expect("connects")
    }

    /// A TLS connection, or why there is none.
    pub(crate) async fn tls(&self, client: &Client) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::from(self.address.ip());
        soon(TlsConnector::from(client.config()).connect(name, self.tcp().await)).await
    }
}

impl Drop for TestBrain {
    fn drop(&mut self) {
        self.brain.stop.cancel();
    }
}

/// Certificates in a folder of their own, which a brain serves with.
pub(crate) struct Certificates {
    pub(crate) authority: Authority,
    pub(crate) tls: Arc<ServerTls>,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    _folder: TempDir,
}

impl Certificates {
    /// Certificates for 127.0.0.1 and ::1; with `client_ca`, agents need one that it signed.
    pub(crate) fn new(client_ca: Option<&Authority>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("servers").expect("an authority");
        let (cert, key) = server_certificate(&authority).write(folder.path(), "brain").expect("writes");
        let client_ca = client_ca.map(|authority| {
            let path = folder.path().join("client-ca.pem");
            std::fs::write(&path, authority.pem()).expect("writes");
            path
        });
        let files = TlsFiles { cert: cert.clone(), key: key.clone(), client_ca };
        let tls = Arc::new(ServerTls::load(files).expect("usable files"));
        Self { authority, tls, cert, key, _folder: folder }
    }

    pub(crate) async fn brain(&self) -> TestBrain {
        TestBrain::start(Ipv4Addr::LOCALHOST.into(), "", self.options()).await
    }

    pub(crate) fn options(&self) -> ServerOptions {
        ServerOptions { tls: Some(Arc::clone(&self.tls)), ..ServerOptions::default() }
    }
}

pub(crate) fn server_certificate(authority: &Authority) -> Issued {
    authority.server(&["127.0.0.1", "::1"]).expect("a certificate")
}

/// Whom a client trusts, what it shows, and what it would speak.
pub(crate) struct Client {
    trusts: String,
    shows: Option<Issued>,
    speaks: &'static [&'static [u8]],
}

impl Client {
    pub(crate) fn trusting(authority: &Authority) -> Self {
        Self { trusts: authority.pem(), shows: None, speaks: &[b"http/1.1"] }
    }

    pub(crate) fn showing(self, certificate: Issued) -> Self {
        Self { shows: Some(certificate), ..self }
    }

    pub(crate) fn speaking(self, speaks: &'static [&'static [u8]]) -> Self {
        Self { speaks, ..self }
    }

    fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.trusts.as_bytes()).expect("PEM")).expect("a CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(roots);
        let mut config = match &self.shows {
            Some(issued) => {
                let cert = CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(vec![cert], key).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.speaks.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}

/// The certificate that the other side showed.
pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().expect("certificates")[0].to_vec()
}

/// What comes back for a request without a body; the connection stays open.
pub(crate) async fn get<S>(stream: &mut S, path: &str, headers: &str) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    try_get(stream, path, headers).await.expect("an answer")
}

pub(crate) async fn try_get<S>(stream: &mut S, path: &str, headers: &str) -> std::io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!("GET {path} HTTP/1.1\r\nHost: brain\r\n{headers}\r\n");
    soon(stream.write_all(request.as_bytes())).await?;
    soon(stream.flush()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await?);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head
        .to_ascii_lowercase()
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap_or_default().parse().expect("a length"));
    let mut body = vec![0; length];
    soon(stream.read_exact(&mut body)).await?;
    Ok(Answer { head, body: String::from_utf8_lossy(&body).into_owned() })
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().expect("a status")
    }

    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let pairs = self.head.split("\r\n").filter_map(|line| line.split_once(": "));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}
