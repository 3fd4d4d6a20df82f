//! Story 5, trust: several processes share one folder of buffers, and what dead ones left in it is delivered.

use anyhow::{Context, Result};
use taskplane_e2e::{Dice, Pipeline, PipelineOptions, account, captured, eventually};

#[tokio::test]
async fn two_agents_on_one_folder_deliver_both_and_what_they_leave_behind_is_adopted() -> Result<()> {
    let mut dice = Dice::new()?;
    let mut pipeline = Pipeline::start(PipelineOptions::default()).await?;
    // Each listens to a broker of its own, so that what each took in can be told apart.
    pipeline.start_agent()?;
    let second = pipeline.another_agent("second", 1)?;
    let (mut feed, mut other) = (pipeline.feed(0, &dice).await?, pipeline.feed(1, &dice).await?);
    feed.publish(1_000).await?;
    other.publish(1_000).await?;
    let both = eventually("both delivering", async || {
        for task in [feed.first_task(), other.first_task()] {
            pipeline.api.get(&format!("tasks/celery/{task}")).await?;
        }
        Ok((pipeline.connections().await? == 2).then_some(()))
    });
    both.await.with_context(|| pipeline.logs())?;
    assert_eq!(streams(&pipeline)?, 2);

    // Both are killed with batches that the brain has never seen.
    pipeline.kill_brain().await?;
    feed.publish(2_000).await?;
    other.publish(2_000).await?;
    let buffers = pipeline.agent_site.from_outside();
    eventually("both buffers filled", async || {
        let all = captured(&buffers, feed.epoch())? == 3_000 && captured(&buffers, other.epoch())? == 3_000;
        Ok(all.then_some(()))
    })
    .await?;
    second.kill().await?;
    other.begin_epoch(&buffers)?;
    pipeline.kill_agent(&mut feed).await?;

    // One process finds both, continues one and adopts the other.
    pipeline.start_brain().await?;
    pipeline.start_agent()?;
    pipeline.is_heard(&mut feed).await?;
    feed.publish(500).await?;
    pipeline.drain(&mut feed).await?;
    let adopted =
        eventually("the leftovers delivered and gone", async || Ok((streams(&pipeline)? == 1).then_some(()))).await;
    adopted.with_context(|| pipeline.logs())?;
    let epochs = [feed.epochs(), other.closed_epochs()].concat();
    let account = account(&pipeline.api, &epochs, &mut dice).await.with_context(|| pipeline.logs())?;
    assert_eq!(account.unheard, 0, "all of it had been taken in");
    Ok(())
}

/// How many folders of streams there are.
fn streams(pipeline: &Pipeline) -> Result<usize> {
    Ok(std::fs::read_dir(pipeline.agent_site.from_outside().join("streams"))?.count())
}
