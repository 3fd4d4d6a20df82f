//! API keys.

use rusqlite::{OptionalExtension, params};
use taskplane_model::Timestamp;
use taskplane_model::access::Role;
use taskplane_store::access::{ApiKey, NewAudit, SecretHash};

use super::{audit, claim, new_id, role};
use crate::errors::Done;
use crate::readers::View;
use crate::writer::Tx;

pub(super) fn create(
    tx: &Tx<'_>,
    project: u64,
    role: Role,
    hash: &SecretHash,
    audit: &NewAudit,
    now: Timestamp,
) -> Done<ApiKey> {
    let id = new_id(now);
    let sql = "INSERT INTO api_keys (id, project, role, hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.db.prepare_cached(sql)?.execute(params![id, project.cast_signed(), role as u8, hash, now.0])?;
    claim(tx, now)?;
    audit::append(tx, project, audit, None, now)?;
    Ok(ApiKey { id, project, role })
}

pub(super) fn find(view: &View<'_>, hash: &SecretHash) -> Done<Option<ApiKey>> {
    let sql = "SELECT id, project, role FROM api_keys WHERE hash = ?1";
    let found = view
        .db
        .prepare_cached(sql)?
        .query_row([hash], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, u8>(2)?)));
    let Some((id, project, number)) = found.optional()? else { return Ok(None) };
    Ok(Some(ApiKey { id, project, role: role(number)? }))
}
