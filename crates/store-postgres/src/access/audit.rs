//! Who did what.

use taskplane_model::Timestamp;
use taskplane_store::Result;
use taskplane_store::access::{AuditEntry, NewAudit};
use taskplane_store::backend::paging;
use taskplane_store::tasks::Page;
use tokio_postgres::Row;

use crate::locks::project_number;
use crate::session::{Session, Tx, column};
use crate::text::{Text, maybe};

/// Appends an entry.
pub(crate) async fn append(
    tx: &Tx,
    project: u64,
    what: &NewAudit,
    command: Option<&String>,
    now: Timestamp,
) -> Result<()> {
    let sql = "INSERT INTO audit (project, at, actor, action, target, detail, command_id) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let NewAudit { actor, action, target, detail } = what;
    let (target, detail) = (maybe(target.as_ref()), maybe(detail.as_ref()));
    tx.execute(
        sql,
        &[&project_number(project), &now.0, &Text(actor), &Text(action), &target, &detail, &maybe(command)],
    )
    .await?;
    Ok(())
}

/// Entries, newest first.
pub(super) async fn list(session: &Session, project: u64, page: &Page) -> Result<(Vec<AuditEntry>, Option<String>)> {
    let sql = "SELECT id, at, actor, action, target, detail, command_id FROM audit
        WHERE project = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
    let (below, most) = (paging::below(page), paging::fetch(page));
    let rows = session.query(sql, &[&project_number(project), &below, &most]).await?;
    Ok(paging::page(rows.iter().map(entry).collect::<Result<_>>()?, page))
}

fn entry(row: &Row) -> Result<(i64, AuditEntry)> {
    let maybe = |at: usize| column::<Option<Text<String>>>(row, at).map(|text| text.map(|text| text.0));
    let (id, Text(actor), Text(action)) = (column::<i64>(row, 0)?, column(row, 2)?, column(row, 3)?);
    let what = NewAudit { actor, action, target: maybe(4)?, detail: maybe(5)? };
    Ok((id, AuditEntry { id: id.cast_unsigned(), at: Timestamp(column(row, 1)?), what, command_id: maybe(6)? }))
}
