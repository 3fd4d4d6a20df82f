//! Story 5, trust: a token that is revoked ends its connections at once; another one in its file, and all goes on.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use taskplane_e2e::{Dice, Pipeline, PipelineOptions, account, eventually, eventually_within};

/// The agent looks for another token every 60 s.
const TOKEN_PATIENCE: Duration = Duration::from_secs(240);

/// A second is promised. A machine that is busy with other tests may take longer; a heartbeat's time-out, a minute at least, takes much
/// longer.
const SOON: Duration = Duration::from_secs(30);

/// Takes about a minute of waiting: that is how often the agent looks into the file.
#[tokio::test]
async fn an_agent_whose_token_is_revoked_stops_within_a_second_and_resumes_with_another_one() -> Result<()> {
    let mut dice = Dice::new()?;
    let mut pipeline = Pipeline::start(PipelineOptions::default()).await?;
    let (status, created) = pipeline.api.post("agent-tokens", &json!({})).await?;
    assert_eq!(status, 201, "{created}");
    let (id, token) = (created["id"].as_str().context("an id")?, created["token"].as_str().context("a token")?);
    std::fs::write(&pipeline.token_file, token)?;
    pipeline.start_agent()?;
    let mut feed = pipeline.feed(0, &dice).await?;
    feed.publish(500).await?;
    eventually("the connection", async || Ok((pipeline.connections().await? == 1).then_some(()))).await?;

    let revoked_at = std::time::Instant::now();
    assert_eq!(pipeline.api.delete(&format!("agent-tokens/{id}")).await?, 204);
    let agent = pipeline.agent.as_ref().context("an agent")?;
    eventually("the agent's word", async || Ok(agent.log().contains("the token was revoked").then_some(()))).await?;
    let took = revoked_at.elapsed();
    assert!(took < SOON, "it took {took:?}");
    // The brain may still be waiting for the agent's side of the goodbye.
    eventually("no connection", async || Ok((pipeline.connections().await? == 0).then_some(()))).await?;
    feed.publish(2_000).await?;

    std::fs::write(&pipeline.token_file, &pipeline.token)?;
    let back = eventually_within(TOKEN_PATIENCE, "the agent back", async || {
        Ok((pipeline.connections().await? == 1).then_some(()))
    })
    .await;
    back.with_context(|| pipeline.logs())?;
    pipeline.drain(&mut feed).await?;
    account(&pipeline.api, &feed.epochs(), &mut dice).await.with_context(|| pipeline.logs())?;
    Ok(())
}
