//! Who may come in.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};
use taskplane_model::Timestamp;
use taskplane_model::access::Role;
use taskplane_store::access::{
    AgentToken, ApiKey, AuditEntry, NewAudit, Project, SecretHash, SessionGrant, TokenGrant,
};
use taskplane_store::backend::access::{new_id, role};
use taskplane_store::tasks::Page;
use taskplane_store::{AccessStore, Result};

use crate::SqliteStore;
use crate::errors::Done;
use crate::writer::Tx;

pub(crate) mod audit;
mod keys;
mod sessions;
mod tokens;

#[async_trait]
impl AccessStore for SqliteStore {
    async fn project(&self, name: &str) -> Result<Option<Project>> {
        let name = name.to_owned();
        self.read(move |view| {
            let sql = "SELECT id FROM projects WHERE name = ?1";
            let id: Option<i64> = view.db.prepare_cached(sql)?.query_row([&name], |row| row.get(0)).optional()?;
            Ok(id.map(|id| Project { id: id.cast_unsigned(), name }))
        })
        .await
    }

    async fn projects(&self) -> Result<Vec<Project>> {
        self.read(|view| {
            let mut select = view.db.prepare_cached("SELECT id, name FROM projects ORDER BY name")?;
            let projects = select
                .query_map([], |row| Ok(Project { id: row.get::<_, i64>(0)?.cast_unsigned(), name: row.get(1)? }))?;
            Ok(projects.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn create_agent_token(
        &self,
        project: u64,
        agent: Option<&str>,
        hash: SecretHash,
        audit: NewAudit,
        now: Timestamp,
    ) -> Result<AgentToken> {
        let agent = agent.map(str::to_owned);
        self.write(move |tx| tokens::create(tx, project, agent, &hash, &audit, now)).await
    }

    async fn agent_token(&self, hash: SecretHash) -> Result<Option<TokenGrant>> {
        self.read(move |view| tokens::grant(view, &hash)).await
    }

    async fn agent_tokens(&self, project: u64) -> Result<Vec<AgentToken>> {
        self.read(move |view| tokens::list(view, project)).await
    }

    async fn revoke_agent_token(&self, project: u64, id: &str, audit: NewAudit, now: Timestamp) -> Result<bool> {
        let id = id.to_owned();
        self.write(move |tx| tokens::revoke(tx, project, &id, &audit, now)).await
    }

    async fn revoked_agent_tokens(&self, ids: Vec<String>) -> Result<Vec<String>> {
        self.read(move |view| tokens::revoked(view, &ids)).await
    }

    async fn create_api_key(
        &self,
        project: u64,
        role: Role,
        hash: SecretHash,
        audit: NewAudit,
        now: Timestamp,
    ) -> Result<ApiKey> {
        self.write(move |tx| keys::create(tx, project, role, &hash, &audit, now)).await
    }

    async fn api_key(&self, hash: SecretHash) -> Result<Option<ApiKey>> {
        self.read(move |view| keys::find(view, &hash)).await
    }

    async fn is_unclaimed(&self) -> Result<bool> {
        self.read(|view| {
            let sql = "SELECT count(*) FROM settings WHERE name = 'claimed'";
            Ok(view.db.query_row(sql, [], |row| row.get::<_, i64>(0))? == 0)
        })
        .await
    }

    async fn create_signin_link(&self, hash: SecretHash, role: Role, expires: Timestamp, now: Timestamp) -> Result<()> {
        self.write(move |tx| sessions::create_link(tx, &hash, role, expires, now)).await
    }

    async fn redeem_signin_link(
        &self,
        link: SecretHash,
        session: SecretHash,
        session_expires: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionGrant>> {
        self.write(move |tx| sessions::redeem(tx, &link, &session, session_expires, now)).await
    }

    async fn session(&self, hash: SecretHash, now: Timestamp) -> Result<Option<SessionGrant>> {
        self.read(move |view| sessions::find(view, &hash, now)).await
    }

    async fn end_session(&self, hash: SecretHash, _now: Timestamp) -> Result<()> {
        self.write(move |tx| sessions::end(tx, &hash)).await
    }

    async fn audit(&self, project: u64, page: Page) -> Result<(Vec<AuditEntry>, Option<String>)> {
        self.read(move |view| audit::list(view, project, &page)).await
    }
}

/// Remembers for good that somebody has been let in: this is no first start any more.
fn claim(tx: &Tx<'_>, now: Timestamp) -> Done<()> {
    let sql = "INSERT OR IGNORE INTO settings (name, value) VALUES ('claimed', ?1)";
    tx.db.prepare_cached(sql)?.execute(params![now.0])?;
    Ok(())
}
