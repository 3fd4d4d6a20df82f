//! Sign-in links and sessions.

use taskplane_model::Timestamp;
use taskplane_model::access::Role;
use taskplane_store::Result;
use taskplane_store::access::{SecretHash, SessionGrant};
use taskplane_store::backend::access::new_id;

use super::{claim, role};
use crate::session::{Session, Tx, column};

pub(super) async fn create_link(
    tx: &Tx,
    hash: &SecretHash,
    role: Role,
    expires: Timestamp,
    now: Timestamp,
) -> Result<()> {
    let sql = "INSERT INTO signin_links (hash, role, created_at, expires) VALUES ($1, $2, $3, $4)";
    let number = role as i16;
    tx.execute(sql, &[&&hash[..], &number, &now.0, &expires.0]).await?;
    claim(tx, now).await
}

pub(super) async fn redeem(
    tx: &Tx,
    link: &SecretHash,
    session: &SecretHash,
    session_expires: Timestamp,
    now: Timestamp,
) -> Result<Option<SessionGrant>> {
    let sql =
        "UPDATE signin_links SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires > $2 RETURNING role";
    let Some(used) = tx.query_first(sql, &[&&link[..], &now.0]).await? else { return Ok(None) };
    // Nobody misses a session that has expired. What somebody else is about to remove is left to them.
    let sql =
        "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires <= $1 FOR UPDATE SKIP LOCKED)";
    tx.execute(sql, &[&now.0]).await?;
    let (id, number) = (new_id(now), column::<i16>(&used, 0)?);
    let sql = "INSERT INTO sessions (hash, id, role, created_at, expires) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, &[&&session[..], &id, &number, &now.0, &session_expires.0]).await?;
    Ok(Some(SessionGrant { id, role: role(&used, 0)?, expires: session_expires }))
}

pub(super) async fn find(session: &Session, hash: &SecretHash, now: Timestamp) -> Result<Option<SessionGrant>> {
    let sql = "SELECT id, role, expires FROM sessions WHERE hash = $1 AND expires > $2";
    let Some(row) = session.query_first(sql, &[&&hash[..], &now.0]).await? else { return Ok(None) };
    Ok(Some(SessionGrant { id: column(&row, 0)?, role: role(&row, 1)?, expires: Timestamp(column(&row, 2)?) }))
}
