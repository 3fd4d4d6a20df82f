//! Makes sure that there is a dashboard to embed, so that the brain builds without Node.

use std::path::Path;
use std::{env, fs, io};

const PLACEHOLDER: &str = r#"<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <base href="/">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Taskplane</title>
    <style>body { font: 16px/1.5 system-ui, sans-serif; max-width: 36em; margin: 4em auto; padding: 0 1em }</style>
  </head>
  <body>
    <h1>The dashboard is not built into this brain</h1>
    <p>Run <code>npm ci &amp;&amp; npm run build</code> in <code>dashboard/</code> (or <code>make build</code> at the top), then
      build the brain again. The API works without it: see <a href="api/docs">the API's documentation</a>.</p>
  </body>
</html>
"#;

fn main() -> io::Result<()> {
    let crate_dir = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let dist = Path::new(&crate_dir).join("../../dashboard/dist");
    let index = dist.join("index.html");
    if !index.exists() {
        fs::create_dir_all(&dist)?;
        fs::write(&index, PLACEHOLDER)?;
    }
    println!("cargo::rerun-if-changed=build.rs");
    // A directory here means everything in it: a new build of the dashboard is a new build of the brain.
    println!("cargo::rerun-if-changed={}", dist.display());
    Ok(())
}
