//! Story 5, trust: whatever the network between agent and brain does, nothing is lost and nothing is there twice.

use std::time::Duration;

use anyhow::{Context, Result};
use taskplane_e2e::{Dice, Network, Pipeline, PipelineOptions, account, eventually, say};

const OVER_A_NETWORK: PipelineOptions =
    PipelineOptions { brain: taskplane_e2e::Ground::Firm, agent: taskplane_e2e::Ground::Firm, proxy: true };

#[tokio::test]
async fn a_network_that_is_cut_and_stalls_at_random_loses_nothing() -> Result<()> {
    let dice = Dice::new()?;
    let origin = dice.origin();
    cut_and_stall(dice).await.context(origin)
}

async fn cut_and_stall(mut dice: Dice) -> Result<()> {
    let mut pipeline = Pipeline::start(OVER_A_NETWORK).await?;
    pipeline.start_agent()?;
    let mut feed = pipeline.feed(0, &dice).await?;
    let proxy = pipeline.proxy.as_ref().context("a proxy")?;
    // Few cuts: the agent waits longer and longer before it connects again.
    let mut troubles = [0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2];
    dice.shuffle(&mut troubles);
    for trouble in troubles {
        for _ in 0..dice.below(20) {
            feed.publish(50).await?;
            tokio::time::sleep(dice.millis(5, 20)).await;
        }
        let connections = proxy.accepted();
        match trouble {
            0 => proxy.cut(),
            // Half-open: the brain goes on believing in the connection until the next one takes over.
            1 => proxy.abandon(),
            _ => proxy.set(Network::Stalled),
        }
        feed.publish(200).await?;
        if trouble == 2 {
            tokio::time::sleep(dice.millis(50, 800)).await;
            proxy.set(Network::Fine);
        } else {
            eventually("the next connection", async || Ok((proxy.accepted() > connections).then_some(())))
                .await
                .with_context(|| pipeline.logs())?;
        }
    }
    pipeline.drain(&mut feed).await?;
    let account = account(&pipeline.api, &feed.epochs(), &mut dice).await.with_context(|| pipeline.logs())?;
    say(&format!("{} connections, {account:?}, {}", proxy.accepted(), dice.origin()));
    Ok(())
}

#[tokio::test]
async fn an_agent_that_comes_back_takes_over_from_its_own_half_open_connection() -> Result<()> {
    let mut dice = Dice::new()?;
    let mut pipeline = Pipeline::start(OVER_A_NETWORK).await?;
    pipeline.start_agent()?;
    let mut feed = pipeline.feed(0, &dice).await?;
    feed.publish(500).await?;
    eventually("the first connection", async || Ok((pipeline.connections().await? == 1).then_some(()))).await?;
    // Nothing passes any more, and nobody is told: not the brain even when the agent's process is gone.
    let proxy = pipeline.proxy.as_ref().context("a proxy")?;
    proxy.silence();
    feed.publish(500).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.abandon();
    pipeline.kill_agent(&mut feed).await?;
    assert_eq!(pipeline.connections().await?, 1, "the brain believes in the old connection");
    pipeline.start_agent()?;
    pipeline.is_heard(&mut feed).await?;
    feed.publish(500).await?;
    pipeline.drain(&mut feed).await?;
    let closed = eventually("the old connection closed", async || {
        let log = pipeline.brain.as_ref().context("a brain")?.log();
        Ok((log.contains("code=4009") && pipeline.connections().await? == 1).then_some(()))
    })
    .await;
    closed.with_context(|| pipeline.logs())?;
    account(&pipeline.api, &feed.epochs(), &mut dice).await.with_context(|| pipeline.logs())?;
    Ok(())
}
