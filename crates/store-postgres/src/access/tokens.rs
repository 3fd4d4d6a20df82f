//! Agent tokens.

use std::collections::HashSet;

use taskplane_model::Timestamp;
use taskplane_store::Result;
use taskplane_store::access::{AgentToken, NewAudit, SecretHash, TokenGrant};
use taskplane_store::backend::access::new_id;
use tokio_postgres::Row;

use super::{audit, project_id};
use crate::locks::project_number;
use crate::session::{Session, Tx, column};
use crate::text::{Text, maybe};

pub(super) async fn create(
    tx: &Tx,
    project: u64,
    agent: Option<String>,
    hash: &SecretHash,
    audit: &NewAudit,
    now: Timestamp,
) -> Result<AgentToken> {
    let id = new_id(now);
    let sql = "INSERT INTO agent_tokens (id, project, agent, hash, created_at) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, &[&id, &project_number(project), &maybe(agent.as_ref()), &&hash[..], &now.0]).await?;
    audit::append(tx, project, audit, None, now).await?;
    Ok(AgentToken { id, agent, created_at: now })
}

pub(super) async fn grant(session: &Session, hash: &SecretHash) -> Result<Option<TokenGrant>> {
    let sql = "SELECT id, project, agent FROM agent_tokens WHERE hash = $1 AND revoked_at IS NULL";
    let Some(row) = session.query_first(sql, &[&&hash[..]]).await? else { return Ok(None) };
    Ok(Some(TokenGrant { token_id: column(&row, 0)?, project: project_id(column(&row, 1)?)?, agent: agent(&row, 2)? }))
}

pub(super) async fn list(session: &Session, project: u64) -> Result<Vec<AgentToken>> {
    let sql =
        "SELECT id, agent, created_at FROM agent_tokens WHERE project = $1 AND revoked_at IS NULL ORDER BY number DESC";
    let rows = session.query(sql, &[&project_number(project)]).await?;
    let token = |row: &Row| {
        Ok(AgentToken { id: column(row, 0)?, agent: agent(row, 1)?, created_at: Timestamp(column(row, 2)?) })
    };
    rows.iter().map(token).collect()
}

pub(super) async fn revoke(tx: &Tx, project: u64, id: &str, audit: &NewAudit, now: Timestamp) -> Result<bool> {
    let sql = "UPDATE agent_tokens SET revoked_at = $3 WHERE project = $1 AND id = $2 AND revoked_at IS NULL";
    let revoked = tx.execute(sql, &[&project_number(project), &Text(id), &now.0]).await? == 1;
    if revoked {
        audit::append(tx, project, audit, None, now).await?;
    }
    Ok(revoked)
}

/// Which of these open nothing any more.
pub(super) async fn revoked(session: &Session, mut ids: Vec<String>) -> Result<Vec<String>> {
    if ids.is_empty() {
        return Ok(ids);
    }
    let sql = "SELECT id FROM agent_tokens WHERE id = ANY($1) AND revoked_at IS NULL";
    let rows = session.query(sql, &[&Text::all(&ids)]).await?;
    let valid = rows.iter().map(|row| column(row, 0)).collect::<Result<HashSet<&str>>>()?;
    ids.retain(|id| !valid.contains(id.as_str()));
    Ok(ids)
}

fn agent(row: &Row, at: usize) -> Result<Option<String>> {
    column::<Option<Text<String>>>(row, at).map(|name| name.map(|name| name.0))
}
