//! Who may come in.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_model::access::Role;
use taskplane_store::access::{
    AgentToken, ApiKey, AuditEntry, NewAudit, Project, SecretHash, SessionGrant, TokenGrant,
};
use taskplane_store::backend::{access, corrupt};
use taskplane_store::tasks::Page;
use taskplane_store::{AccessStore, Result};
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::session::{Tx, column};
use crate::text::Text;

pub(crate) mod audit;
mod keys;
mod sessions;
mod tokens;

#[async_trait]
impl AccessStore for PostgresStore {
    async fn project(&self, name: &str) -> Result<Option<Project>> {
        let session = self.reading().await?;
        let row = session.query_first("SELECT id, name FROM projects WHERE name = $1", &[&Text(name)]).await?;
        row.as_ref().map(project).transpose()
    }

    async fn projects(&self) -> Result<Vec<Project>> {
        let sql = "SELECT id, name FROM projects ORDER BY name COLLATE \"C\"";
        self.reading().await?.query(sql, &[]).await?.iter().map(project).collect()
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
        self.to_the_end(async move |store| {
            let tx = store.begin().await?;
            let token = tokens::create(&tx, project, agent, &hash, &audit, now).await?;
            tx.commit().await?;
            Ok(token)
        })
        .await
    }

    async fn agent_token(&self, hash: SecretHash) -> Result<Option<TokenGrant>> {
        tokens::grant(&self.reading().await?, &hash).await
    }

    async fn agent_tokens(&self, project: u64) -> Result<Vec<AgentToken>> {
        tokens::list(&self.reading().await?, project).await
    }

    async fn revoke_agent_token(&self, project: u64, id: &str, audit: NewAudit, now: Timestamp) -> Result<bool> {
        let id = id.to_owned();
        self.to_the_end(async move |store| {
            let tx = store.begin().await?;
            let revoked = tokens::revoke(&tx, project, &id, &audit, now).await?;
            tx.commit().await?;
            Ok(revoked)
        })
        .await
    }

    async fn revoked_agent_tokens(&self, ids: Vec<String>) -> Result<Vec<String>> {
        tokens::revoked(&self.reading().await?, ids).await
    }

    async fn create_api_key(
        &self,
        project: u64,
        role: Role,
        hash: SecretHash,
        audit: NewAudit,
        now: Timestamp,
    ) -> Result<ApiKey> {
        self.to_the_end(async move |store| {
            let tx = store.begin().await?;
            let key = keys::create(&tx, project, role, &hash, &audit, now).await?;
            tx.commit().await?;
            Ok(key)
        })
        .await
    }

    async fn api_key(&self, hash: SecretHash) -> Result<Option<ApiKey>> {
        keys::find(&self.reading().await?, &hash).await
    }

    async fn is_unclaimed(&self) -> Result<bool> {
        let sql = "SELECT FROM settings WHERE name = 'claimed'";
        Ok(self.reading().await?.query_first(sql, &[]).await?.is_none())
    }

    async fn create_signin_link(&self, hash: SecretHash, role: Role, expires: Timestamp, now: Timestamp) -> Result<()> {
        self.to_the_end(async move |store| {
            let tx = store.begin().await?;
            sessions::create_link(&tx, &hash, role, expires, now).await?;
            tx.commit().await
        })
        .await
    }

    async fn redeem_signin_link(
        &self,
        link: SecretHash,
        session: SecretHash,
        session_expires: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionGrant>> {
        self.to_the_end(async move |store| {
            let tx = store.begin().await?;
            let grant = sessions::redeem(&tx, &link, &session, session_expires, now).await?;
            tx.commit().await?;
            Ok(grant)
        })
        .await
    }

    async fn session(&self, hash: SecretHash, now: Timestamp) -> Result<Option<SessionGrant>> {
        sessions::find(&self.reading().await?, &hash, now).await
    }

    async fn end_session(&self, hash: SecretHash, _now: Timestamp) -> Result<()> {
        self.to_the_end(async move |store| {
            let session = store.writing().await?;
            session.execute("DELETE FROM sessions WHERE hash = $1", &[&&hash[..]]).await?;
            Ok(())
        })
        .await
    }

    async fn audit(&self, project: u64, page: Page) -> Result<(Vec<AuditEntry>, Option<String>)> {
        audit::list(&self.reading().await?, project, &page).await
    }
}

fn project(row: &Row) -> Result<Project> {
    let (id, Text(name)): (i32, Text<String>) = (column(row, 0)?, column(row, 1)?);
    Ok(Project { id: project_id(id)?, name })
}

/// A project's number as everybody else has it.
fn project_id(column: i32) -> Result<u64> {
    u64::try_from(column).map_err(|_| corrupt("a project has a negative number"))
}

/// Remembers for good that somebody has been let in: this is no first start any more.
async fn claim(tx: &Tx, now: Timestamp) -> Result<()> {
    tx.execute("INSERT INTO settings (name, value) VALUES ('claimed', $1) ON CONFLICT DO NOTHING", &[&now.0]).await?;
    Ok(())
}

fn role(row: &Row, at: usize) -> Result<Role> {
    access::role(u8::try_from(column::<i16>(row, at)?).unwrap_or(u8::MAX))
}
