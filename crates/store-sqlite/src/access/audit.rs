//! Who did what.

use rusqlite::params;
use taskplane_model::Timestamp;
use taskplane_store::access::{AuditEntry, NewAudit};
use taskplane_store::tasks::Page;

use crate::errors::Done;
use crate::paging;
use crate::readers::View;
use crate::writer::Tx;

/// Appends an entry.
pub(crate) fn append(tx: &Tx<'_>, project: u64, what: &NewAudit, command: Option<&str>, now: Timestamp) -> Done<()> {
    let sql = "INSERT INTO audit (project, at, actor, action, target, detail, command_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let NewAudit { actor, action, target, detail } = what;
    let values = params![project.cast_signed(), now.0, actor, action, target, detail, command];
    tx.db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Entries, newest first.
pub(super) fn list(view: &View<'_>, project: u64, page: &Page) -> Done<(Vec<AuditEntry>, Option<String>)> {
    let sql = "SELECT id, at, actor, action, target, detail, command_id FROM audit
        WHERE project = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
    let mut select = view.db.prepare_cached(sql)?;
    let rows = select.query_map(params![project.cast_signed(), paging::below(page), paging::fetch(page)], |row| {
        let id: i64 = row.get(0)?;
        let what = NewAudit { actor: row.get(2)?, action: row.get(3)?, target: row.get(4)?, detail: row.get(5)? };
        Ok((id, AuditEntry { id: id.cast_unsigned(), at: Timestamp(row.get(1)?), what, command_id: row.get(6)? }))
    })?;
    Ok(paging::page(rows.collect::<rusqlite::Result<_>>()?, page))
}
