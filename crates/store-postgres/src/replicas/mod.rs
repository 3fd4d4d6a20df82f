//! Brains that share this database.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_model::command::{Command, CommandOutcome};
use taskplane_store::replicas::{
    Bus, ConnectionChanges, GONE_AFTER, MAX_TOLD, NewReplica, PeerKey, Replica, ReplicaConnection, ReplicaStore,
    SharedStore, Vantage,
};
use taskplane_store::{Result, StoreError};
use tokio_postgres::Row;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::PostgresStore;
use crate::address::Address;
use crate::commands::finish;
use crate::locks::{self, project_number};
use crate::session::column;
use crate::text::{Text, maybe};

mod line;
mod parts;

use line::Line;

/// A brain that was without the database for longer begins to be steady anew.
const STEADY_GAP: Duration = Duration::from_secs(3);

/// Enters a replica that is not there, and else says that it lives.
const BEAT: &str = "INSERT INTO replicas AS r (run, name, peer_url, peer_key, reads, beat_at, steady_since, changes)
    VALUES ($1, $2, $3, $6, $4, clock_timestamp(), clock_timestamp(), nextval('replica_changes'))
    ON CONFLICT (run) DO UPDATE SET reads = excluded.reads, beat_at = excluded.beat_at, steady_since = CASE
        WHEN r.beat_at > clock_timestamp() - make_interval(secs => $5) THEN r.steady_since ELSE excluded.steady_since END";
/// Those that have been heard lately; and the others, too, as long as the one who asks has not been steady for just as long.
const HERE: &str =
    "SELECT r.run, r.name, r.peer_url, r.changes, r.reads, r.peer_key FROM replicas r, replicas me WHERE me.run = $1
    AND greatest(r.beat_at, me.steady_since) > clock_timestamp() - make_interval(secs => $2) ORDER BY r.run";
/// Not by one that has been silent itself: only its next beat says that it begins to be steady anew.
const BURY: &str = "DELETE FROM replicas r USING replicas me WHERE me.run = $1 AND r.run <> me.run
    AND me.beat_at > clock_timestamp() - make_interval(secs => $3) AND greatest(r.beat_at, me.steady_since) <= clock_timestamp() - make_interval(secs => $2)";
const BURY_CONNECTIONS: &str =
    "DELETE FROM replica_connections c WHERE NOT EXISTS (SELECT FROM replicas r WHERE r.run = c.run)";
/// Notes changes of connections, if the replica is there. All in one statement, so that all of it is there or nothing.
const NOTE: &str = "WITH old AS (SELECT changes FROM replicas WHERE run = $1 FOR UPDATE),
    new AS (UPDATE replicas SET changes = nextval('replica_changes') WHERE run = $1 AND EXISTS (SELECT FROM old) RETURNING changes),
    closed AS (DELETE FROM replica_connections c USING new WHERE c.run = $1 AND ($2 OR c.id = ANY($3)) AND c.id <> ALL($4)),
    opened AS (INSERT INTO replica_connections (run, id, project, agent, agent_name, stream, opening, engines, connected_at, captures, host, role)
        SELECT $1, o.id, o.project, o.agent, o.agent_name, o.stream, o.opening, string_to_array(o.engines, chr(1)), o.connected_at,
            string_to_array(o.captures, chr(1)), o.host, o.role
        FROM new, unnest($4::int8[], $5::int4[], $6::int8[], $7::text[], $8::int8[], $9::int8[], $10::text[], $11::int8[], $12::text[], $13::text[],
            $14::text[]) AS o(id, project, agent, agent_name, stream, opening, engines, connected_at, captures, host, role)
        ON CONFLICT (run, id) DO NOTHING)
    SELECT old.changes, new.changes FROM old, new";
/// One statement, so that number and connections are of one moment.
const CONNECTIONS: &str =
    "SELECT r.changes, c.id, c.project, c.agent, c.agent_name, c.stream, c.opening, c.engines, c.connected_at,
        c.captures, c.host, c.role
    FROM replicas r LEFT JOIN replica_connections c ON c.run = r.run WHERE r.run = $1 ORDER BY c.id";
const LEAD: &str = "INSERT INTO leases AS l (name, run, until)
    VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
    ON CONFLICT (name) DO UPDATE SET run = excluded.run, until = clock_timestamp() + make_interval(secs => $3)
    WHERE l.run = excluded.run OR l.until <= clock_timestamp() RETURNING true";
const LEAVE: &str = "WITH me AS (DELETE FROM replicas WHERE run = $1),
    mine AS (DELETE FROM replica_connections WHERE run = $1) DELETE FROM leases WHERE run = $1";
const TELL: &str = "SELECT pg_notify($1, part) FROM unnest($2::text[]) AS part";

/// This brain's part in it.
pub(crate) struct Membership {
    run: u32,
    address: Address,
    tls: MakeRustlsConnect,
    joined: OnceLock<Joined>,
    told: AtomicU64,
}

struct Joined {
    me: NewReplica,
    line: Line,
}

impl Membership {
    pub(crate) fn new(address: Address, tls: MakeRustlsConnect) -> Self {
        let random = std::hash::RandomState::new().hash_one(0);
        // Positive, so that it is the same as a signed number.
        let run = u32::try_from(random >> 33).unwrap_or(1).max(1);
        Self { run, address, tls, joined: OnceLock::new(), told: AtomicU64::new(0) }
    }

    /// The number of this run as its column has it.
    pub(crate) fn run_column(&self) -> i32 {
        self.run.cast_signed()
    }

    fn joined(&self) -> Result<&Joined> {
        self.joined.get().ok_or_else(|| StoreError::Internal("this brain has not entered".into()))
    }

    fn line(&self) -> Result<&Line> {
        self.joined().map(|joined| &joined.line)
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership").field("run", &self.run).finish_non_exhaustive()
    }
}

impl SharedStore for PostgresStore {
    fn replicas(&self) -> Option<Arc<dyn ReplicaStore>> {
        Some(Arc::new(self.clone()))
    }
}

#[async_trait]
impl ReplicaStore for PostgresStore {
    fn run(&self) -> u32 {
        self.membership().run
    }

    async fn join(&self, me: NewReplica) -> Result<Box<dyn Bus>> {
        let member = self.membership();
        let (line, bus) = Line::open(member.address.clone(), member.tls.clone(), member.run);
        let joined = member.joined.set(Joined { me, line });
        joined.map_err(|_| StoreError::Internal("this brain has entered already".into()))?;
        self.beat(Vec::new()).await?;
        Ok(Box::new(bus))
    }

    async fn beat(&self, reads: Vec<u64>) -> Result<Vec<Replica>> {
        let (run, joined) = (self.membership().run_column(), self.membership().joined()?);
        let reads: Vec<i32> = reads.into_iter().map(project_number).collect();
        let (name, peer_url) = (Text(&joined.me.name), maybe(joined.me.peer_url.as_ref()));
        let peer_key = joined.me.peer_key.as_ref().map(|key| &key.0);
        joined.line.ask(BEAT, &[&run, &name, &peer_url, &reads, &STEADY_GAP.as_secs_f64(), &peer_key]).await?;
        let rows = joined.line.ask(HERE, &[&run, &GONE_AFTER.as_secs_f64()]).await?;
        rows.iter().map(replica).collect()
    }

    async fn leave(&self) -> Result<()> {
        self.membership().line()?.ask(LEAVE, &[&self.membership().run_column()]).await.map(drop)
    }

    async fn note_connections(&self, changes: ConnectionChanges) -> Result<Option<(u64, u64)>> {
        let ConnectionChanges { all, opened, closed } = changes;
        let run = self.membership().run_column();
        let closed: Vec<i64> = closed.into_iter().map(u64::cast_signed).collect();
        let column_of = |pick: fn(&ReplicaConnection) -> u64| -> Vec<i64> {
            opened.iter().map(|connection| pick(connection).cast_signed()).collect()
        };
        let (ids, agents) = (column_of(|c| c.id), column_of(|c| c.agent));
        let (streams, openings) = (column_of(|c| c.stream), column_of(|c| c.opening));
        let projects: Vec<i32> = opened.iter().map(|c| project_number(c.project)).collect();
        let names = Text::all(opened.iter().map(|c| c.agent_name.as_str()));
        let engines = Text::all(opened.iter().map(|c| c.engines.join("\u{1}")));
        let captures = Text::all(opened.iter().map(|c| c.vantage.captures.join("\u{1}")));
        let hosts = Text::all(opened.iter().map(|c| c.vantage.host.as_str()));
        let roles = Text::all(opened.iter().map(|c| c.vantage.role.as_str()));
        let since: Vec<i64> = opened.iter().map(|c| c.connected_at.0).collect();
        let line = self.membership().line()?;
        let values: crate::session::Values<'_> = &[
            &run, &all, &closed, &ids, &projects, &agents, &names, &streams, &openings, &engines, &since, &captures,
            &hosts, &roles,
        ];
        let rows = line.ask(NOTE, values).await?;
        let numbers = |row: &Row| Ok((number(row, 0)?, number(row, 1)?));
        rows.first().map(numbers).transpose()
    }

    async fn connections(&self, run: u32) -> Result<Option<(u64, Vec<ReplicaConnection>)>> {
        let rows = self.membership().line()?.ask(CONNECTIONS, &[&run.cast_signed()]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let changes = number(first, 0)?;
        let there = rows.iter().filter(|row| !matches!(row.try_get::<_, Option<i64>>(1), Ok(None)));
        Ok(Some((changes, there.map(connection).collect::<Result<_>>()?)))
    }

    async fn lead(&self, lease: &str, lasting: Duration) -> Result<bool> {
        let run = self.membership().run_column();
        let rows = self.membership().line()?.ask(LEAD, &[&lease, &run, &lasting.as_secs_f64()]).await?;
        Ok(!rows.is_empty())
    }

    async fn tell(&self, to: Option<u32>, text: String) -> Result<()> {
        if text.len() > MAX_TOLD {
            return Err(StoreError::Internal(format!("{} bytes are too much to tell at once", text.len())));
        }
        let member = self.membership();
        let number = member.told.fetch_add(1, Ordering::Relaxed);
        let parts = parts::split(member.run, to.unwrap_or(0), number, &text);
        let line = member.line()?;
        let channel = line.channel().await?;
        line.ask(TELL, &[&channel, &parts]).await.map(drop)
    }

    async fn end_unsent(
        &self,
        project: u64,
        id: &str,
        outcome: CommandOutcome,
        now: Timestamp,
    ) -> Result<Option<Command>> {
        let id = id.to_owned();
        self.to_the_end(async move |store| finish::end_unsent(&store, project, &id, &outcome, now).await).await
    }

    async fn bury(&self, now: Timestamp) -> Result<u64> {
        self.to_the_end(async move |store| {
            let tx = store.begin().await?;
            tx.query(locks::SWEEP, &[]).await?;
            let (gone, gap) = (GONE_AFTER.as_secs_f64(), STEADY_GAP.as_secs_f64());
            tx.execute(BURY, &[&store.membership().run_column(), &gone, &gap]).await?;
            tx.execute(BURY_CONNECTIONS, &[]).await?;
            let ended = finish::end_commands_of_the_gone(&tx, now).await?;
            tx.commit().await?;
            Ok(ended)
        })
        .await
    }
}

fn number(row: &Row, at: usize) -> Result<u64> {
    column::<i64>(row, at).map(i64::cast_unsigned)
}

fn replica(row: &Row) -> Result<Replica> {
    let Text(name) = column(row, 1)?;
    let reads: Vec<i32> = column(row, 4)?;
    Ok(Replica {
        run: column::<i32>(row, 0)?.cast_unsigned(),
        name,
        peer_url: column::<Option<Text<String>>>(row, 2)?.map(|url| url.0),
        peer_key: column::<Option<String>>(row, 5)?.map(PeerKey),
        changes: number(row, 3)?,
        reads: reads.into_iter().map(|project| u64::from(project.cast_unsigned())).collect(),
    })
}

fn connection(row: &Row) -> Result<ReplicaConnection> {
    let Text(agent_name) = column(row, 4)?;
    let texts =
        |at| Ok::<_, StoreError>(column::<Vec<Text<String>>>(row, at)?.into_iter().map(|text| text.0).collect());
    let (Text(host), Text(role)) = (column(row, 10)?, column(row, 11)?);
    Ok(ReplicaConnection {
        id: number(row, 1)?,
        project: u64::from(column::<i32>(row, 2)?.cast_unsigned()),
        agent: number(row, 3)?,
        agent_name,
        stream: number(row, 5)?,
        opening: number(row, 6)?,
        engines: texts(7)?,
        connected_at: Timestamp(column(row, 8)?),
        vantage: Vantage { captures: texts(9)?, host, role },
    })
}
