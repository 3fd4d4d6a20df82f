//! Agent tokens.

use rusqlite::{OptionalExtension, params};
use taskplane_model::Timestamp;
use taskplane_store::access::{AgentToken, NewAudit, SecretHash, TokenGrant};

use super::{audit, new_id};
use crate::errors::Done;
use crate::readers::View;
use crate::writer::Tx;

pub(super) fn create(
    tx: &Tx<'_>,
    project: u64,
    agent: Option<String>,
    hash: &SecretHash,
    audit: &NewAudit,
    now: Timestamp,
) -> Done<AgentToken> {
    let id = new_id(now);
    let sql = "INSERT INTO agent_tokens (id, project, agent, hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.db.prepare_cached(sql)?.execute(params![id, project.cast_signed(), agent, hash, now.0])?;
    audit::append(tx, project, audit, None, now)?;
    Ok(AgentToken { id, agent, created_at: now })
}

pub(super) fn grant(view: &View<'_>, hash: &SecretHash) -> Done<Option<TokenGrant>> {
    let sql = "SELECT id, project, agent FROM agent_tokens WHERE hash = ?1 AND revoked_at IS NULL";
    let grant = view.db.prepare_cached(sql)?.query_row([hash], |row| {
        Ok(TokenGrant { token_id: row.get(0)?, project: row.get::<_, i64>(1)?.cast_unsigned(), agent: row.get(2)? })
    });
    Ok(grant.optional()?)
}

pub(super) fn list(view: &View<'_>, project: u64) -> Done<Vec<AgentToken>> {
    let sql =
        "SELECT id, agent, created_at FROM agent_tokens WHERE project = ?1 AND revoked_at IS NULL ORDER BY number DESC";
    let mut select = view.db.prepare_cached(sql)?;
    let tokens = select.query_map([project.cast_signed()], |row| {
        Ok(AgentToken { id: row.get(0)?, agent: row.get(1)?, created_at: Timestamp(row.get(2)?) })
    })?;
    Ok(tokens.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn revoke(tx: &Tx<'_>, project: u64, id: &str, audit: &NewAudit, now: Timestamp) -> Done<bool> {
    let sql = "UPDATE agent_tokens SET revoked_at = ?3 WHERE project = ?1 AND id = ?2 AND revoked_at IS NULL";
    let revoked = tx.db.prepare_cached(sql)?.execute(params![project.cast_signed(), id, now.0])? == 1;
    if revoked {
        audit::append(tx, project, audit, None, now)?;
    }
    Ok(revoked)
}

pub(super) fn revoked(view: &View<'_>, ids: &[String]) -> Done<Vec<String>> {
    let sql = "SELECT value FROM json_each(?1) \
               WHERE NOT EXISTS (SELECT 1 FROM agent_tokens WHERE id = value AND revoked_at IS NULL)";
    let mut select = view.db.prepare_cached(sql)?;
    let revoked = select.query_map([serde_json::to_string(ids)?], |row| row.get(0))?;
    Ok(revoked.collect::<rusqlite::Result<_>>()?)
}
