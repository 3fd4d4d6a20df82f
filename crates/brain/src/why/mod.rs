//! "Why is this not running?", answered for one task.
//!
//! [`look`](look::look) reads what is known of the task and of what it waits for; [`inquiry`] has the agent look at the broker and ask the
//! workers, if somebody wants that; [`judge`](judge::judge) makes reasons of it, and is pure. No reason says more than what is known: each
//! tells how and when it was.

mod facts;
mod inquiry;
mod judge;
mod look;
mod phrases;
mod summary;
mod told;

pub(crate) use inquiry::{AskError, Inquiries};

use taskplane_model::Timestamp;
use taskplane_store::StoreError;
use taskplane_store::tasks::StoredTask;

use crate::api::types::{TaskState, Why};
use crate::brain::Brain;
use crate::clock;
use inquiry::Asked;

/// Answers for a task. With `asker`, its agent is asked as well.
///
/// # Errors
/// When the store cannot be read, or the agent is asked too often.
pub(crate) async fn answer(
    brain: &Brain,
    project: u64,
    stored: StoredTask,
    asker: Option<String>,
) -> Result<Why, AskError> {
    let is_open = |stored: &StoredTask| !stored.record.task().state.is_final();
    let Some(asker) = asker.filter(|_| is_open(&stored)) else {
        return Ok(judged(brain, project, stored, None, clock::now()).await?);
    };
    let asked = inquiry::ask(brain, project, &stored, asker).await?;
    // What the agent found, it has told as events as well.
    let again = brain.store.task(project, &stored.engine, &stored.task_id).await?;
    Ok(judged(brain, project, again.unwrap_or(stored), Some(asked), clock::now()).await?)
}

async fn judged(
    brain: &Brain,
    project: u64,
    stored: StoredTask,
    asked: Option<Asked>,
    now: Timestamp,
) -> Result<Why, StoreError> {
    let facts = look::look(brain, project, &stored, asked.as_ref(), now).await?;
    let (summary, reasons) = judge::judge(&facts, now);
    let state = TaskState::from(stored.record.task().state);
    let inquiry = asked.map(|asked| asked.inquiry);
    Ok(Why { engine: stored.engine, task_id: stored.task_id, state, summary, reasons, inquiry })
}
