//! API keys.

use taskplane_model::Timestamp;
use taskplane_model::access::Role;
use taskplane_store::Result;
use taskplane_store::access::{ApiKey, NewAudit, SecretHash};
use taskplane_store::backend::access::new_id;

use super::{audit, claim, project_id, role};
use crate::locks::project_number;
use crate::session::{Session, Tx, column};

pub(super) async fn create(
    tx: &Tx,
    project: u64,
    role: Role,
    hash: &SecretHash,
    audit: &NewAudit,
    now: Timestamp,
) -> Result<ApiKey> {
    let id = new_id(now);
    let sql = "INSERT INTO api_keys (id, project, role, hash, created_at) VALUES ($1, $2, $3, $4, $5)";
    let number = role as i16;
    tx.execute(sql, &[&id, &project_number(project), &number, &&hash[..], &now.0]).await?;
    claim(tx, now).await?;
    audit::append(tx, project, audit, None, now).await?;
    Ok(ApiKey { id, project, role })
}

pub(super) async fn find(session: &Session, hash: &SecretHash) -> Result<Option<ApiKey>> {
    let sql = "SELECT id, project, role FROM api_keys WHERE hash = $1";
    let Some(row) = session.query_first(sql, &[&&hash[..]]).await? else { return Ok(None) };
    Ok(Some(ApiKey { id: column(&row, 0)?, project: project_id(column(&row, 1)?)?, role: role(&row, 2)? }))
}
