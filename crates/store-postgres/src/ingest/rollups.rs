//! Statistics: the changes of a group are added up in memory, and written once.

use std::collections::HashMap;

use taskplane_model::TaskRecord;
use taskplane_model::rollup::{Rollup, contribute};
use taskplane_store::Result;
use taskplane_store::backend::hashing::FastHash;
use taskplane_store::backend::stats::{decode, encode};

use crate::locks::project_number;
use crate::names::term_column;
use crate::session::{Session, column};

const FIND: &str = "SELECT n.at, r.data FROM unnest($1::int4[], $2::int8[], $3::int4[], $4::int4[])
    WITH ORDINALITY AS n(project, minute, name, queue, at)
    JOIN rollups r ON r.project = n.project AND r.minute = n.minute AND r.name = n.name AND r.queue = n.queue";
// Whatever changes a minute marks it as not folded. Under the project's lock, so no mark is missed and none is waited for.
pub(super) const PUT: &str = "WITH marked AS (INSERT INTO unfolded (span, start, project, stamp)
        SELECT DISTINCT 1, minute, project, 0 FROM unnest($1::int4[], $2::int8[]) AS n(project, minute)
        ON CONFLICT DO NOTHING)
    INSERT INTO rollups (project, minute, name, queue, data)
    SELECT * FROM unnest($1::int4[], $2::int8[], $3::int4[], $4::int4[], $5::bytea[])
    ON CONFLICT (project, minute, name, queue) DO UPDATE SET data = excluded.data";
const REMOVE: &str = "WITH marked AS (INSERT INTO unfolded (span, start, project, stamp)
        SELECT DISTINCT 1, minute, project, 0 FROM unnest($1::int4[], $2::int8[]) AS n(project, minute)
        ON CONFLICT DO NOTHING)
    DELETE FROM rollups r USING unnest($1::int4[], $2::int8[], $3::int4[], $4::int4[])
    AS n(project, minute, name, queue)
    WHERE r.project = n.project AND r.minute = n.minute AND r.name = n.name AND r.queue = n.queue";

/// Whose statistics: project, task type and queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Series {
    pub(crate) project: u64,
    pub(crate) name: i64,
    pub(crate) queue: i64,
}

/// What is to be added to stored rows.
#[derive(Debug, Default)]
pub(crate) struct RollupChanges(HashMap<(Series, i64), Rollup, FastHash>);

/// Keys of rows, column by column.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    projects: Vec<i32>,
    minutes: Vec<i64>,
    names: Vec<i32>,
    queues: Vec<i32>,
}

/// Rows as they are to be.
#[derive(Debug, Default)]
pub(crate) struct NewRollups {
    put: Keys,
    data: Vec<Vec<u8>>,
    remove: Keys,
}

impl RollupChanges {
    /// Adds (`sign` 1) or takes back (`sign` −1) what `record` contributes.
    pub(crate) fn count(&mut self, series: Series, record: &TaskRecord, sign: i64) {
        contribute(record, sign, |minute, change| change(self.0.entry((series, minute)).or_default()));
    }

    /// Reads the rows, and returns what is to become of them.
    pub(crate) async fn add_to_stored(mut self, session: &Session) -> Result<NewRollups> {
        self.0.retain(|_, change| !change.is_empty());
        let mut new = NewRollups::default();
        if self.0.is_empty() {
            return Ok(new);
        }
        let mut changes: Vec<((Series, i64), Rollup)> = self.0.into_iter().collect();
        changes.sort_unstable_by_key(|((series, minute), _)| (series.project, *minute, series.name, series.queue));
        let mut all = Keys::default();
        for ((series, minute), _) in &changes {
            all.push(*series, *minute)?;
        }
        let rows = session.query(FIND, &[&all.projects, &all.minutes, &all.names, &all.queues]).await?;
        let mut is_stored = vec![false; changes.len()];
        for row in &rows {
            let at = usize::try_from(column::<i64>(row, 0)? - 1).unwrap_or(usize::MAX);
            if let Some((_, change)) = changes.get_mut(at) {
                change.merge(&decode(column(row, 1)?)?);
                is_stored[at] = true;
            }
        }
        for (((series, minute), rollup), is_stored) in changes.into_iter().zip(is_stored) {
            if rollup.is_empty() {
                if is_stored {
                    new.remove.push(series, minute)?;
                }
                continue;
            }
            new.put.push(series, minute)?;
            let mut bytes = Vec::new();
            encode(&rollup, &mut bytes)?;
            new.data.push(bytes);
        }
        Ok(new)
    }
}

impl Keys {
    fn push(&mut self, series: Series, minute: i64) -> Result<()> {
        self.projects.push(project_number(series.project));
        self.minutes.push(minute);
        self.names.push(term_column(series.name)?);
        self.queues.push(term_column(series.queue)?);
        Ok(())
    }
}

impl NewRollups {
    /// Writes rows down. On its way when first polled, if `put` is [`PUT`], prepared, and nothing is to be removed.
    pub(crate) async fn store(&self, session: &Session, put: &tokio_postgres::Statement) -> Result<()> {
        let Keys { projects, minutes, names, queues } = &self.put;
        if !projects.is_empty() {
            session.run(put, &[projects, minutes, names, queues, &self.data]).await?;
        }
        Ok(())
    }

    /// Removes the rows of what came to nothing.
    pub(crate) async fn remove_empty(&self, session: &Session) -> Result<()> {
        let Keys { projects, minutes, names, queues } = &self.remove;
        if !projects.is_empty() {
            session.execute(REMOVE, &[projects, minutes, names, queues]).await?;
        }
        Ok(())
    }
}
