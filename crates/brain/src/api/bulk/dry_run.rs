//! What a job would do.

use std::collections::HashMap;

use crate::api::Problem;
use crate::api::types::{self, BulkDryRun, BulkPreview, BulkReason, BulkShare, BulkSource};
use crate::brain::Brain;
use crate::bulk::{Preview, Resolved, preview};

/// Shares that are named.
const NAMED: usize = 50;

pub(super) async fn dry_run(
    brain: &Brain,
    project: u64,
    actor: &str,
    resolved: Resolved,
) -> Result<BulkDryRun, Problem> {
    let Resolved { items, lanes, left_out, by_name, by_queue, by_state, truncated } = resolved;
    let known = preview(brain, project, actor, &lanes, &items).await?;
    let (by_name, other_names) = shares(by_name);
    let (by_queue, _) = shares(by_queue);
    let states = by_state.iter().map(|(state, count)| BulkShare { value: Some(state.name().into()), count: *count });
    Ok(BulkDryRun {
        total: by_state.values().sum(),
        truncated,
        retryable: items.len() as u64,
        not_retryable: left_out.into_iter().map(|(code, count)| reason(code, count, None)).collect(),
        agent_offline: known.agent_offline,
        by_name,
        other_names,
        by_state: states.collect(),
        by_queue,
        preview: of_agents(known),
    })
}

fn of_agents(known: Preview) -> BulkPreview {
    let Preview { asked, by_source, cannot, not_known, agent_offline: _, is_sample } = known;
    let source = |((source, lossless), count)| BulkSource { source, lossless, count };
    BulkPreview {
        asked,
        is_sample,
        by_source: by_source.into_iter().map(source).collect(),
        cannot: cannot.into_iter().map(|(code, (count, message))| reason(code, count, message)).collect(),
        not_known,
    }
}

fn reason(code: String, count: u64, message: Option<String>) -> BulkReason {
    let message = types::explain(&code).map(str::to_owned).or(message);
    BulkReason { code, count, message }
}

/// The most frequent ones, and how many more there are.
fn shares(counts: HashMap<Option<String>, u64>) -> (Vec<BulkShare>, u64) {
    let mut shares: Vec<BulkShare> = counts.into_iter().map(|(value, count)| BulkShare { value, count }).collect();
    shares.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    let more = shares.len().saturating_sub(NAMED) as u64;
    shares.truncate(NAMED);
    (shares, more)
}
