//! Story 5, trust: a brain that is slow slows its agents down, takes no more memory for it, and loses nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use taskplane_e2e::{
    Dice, Flood, FloodPlan, Ground, Network, Pipeline, PipelineOptions, account, check_agents, eventually, pause,
    peak_memory, resume, say, statistics,
};

/// Most resident memory of an agent whose brain is slow, in MiB. What waits is on disk; in memory are at most 8 MiB in flight,
/// twice (as read and as framed), and 48 MiB of what is remembered of tasks. The rest is the program, and room.
const AGENT_MIB: u64 = 160;
/// Most resident memory of a brain that is flooded, in MiB: 48 MiB of batches, 64 MiB of page cache, a frame of at most 4 MiB
/// and its folding for each connection, and the program.
const BRAIN_MIB: u64 = 320;

#[tokio::test]
async fn a_brain_that_is_stopped_and_slow_and_far_away_by_turns_loses_nothing() -> Result<()> {
    let dice = Dice::new()?;
    let origin = dice.origin();
    slow_by_turns(dice).await.context(origin)
}

async fn slow_by_turns(mut dice: Dice) -> Result<()> {
    let options = PipelineOptions { brain: Ground::Faulty, proxy: true, ..PipelineOptions::default() };
    let mut pipeline = Pipeline::start(options).await?;
    pipeline.start_agent()?;
    let mut feed = pipeline.feed(0, &dice).await?;
    let (disk, proxy) = (pipeline.brain_site.faulty()?, pipeline.proxy.as_ref().context("a proxy")?);
    let (brain, agent) = (pipeline.brain.as_ref().context("a brain")?, pipeline.agent.as_ref().context("an agent")?);
    disk.is_felt_by(brain)?;
    let mut troubles = [0, 1, 2, 3, 0, 1, 2, 3];
    dice.shuffle(&mut troubles);
    for trouble in troubles {
        match trouble {
            0 => pause(brain)?,
            1 => disk.make_slow(dice.millis(100, 400))?,
            2 => proxy.set(Network::Limited(50_000)),
            _ => proxy.set(Network::Delayed(dice.millis(20, 100))),
        }
        for _ in 0..20 + dice.below(40) {
            feed.publish(60).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        resume(brain)?;
        disk.repair()?;
        proxy.set(Network::Fine);
    }
    pipeline.drain(&mut feed).await?;
    let account = account(&pipeline.api, &feed.epochs(), &mut dice).await.with_context(|| pipeline.logs())?;
    let (brain, agent) = (peak_memory(brain)?, peak_memory(agent)?);
    say(&format!("{account:?}, the brain took {brain} MiB, the agent {agent} MiB, {}", dice.origin()));
    ensure!(agent <= AGENT_MIB, "the agent took {agent} MiB");
    ensure!(brain <= BRAIN_MIB, "the brain took {brain} MiB");
    Ok(())
}

#[tokio::test]
async fn agents_that_flood_a_brain_with_a_slow_disk_are_held_back_and_its_memory_stays_bounded() -> Result<()> {
    let pipeline = Pipeline::start(PipelineOptions { brain: Ground::Faulty, ..PipelineOptions::default() }).await?;
    let (disk, brain) = (pipeline.brain_site.faulty()?, pipeline.brain.as_ref().context("a brain")?);
    disk.is_felt_by(brain)?;
    let plan = FloodPlan { agents: 3, batches: 300, events: 50, event_bytes: 8_000 };
    let flood = Flood::begin(&pipeline.url.replace("http:", "ws:"), &pipeline.token, plan);
    eventually("the flood", async || Ok((flood.sent() > plan.agents).then_some(()))).await?;
    disk.make_slow(Duration::from_secs(600))?;
    // It takes what fits its bounds, and then nothing more: the sockets are not read.
    let mut before = 0;
    let held = eventually("the flood standing still", async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let stands = flood.sent() > 0 && flood.sent() == before;
        before = flood.sent();
        Ok(stands.then_some(before))
    })
    .await?;
    ensure!(held < flood.batches(), "all {held} batches were taken though nothing could be stored");
    let peak = peak_memory(brain)?;
    say(&format!("{held} of {} batches were taken, the brain took {peak} MiB", flood.batches()));
    ensure!(peak <= BRAIN_MIB, "the brain took {peak} MiB");
    pipeline.api.get("tasks?limit=5").await.context("reads go on")?;

    disk.repair()?;
    let events = flood.ebb().await.with_context(|| pipeline.logs())?;
    assert_eq!(statistics(&pipeline.api, "sent").await?, events);
    check_agents(&pipeline.api).await?;
    let peak = peak_memory(brain)?;
    ensure!(peak <= BRAIN_MIB, "the brain took {peak} MiB in the end");
    Ok(())
}
