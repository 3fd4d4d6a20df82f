//! Servers of a test's own.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use taskplane_testkit::free_port;

use crate::harness::{Process, eventually};

/// A Redis of its own; its URL.
pub(crate) async fn redis(folder: &Path) -> Result<(Process, String)> {
    let port = free_port()?;
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    let process = Process::start(command.arg("--dir").arg(folder), folder, "redis")?;
    let reached = async || Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok());
    eventually("Redis", reached).await?;
    Ok((process, format!("redis://127.0.0.1:{port}/0")))
}
