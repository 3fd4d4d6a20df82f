//! What agents tell of schedulers.

use std::collections::BTreeMap;

use taskplane_model::Timestamp;
use taskplane_store::Result;
use taskplane_store::fleet::SchedulesTold;

use crate::locks::project_number;
use crate::session::{Tx, to_json};
use crate::text::Text;

/// Keeps what was told.
pub(super) async fn keep(tx: &Tx, told: &SchedulesTold, now: Timestamp) -> Result<()> {
    let (project, agent) = (project_number(told.project), told.agent.cast_signed());
    let scheduler = Text(&told.scheduler);
    if told.full {
        let sql = "DELETE FROM schedules WHERE project = $1 AND agent = $2 AND scheduler = $3";
        tx.execute(sql, &[&project, &agent, &scheduler]).await?;
    }
    if !told.removed.is_empty() {
        let sql = "DELETE FROM schedules WHERE project = $1 AND agent = $2 AND scheduler = $3 AND id = ANY($4)";
        tx.execute(sql, &[&project, &agent, &scheduler, &Text::all(&told.removed)]).await?;
    }
    // Of several with one id, the last counts.
    let last: BTreeMap<&str, _> = told.schedules.iter().map(|schedule| (schedule.id.as_str(), schedule)).collect();
    if !last.is_empty() {
        let ids = Text::all(last.keys().copied());
        let data = last.values().map(to_json).collect::<Result<Vec<_>>>()?;
        let sql = "INSERT INTO schedules (project, agent, scheduler, id, data, synced_at)
            SELECT $1, $2, $3, n.id, n.data, $6 FROM unnest($4::text[], $5::text[]) AS n(id, data)
            ON CONFLICT (project, agent, scheduler, id) DO UPDATE SET data = excluded.data, synced_at = excluded.synced_at";
        tx.execute(sql, &[&project, &agent, &scheduler, &ids, &data, &now.0]).await?;
    }
    Ok(())
}
