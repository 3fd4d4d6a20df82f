//! Signs of life, and what is wrong with agents.

use taskplane_store::Result;
use taskplane_store::backend::agent_notes::AgentNotes;
use taskplane_store::fleet::Heard;

use crate::locks;
use crate::session::{Session, Tx, column, to_json};

/// Writes down what a group of batches told.
pub(super) async fn store(session: &Session, notes: AgentNotes) -> Result<()> {
    let notes = notes.into_map();
    if notes.is_empty() {
        return Ok(());
    }
    let agents: Vec<i64> = notes.keys().map(|agent| agent.cast_signed()).collect();
    let seen: Vec<i64> = notes.values().map(|note| note.last_seen.0).collect();
    let lost: Vec<i64> = notes.values().map(|note| note.lost.cast_signed()).collect();
    let quarantined: Vec<i64> = notes.values().map(|note| note.quarantined.cast_signed()).collect();
    let problems: Vec<Option<&str>> = notes.values().map(|note| note.problem).collect();
    let sql = "UPDATE agents a SET last_seen_at = greatest(a.last_seen_at, n.seen), lost_batches = a.lost_batches + n.lost,
            quarantined_events = a.quarantined_events + n.quarantined, problem = coalesce(n.problem, a.problem)
        FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::text[]) AS n(id, seen, lost, quarantined, problem)
        WHERE a.id = n.id";
    session.execute(sql, &[&agents, &seen, &lost, &quarantined, &problems]).await?;
    Ok(())
}

/// Notes when agents were last heard, and what they said of themselves.
pub(super) async fn note(tx: &Tx, heard: &[Heard]) -> Result<()> {
    let agents: Vec<i64> = heard.iter().map(|one| one.agent.cast_signed()).collect();
    let sql = "SELECT DISTINCT project FROM agents WHERE id = ANY($1) ORDER BY project";
    let rows = tx.query(sql, &[&agents]).await?;
    let projects = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<i32>>>()?;
    tx.query(locks::PROJECTS, &[&projects]).await?;
    let seen: Vec<i64> = heard.iter().map(|one| one.at.0).collect();
    let text = |told: Option<Result<String>>| told.transpose();
    let buffers = heard.iter().map(|one| text(one.buffer.as_ref().map(to_json))).collect::<Result<Vec<_>>>()?;
    let adapters = heard.iter().map(|one| text(one.adapters.as_ref().map(to_json))).collect::<Result<Vec<_>>>()?;
    // Of several words of one agent the last one counts, of each kind.
    let sql = "UPDATE agents a SET last_seen_at = greatest(a.last_seen_at, n.seen), buffer = coalesce(n.buffer, a.buffer),
            adapters = coalesce(n.adapters, a.adapters)
        FROM (SELECT id, max(seen) AS seen,
                (array_agg(buffer ORDER BY at DESC) FILTER (WHERE buffer IS NOT NULL))[1] AS buffer,
                (array_agg(adapters ORDER BY at DESC) FILTER (WHERE adapters IS NOT NULL))[1] AS adapters
            FROM unnest($1::int8[], $2::int8[], $3::text[], $4::text[]) WITH ORDINALITY AS told(id, seen, buffer, adapters, at)
            GROUP BY id) AS n
        WHERE a.id = n.id";
    tx.execute(sql, &[&agents, &seen, &buffers, &adapters]).await?;
    Ok(())
}
