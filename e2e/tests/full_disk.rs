//! Story 5, trust: a disk that is full or read-only stops the acks and nothing else; when it takes writes again, work goes
//! on by itself, and everything is there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use taskplane_e2e::{
    Dice, Ground, Pipeline, PipelineOptions, account, eventually, eventually_within, say, statistics, stored_events,
};

const SMALL: Ground = Ground::Small(32 << 20);

/// Within this an agent's heartbeat is in the API: it comes every 30 s, and is written down every 5 s.
const HEARTBEATS: Duration = Duration::from_secs(240);

/// Publishes until `stop` comes true, at the pace of a busy application.
async fn publish_until(
    pipeline: &Pipeline,
    feed: &mut taskplane_e2e::Feed,
    what: &str,
    mut stop: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let found = eventually(what, async || {
        feed.publish(200).await?;
        Ok(stop().await?.then_some(()))
    })
    .await;
    found.with_context(|| pipeline.logs())
}

fn still_runs(process: Option<&taskplane_e2e::Process>) -> Result<()> {
    let pid = process.and_then(taskplane_e2e::Process::pid).context("a process")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ensure!(!stat.contains(") Z "), "the process has ended");
    Ok(())
}

#[tokio::test]
async fn a_brain_whose_disk_is_full_says_so_acks_nothing_and_goes_on_when_there_is_room() -> Result<()> {
    let mut dice = Dice::new()?;
    let mut pipeline = Pipeline::start(PipelineOptions { brain: SMALL, ..PipelineOptions::default() }).await?;
    pipeline.start_agent()?;
    let mut feed = pipeline.feed(0, &dice).await?;
    feed.publish(200).await?;
    pipeline.brain_site.small()?.fill(256 << 10)?;
    publish_until(&pipeline, &mut feed, "the brain saying that its disk is full", async || {
        let (status, text) = pipeline.readiness().await?;
        Ok(status == 503 && text.contains("no space is left"))
    })
    .await?;
    let acked = pipeline.metric("taskplane_ingest_events_total").await?;
    feed.publish(2_000).await?;
    // It goes on answering, and acks nothing: what it counts as acked stays.
    tokio::time::sleep(Duration::from_secs(1)).await;
    still_runs(pipeline.brain.as_ref())?;
    pipeline.api.get("tasks?limit=5").await.context("reads go on")?;
    assert_eq!(pipeline.metric("taskplane_ingest_events_total").await?, acked);
    assert!(acked < feed.published() as u64);

    pipeline.brain_site.small()?.empty()?;
    pipeline.is_ready().await?;
    pipeline.drain(&mut feed).await?;
    account(&pipeline.api, &feed.epochs(), &mut dice).await.with_context(|| pipeline.logs())?;
    Ok(())
}

#[tokio::test]
async fn a_brain_whose_disk_turns_read_only_says_so_and_goes_on_when_it_is_writable() -> Result<()> {
    let mut dice = Dice::new()?;
    let mut pipeline = Pipeline::start(PipelineOptions { brain: Ground::Faulty, ..PipelineOptions::default() }).await?;
    let disk = pipeline.brain_site.faulty()?;
    disk.is_felt_by(pipeline.brain.as_ref().context("the brain")?)?;
    pipeline.start_agent()?;
    let mut feed = pipeline.feed(0, &dice).await?;
    feed.publish(200).await?;
    let disk = pipeline.brain_site.faulty()?;
    disk.make_read_only()?;
    publish_until(&pipeline, &mut feed, "the brain saying that its disk is bad", async || {
        Ok(pipeline.readiness().await?.0 == 503)
    })
    .await?;
    let acked = pipeline.metric("taskplane_ingest_events_total").await?;
    feed.publish(2_000).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    still_runs(pipeline.brain.as_ref())?;
    pipeline.api.get("tasks?limit=5").await.context("reads go on")?;
    assert_eq!(pipeline.metric("taskplane_ingest_events_total").await?, acked);

    disk.repair()?;
    pipeline.is_ready().await?;
    pipeline.drain(&mut feed).await?;
    account(&pipeline.api, &feed.epochs(), &mut dice).await.with_context(|| pipeline.logs())?;
    Ok(())
}

#[tokio::test]
async fn a_brain_that_starts_on_a_full_disk_serves_reads_says_that_it_is_not_ready_and_goes_on() -> Result<()> {
    let mut dice = Dice::new()?;
    let mut pipeline = Pipeline::start(PipelineOptions { brain: SMALL, ..PipelineOptions::default() }).await?;
    pipeline.start_agent()?;
    let mut feed = pipeline.feed(0, &dice).await?;
    feed.publish(3_000).await?;
    pipeline.drain(&mut feed).await?;
    pipeline.kill_brain().await?;
    pipeline.brain_site.small()?.fill(0)?;
    pipeline.spawn_brain()?;
    publish_until(&pipeline, &mut feed, "the brain saying that it is not ready, since its disk is full", async || {
        let (status, text) = pipeline.readiness().await?;
        Ok(status == 503 && text.contains("no space is left"))
    })
    .await?;
    let tasks = pipeline.api.get("tasks?limit=5").await.with_context(|| pipeline.logs())?;
    assert_eq!(tasks["items"].as_array().map(Vec::len), Some(5), "{tasks}");

    pipeline.brain_site.small()?.empty()?;
    pipeline.is_ready().await?;
    // Its agent may have been waiting for long.
    pipeline.kill_agent(&mut feed).await?;
    pipeline.start_agent()?;
    pipeline.is_heard(&mut feed).await?;
    feed.publish(100).await?;
    pipeline.drain(&mut feed).await?;
    account(&pipeline.api, &feed.epochs(), &mut dice).await.with_context(|| pipeline.logs())?;
    Ok(())
}

#[tokio::test]
async fn a_brain_that_was_stopped_does_not_start_without_any_room_and_says_why() -> Result<()> {
    let mut pipeline = Pipeline::start(PipelineOptions { brain: SMALL, ..PipelineOptions::default() }).await?;
    pipeline.brain.take().context("the brain")?.terminate().await?;
    pipeline.brain_site.small()?.fill(0)?;
    pipeline.spawn_brain()?;
    let brain = pipeline.brain.take().context("the brain")?;
    assert_eq!(brain.wait().await?, Some(1));
    let log = pipeline.logs();
    assert!(log.contains("no space is left for") && log.contains("taskplane.db"), "{log}");
    pipeline.brain_site.small()?.empty()?;
    pipeline.start_brain().await
}

#[tokio::test]
async fn brain_and_agent_refuse_to_start_on_a_read_only_folder_and_say_why() -> Result<()> {
    let mut dice = Dice::new()?;
    let options = PipelineOptions { brain: SMALL, agent: SMALL, ..PipelineOptions::default() };
    let mut pipeline = Pipeline::start(options).await?;
    pipeline.start_agent()?;
    let mut feed = pipeline.feed(0, &dice).await?;
    feed.publish(1_000).await?;
    pipeline.kill_brain().await?;
    feed.publish(1_000).await?;
    pipeline.kill_agent(&mut feed).await?;
    pipeline.brain_site.small()?.remount(true)?;
    pipeline.agent_site.small()?.remount(true)?;

    pipeline.spawn_brain()?;
    pipeline.start_agent()?;
    for (process, name) in [(pipeline.brain.take(), "brain"), (pipeline.agent.take(), "agent")] {
        let process = process.context(name)?;
        let log =
            eventually("the refusal", async || Ok(Some(process.log()).filter(|log| log.contains("ead-only")))).await;
        let log = log.with_context(|| process.log())?;
        let (folder, path) = (pipeline.folder().join(name), log.lines().last().unwrap_or_default());
        assert!(path.contains(&*folder.to_string_lossy()), "{name} does not say where: {path}");
        assert_eq!(process.wait().await?, Some(1), "{name}");
    }

    pipeline.brain_site.small()?.remount(false)?;
    pipeline.agent_site.small()?.remount(false)?;
    pipeline.start_brain().await?;
    pipeline.start_agent()?;
    pipeline.is_heard(&mut feed).await?;
    feed.publish(100).await?;
    pipeline.drain(&mut feed).await?;
    account(&pipeline.api, &feed.epochs(), &mut dice).await.with_context(|| pipeline.logs())?;
    Ok(())
}

#[tokio::test]
async fn an_agent_whose_disk_is_full_while_the_brain_is_there_counts_what_it_cannot_keep() -> Result<()> {
    agent_in_trouble(SMALL, false).await
}

#[tokio::test]
async fn an_agent_whose_disk_is_full_while_the_brain_is_away_drops_the_oldest_and_counts_them() -> Result<()> {
    agent_in_trouble(SMALL, true).await
}

#[tokio::test]
async fn an_agent_whose_disk_turns_read_only_counts_what_it_cannot_keep_and_goes_on_when_it_is_writable() -> Result<()>
{
    agent_in_trouble(Ground::Faulty, false).await
}

async fn agent_in_trouble(ground: Ground, brain_is_away: bool) -> Result<()> {
    let dice = Dice::new()?;
    let mut pipeline = Pipeline::start(PipelineOptions { agent: ground, ..PipelineOptions::default() }).await?;
    pipeline.start_agent()?;
    let mut feed = pipeline.feed(0, &dice).await?;
    feed.publish(200).await?;
    let at_first = feed.published() as u64;
    eventually("the first events", async || Ok((statistics(&pipeline.api, "sent").await? > 0).then_some(()))).await?;
    if brain_is_away {
        pipeline.kill_brain().await?;
    }
    let agent = pipeline.agent.as_ref().context("the agent")?;
    match ground {
        Ground::Faulty => {
            pipeline.agent_site.faulty()?.is_felt_by(agent)?;
            pipeline.agent_site.faulty()?.make_read_only()?;
        }
        _ => pipeline.agent_site.small()?.fill(128 << 10)?,
    }
    publish_until(&pipeline, &mut feed, "the agent saying that its disk is bad", async || {
        let log = agent.log();
        Ok(["the buffer is full", "the buffer cannot be written"].iter().any(|said| log.contains(said)))
    })
    .await?;
    for _ in 0..10 {
        feed.publish(150).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    still_runs(Some(agent))?;
    match ground {
        Ground::Faulty => pipeline.agent_site.faulty()?.repair()?,
        _ => pipeline.agent_site.small()?.empty()?,
    }
    // There is room again: from here on nothing is dropped.
    let before = feed.published() as u64;
    feed.publish(500).await?;
    feed.finish().await?;
    if brain_is_away {
        pipeline.start_brain().await?;
    }
    pipeline.has_last_task(&feed).await?;
    // Every event is either in the brain, once, or counted as dropped.
    let stored = stored_events(&pipeline.api, feed.epoch()).await?;
    let missing: Vec<u64> = (0..feed.published() as u64).filter(|number| !stored.contains(number)).collect();
    assert_eq!(stored.len() + missing.len(), feed.published(), "an event is stored twice: {stored:?}");
    assert!(missing.iter().all(|number| *number < before), "there was room for {missing:?}");
    // A batch that was dropped may have been on its way, and arrive all the same: the count is a bound. When the brain was
    // killed, that can only be what had been published by then.
    let on_their_way = if brain_is_away { at_first } else { u64::MAX };
    let mut counted = 0;
    let found = eventually_within(HEARTBEATS, "the agent's count", async || {
        let agents = pipeline.api.get("agents").await?;
        counted = agents["items"][0]["buffer"]["dropped"].as_u64().unwrap_or(0);
        let arrived = counted.checked_sub(missing.len() as u64);
        Ok(arrived.filter(|arrived| *arrived <= on_their_way))
    })
    .await;
    found.with_context(|| format!("{} events are missing, {counted} counted: {}", missing.len(), pipeline.logs()))?;
    say(&format!("{} of {} events are missing, {counted} counted", missing.len(), feed.published()));
    assert!(!brain_is_away || counted > 0, "the disk was never full");
    Ok(())
}
