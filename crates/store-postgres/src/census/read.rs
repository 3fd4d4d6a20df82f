//! What a count reads of censuses, in a transaction that sees one snapshot.

use taskplane_store::Result;
use taskplane_store::backend::census::count::Outline;
use taskplane_store::backend::search::lookup::Rows;

use super::censuses;
use crate::retention::dropped_below;
use crate::session::{Tx, column};

/// What there is of censuses between two keys, for a project.
pub(crate) async fn outline(tx: &Tx, project: i32, from: i64, below: i64) -> Result<Outline> {
    let sql = "SELECT key FROM census_changes WHERE key >= $1 AND key < $2";
    let changed = tx.query(sql, &[&from, &below]).await?;
    let (dropped_below, first) = dropped_below(tx, project).await?;
    Ok(Outline {
        censuses: censuses(tx, from, below).await?,
        changed: changed.iter().map(|row| column(row, 0)).collect::<Result<_>>()?,
        dropped_below,
        first,
    })
}

/// The rows at these places, as far as they are there.
pub(crate) async fn rows(tx: &Tx, places: Vec<i64>) -> Result<Rows> {
    let mut rows = Rows::default();
    if !places.is_empty() {
        for row in tx.query("SELECT place, body FROM census_rows WHERE place = ANY($1)", &[&places]).await? {
            rows.insert(column(&row, 0)?, column(&row, 1)?);
        }
    }
    Ok(rows)
}
