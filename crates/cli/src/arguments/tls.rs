//! Certificates, on both sides, and what stands between the sides.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;

/// TLS of the brain.
#[derive(Args, Debug)]
pub(crate) struct ServerTlsOptions {
    /// Speak TLS with this certificate (PEM, with those between it and its CA); read again when the file changes.
    #[arg(long, env = "TASKPLANE_TLS_CERT", value_name = "FILE", help_heading = "TLS")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM, not encrypted).
    #[arg(long, env = "TASKPLANE_TLS_KEY", value_name = "FILE", help_heading = "TLS")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Let only agents in whose certificate one of these CAs (PEM) signed; browsers and the API need none.
    #[arg(long, env = "TASKPLANE_TLS_CLIENT_CA", value_name = "FILE", help_heading = "TLS")]
    pub(crate) tls_client_ca: Option<PathBuf>,
}

/// How the brain is reached through a reverse proxy.
#[derive(Args, Debug)]
pub(crate) struct ProxyOptions {
    /// Address under which people reach the dashboard, if it is another one, such as https://tasks.example.com.
    #[arg(long, env = "TASKPLANE_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Path that everything is below, such as /tasks; the default is the path of --public-url.
    #[arg(long, env = "TASKPLANE_BASE_PATH", value_name = "PATH", help_heading = "Behind a reverse proxy")]
    pub(crate) base_path: Option<String>,
    /// Believe what this proxy, or every proxy in this network, says in Forwarded and X-Forwarded-* headers; may be given
    /// several times.
    #[arg(
        long,
        env = "TASKPLANE_TRUSTED_PROXY",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = network,
        help_heading = "Behind a reverse proxy"
    )]
    pub(crate) trusted_proxy: Vec<IpNet>,
}

/// TLS towards the brain.
#[derive(Args, Debug)]
pub(crate) struct ClientTlsOptions {
    /// Trust only certificates that one of these CAs (PEM) signed, instead of those that the system trusts.
    #[arg(long, global = true, env = "TASKPLANE_CA_CERT", value_name = "FILE", help_heading = "TLS")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Our own certificate (PEM), where the other side wants one.
    #[arg(long, global = true, env = "TASKPLANE_CLIENT_CERT", value_name = "FILE", help_heading = "TLS")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Its private key (PEM, not encrypted).
    #[arg(long, global = true, env = "TASKPLANE_CLIENT_KEY", value_name = "FILE", help_heading = "TLS")]
    pub(crate) client_key: Option<PathBuf>,
}

fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or_else(|| "give an address such as 10.0.0.7, or a network such as 10.0.0.0/8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_or_a_network() {
        for (text, network_text) in [("10.0.0.7", "10.0.0.7/32"), (" ::1", "::1/128"), ("10.0.0.0/8", "10.0.0.0/8")] {
            assert_eq!(network(text).expect(text).to_string(), network_text);
        }
        for text in ["", "proxy.example.com", "10.0.0.0/33", "10.0.0"] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
