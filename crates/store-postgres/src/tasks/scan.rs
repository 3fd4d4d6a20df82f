//! Reads rows newest first along a plan, piece by piece, within a budget.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use taskplane_store::Result;
use taskplane_store::backend::ids;
use taskplane_store::backend::plan::{Brief, Plan, Wanted};

use super::row::{brief, brief_columns};
use crate::locks::project_number;
use crate::names::{Names, term_column};
use crate::session::Session;

/// Rows that are fetched at once at first, and later on.
const FIRST_PIECE: i64 = 64;
const PIECE: i64 = 2_048;

/// How much may be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) rows: usize,
    pub(super) time: Duration,
}

/// Whether a scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// There is more to take.
    More,
    /// There is no more.
    Nothing,
    /// There is more, but the budget is spent.
    Unread,
}

/// A scan at work.
pub(super) struct Scan<'s> {
    session: &'s Session,
    project: i32,
    sources: Vec<Source>,
    from: i64,
    left: usize,
    deadline: Instant,
}

struct Source {
    kind: Kind,
    rows: VecDeque<Brief>,
    /// The next piece lies below this key.
    below: i64,
    piece: i64,
    ended: bool,
}

enum Kind {
    Hashes(Vec<i64>),
    State(i16),
    Name(i32),
    All,
}

impl<'s> Scan<'s> {
    /// Scans keys below `cursor`.
    pub(super) fn new(
        names: &Names,
        session: &'s Session,
        wanted: &Wanted<'_>,
        plan: Plan,
        cursor: Option<i64>,
        budget: Budget,
    ) -> Result<Self> {
        let below = cursor.map_or(wanted.until, |cursor| cursor.min(wanted.until));
        let project = wanted.project.cast_unsigned();
        let kinds: Vec<Kind> = match plan {
            Plan::Nothing => Vec::new(),
            Plan::Ids(wanted) => {
                vec![Kind::Hashes(wanted.iter().map(|id| ids::hash(names.seed, project, id)).collect())]
            }
            Plan::States(states) => states.into_iter().map(|state| Kind::State(state.into())).collect(),
            Plan::Names(names) => {
                names.into_iter().map(|name| term_column(name).map(Kind::Name)).collect::<Result<_>>()?
            }
            Plan::All => vec![Kind::All],
        };
        let source = |kind| Source { kind, rows: VecDeque::new(), below, piece: FIRST_PIECE, ended: false };
        Ok(Self {
            session,
            project: project_number(project),
            sources: kinds.into_iter().map(source).collect(),
            from: wanted.from,
            left: budget.rows,
            deadline: Instant::now() + budget.time,
        })
    }

    /// At most `most` rows in descending order of keys, and whether there are more.
    pub(super) async fn take(&mut self, most: usize) -> Result<(Vec<Brief>, Rest)> {
        let mut taken = Vec::new();
        while taken.len() < most.min(self.left) {
            let Some(at) = self.peek().await? else { break };
            taken.extend(self.sources[at].rows.pop_front());
        }
        self.left -= taken.len();
        let rest = match self.peek().await? {
            None => Rest::Nothing,
            Some(_) if self.left == 0 || Instant::now() > self.deadline => Rest::Unread,
            Some(_) => Rest::More,
        };
        Ok((taken, rest))
    }

    /// The source whose first row is next.
    async fn peek(&mut self) -> Result<Option<usize>> {
        let mut best: Option<(i64, usize)> = None;
        for (at, source) in self.sources.iter_mut().enumerate() {
            source.fill(self.session, self.project, self.from).await?;
            if let Some(row) = source.rows.front()
                && best.is_none_or(|(key, _)| row.key > key)
            {
                best = Some((row.key, at));
            }
        }
        Ok(best.map(|(_, at)| at))
    }
}

impl Source {
    async fn fill(&mut self, session: &Session, project: i32, from: i64) -> Result<()> {
        if !self.rows.is_empty() || self.ended {
            return Ok(());
        }
        let (below, piece) = (self.below, self.piece);
        let rows = match &self.kind {
            Kind::Hashes(hashes) => return self.fill_at_once(session, project, from, hashes.clone()).await,
            // `state <> 4` is what the index is limited to; said literally, it lets the planner use it.
            Kind::State(state) => {
                let sql = concat!(
                    "SELECT ",
                    brief_columns!(),
                    " FROM tasks WHERE project = $1 AND state = $2 AND state <> 4 AND key < $3 AND key >= $4
                     ORDER BY key DESC LIMIT $5"
                );
                session.query(sql, &[&project, state, &below, &from, &piece]).await?
            }
            Kind::Name(name) => {
                let sql = concat!(
                    "SELECT ",
                    brief_columns!(),
                    " FROM tasks WHERE project = $1 AND name = $2 AND key < $3 AND key >= $4 ORDER BY key DESC LIMIT $5"
                );
                session.query(sql, &[&project, name, &below, &from, &piece]).await?
            }
            Kind::All => {
                let sql = concat!(
                    "SELECT ",
                    brief_columns!(),
                    " FROM tasks WHERE project = $1 AND key < $2 AND key >= $3 ORDER BY key DESC LIMIT $4"
                );
                session.query(sql, &[&project, &below, &from, &piece]).await?
            }
        };
        self.ended = (rows.len() as i64) < piece;
        self.piece = PIECE;
        for row in &rows {
            self.rows.push_back(brief(row)?);
        }
        if let Some(last) = self.rows.back() {
            self.below = last.key;
        }
        Ok(())
    }
    /// Reads all tasks with one of these hashes: ids of one filter are few.
    async fn fill_at_once(&mut self, session: &Session, project: i32, from: i64, hashes: Vec<i64>) -> Result<()> {
        // The hash is of the project, too. Said to the planner, project and key might lead it to an index of all tasks.
        let sql = concat!("SELECT ", brief_columns!(), " FROM tasks WHERE hash = ANY($1)");
        let rows = session.query(sql, &[&hashes]).await?;
        let mut found = rows.iter().map(brief).collect::<Result<Vec<_>>>()?;
        found.retain(|row| row.project == i64::from(project) && row.key < self.below && row.key >= from);
        found.sort_unstable_by_key(|row| std::cmp::Reverse(row.key));
        self.rows = found.into();
        self.ended = true;
        Ok(())
    }
}
