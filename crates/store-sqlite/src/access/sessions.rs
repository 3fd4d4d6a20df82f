//! Sign-in links and sessions.

use rusqlite::{OptionalExtension, params};
use taskplane_model::Timestamp;
use taskplane_model::access::Role;
use taskplane_store::access::{SecretHash, SessionGrant};

use super::{claim, new_id, role};
use crate::errors::Done;
use crate::readers::View;
use crate::writer::Tx;

pub(super) fn create_link(tx: &Tx<'_>, hash: &SecretHash, role: Role, expires: Timestamp, now: Timestamp) -> Done<()> {
    let sql = "INSERT INTO signin_links (hash, role, created_at, expires) VALUES (?1, ?2, ?3, ?4)";
    tx.db.prepare_cached(sql)?.execute(params![hash, role as u8, now.0, expires.0])?;
    claim(tx, now)
}

pub(super) fn redeem(
    tx: &Tx<'_>,
    link: &SecretHash,
    session: &SecretHash,
    session_expires: Timestamp,
    now: Timestamp,
) -> Done<Option<SessionGrant>> {
    let sql =
        "UPDATE signin_links SET used_at = ?2 WHERE hash = ?1 AND used_at IS NULL AND expires > ?2 RETURNING role";
    let used: Option<u8> = tx.db.prepare_cached(sql)?.query_row(params![link, now.0], |row| row.get(0)).optional()?;
    let Some(number) = used else { return Ok(None) };
    // Nobody misses a session that has expired.
    tx.db.prepare_cached("DELETE FROM sessions WHERE expires <= ?1")?.execute([now.0])?;
    let id = new_id(now);
    let sql = "INSERT INTO sessions (hash, id, role, created_at, expires) VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.db.prepare_cached(sql)?.execute(params![session, id, number, now.0, session_expires.0])?;
    Ok(Some(SessionGrant { id, role: role(number)?, expires: session_expires }))
}

pub(super) fn find(view: &View<'_>, hash: &SecretHash, now: Timestamp) -> Done<Option<SessionGrant>> {
    let sql = "SELECT id, role, expires FROM sessions WHERE hash = ?1 AND expires > ?2";
    let found = view
        .db
        .prepare_cached(sql)?
        .query_row(params![hash, now.0], |row| Ok((row.get(0)?, row.get::<_, u8>(1)?, Timestamp(row.get(2)?))));
    let Some((id, number, expires)) = found.optional()? else { return Ok(None) };
    Ok(Some(SessionGrant { id, role: role(number)?, expires }))
}

pub(super) fn end(tx: &Tx<'_>, hash: &SecretHash) -> Done<()> {
    tx.db.prepare_cached("DELETE FROM sessions WHERE hash = ?1")?.execute([hash])?;
    Ok(())
}
