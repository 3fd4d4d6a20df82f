//! Events that were not understood: the newest of each project are kept.

use taskplane_store::Result;
use taskplane_store::ingest::BatchToStore;

use crate::locks::project_number;
use crate::session::Session;
use crate::text::Text;

/// Rows kept per project.
const KEPT: i64 = 10_000;
/// Bytes kept of one event.
const MAX_RAW: usize = 16 * 1024;

/// What a group of batches had of them.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    projects: Vec<i32>,
    agents: Vec<i64>,
    received: Vec<i64>,
    reasons: Vec<Text<String>>,
    raws: Vec<Text<String>>,
}

impl Quarantine {
    /// Takes what one batch had.
    pub(super) fn take(&mut self, batch: &mut BatchToStore) {
        for event in std::mem::take(&mut batch.quarantined) {
            let mut raw = event.raw;
            raw.truncate(raw.floor_char_boundary(MAX_RAW));
            self.projects.push(project_number(batch.project));
            self.agents.push(batch.agent.cast_signed());
            self.received.push(batch.received_at.0);
            self.reasons.push(Text(event.reason));
            self.raws.push(Text(raw));
        }
    }

    /// Writes it down.
    pub(super) async fn store(self, session: &Session) -> Result<()> {
        if self.projects.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO quarantine (project, agent, received_at, reason, raw)
            SELECT * FROM unnest($1::int4[], $2::int8[], $3::int8[], $4::text[], $5::text[])";
        let Self { mut projects, agents, received, reasons, raws } = self;
        session.execute(sql, &[&projects, &agents, &received, &reasons, &raws]).await?;
        projects.sort_unstable();
        projects.dedup();
        let sql = "DELETE FROM quarantine WHERE project = $1 AND id <=
            (SELECT id FROM quarantine WHERE project = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
        for project in projects {
            session.execute(sql, &[&project, &KEPT]).await?;
        }
        Ok(())
    }
}
