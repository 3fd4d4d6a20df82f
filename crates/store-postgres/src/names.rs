//! Texts and their numbers. Neither ever changes, so what was once read stays true; what a transaction has entered is
//! remembered only after somebody has read it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use taskplane_store::backend::hashing::FastHash;
use taskplane_store::{Result, StoreError};

use crate::locks;
use crate::session::{Session, Tx, column};
use crate::text::Text;

/// Texts kept; beyond it all are forgotten and read again.
const KEPT: usize = 50_000;

/// Texts behind numbers.
pub(crate) type Texts = HashMap<i64, Arc<str>, FastHash>;

/// What is known of terms and agents, and what keys the hash of ids.
#[derive(Debug)]
pub(crate) struct Names {
    terms: RwLock<Terms>,
    agents: RwLock<Texts>,
    /// What keys the hash of ids.
    pub(crate) seed: u64,
}

#[derive(Debug, Default)]
struct Terms {
    texts: Texts,
    numbers: HashMap<Arc<str>, i64>,
}

impl Names {
    pub(crate) fn new(seed: u64) -> Self {
        Self { terms: RwLock::default(), agents: RwLock::default(), seed }
    }

    /// Texts of terms; 0, which means "not known", has none.
    pub(crate) async fn terms(&self, session: &Session, numbers: impl IntoIterator<Item = i64>) -> Result<Texts> {
        let wanted: HashSet<i64, FastHash> = numbers.into_iter().filter(|number| *number != 0).collect();
        let mut texts = Texts::default();
        let mut missing = Vec::new();
        {
            let known = self.known();
            for number in wanted {
                match known.texts.get(&number) {
                    Some(text) => drop(texts.insert(number, Arc::clone(text))),
                    None => missing.push(term_column(number)?),
                }
            }
        }
        if !missing.is_empty() {
            let sql = "SELECT id, text FROM terms WHERE id = ANY($1)";
            for (number, text) in self.learn(&session.query(sql, &[&missing]).await?)? {
                texts.insert(number, text);
            }
        }
        Ok(texts)
    }

    /// Numbers of those of `texts` that are terms.
    pub(crate) async fn numbers<'t>(
        &self,
        session: &Session,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<HashMap<&'t str, i64>> {
        let mut numbers = HashMap::new();
        let mut missing = HashSet::new();
        {
            let known = self.known();
            for text in texts {
                match known.numbers.get(text) {
                    Some(number) => drop(numbers.insert(text, *number)),
                    None => drop(missing.insert(text)),
                }
            }
        }
        if !missing.is_empty() {
            let wanted = Text::all(missing.iter().copied());
            let sql = "SELECT id, text FROM terms WHERE text = ANY($1)";
            for (number, text) in self.learn(&session.query(sql, &[&wanted]).await?)? {
                if let Some(text) = missing.get(&*text) {
                    numbers.insert(*text, number);
                }
            }
        }
        Ok(numbers)
    }

    /// Numbers of all `texts`; those that are no terms become ones. To be called once in a transaction at most, which holds
    /// the locks of its projects.
    pub(crate) async fn enter<'t>(
        &self,
        tx: &Tx,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<HashMap<&'t str, i64>> {
        let texts: HashSet<&str> = texts.into_iter().collect();
        let mut numbers = self.numbers(tx, texts.iter().copied()).await?;
        let missing: HashSet<&str> = texts.into_iter().filter(|text| !numbers.contains_key(text)).collect();
        if missing.is_empty() {
            return Ok(numbers);
        }
        tx.query(locks::TERMS, &[]).await?;
        let wanted = Text::all(missing.iter().copied());
        // Somebody else may have been faster.
        let insert = "INSERT INTO terms (text) SELECT new FROM unnest($1::text[]) AS new
            WHERE NOT EXISTS (SELECT FROM terms WHERE text = new)";
        tx.execute(insert, &[&wanted]).await?;
        for row in tx.query("SELECT id, text FROM terms WHERE text = ANY($1)", &[&wanted]).await? {
            let Text(text): Text<String> = column(&row, 1)?;
            if let Some(text) = missing.get(text.as_str()) {
                numbers.insert(*text, i64::from(column::<i32>(&row, 0)?));
            }
        }
        Ok(numbers)
    }

    /// Names of agents.
    pub(crate) async fn agents(&self, session: &Session, numbers: impl IntoIterator<Item = u64>) -> Result<Texts> {
        let wanted: HashSet<i64, FastHash> = numbers.into_iter().map(u64::cast_signed).collect();
        let mut names = Texts::default();
        let mut missing = Vec::new();
        {
            let known = self.agents.read().unwrap_or_else(PoisonError::into_inner);
            for number in wanted {
                match known.get(&number) {
                    Some(name) => drop(names.insert(number, Arc::clone(name))),
                    None => missing.push(number),
                }
            }
        }
        if !missing.is_empty() {
            let rows = session.query("SELECT id, name FROM agents WHERE id = ANY($1)", &[&missing]).await?;
            let mut known = self.agents.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() + rows.len() > KEPT {
                known.clear();
            }
            for row in rows {
                let (number, Text(name)): (i64, Text<String>) = (column(&row, 0)?, column(&row, 1)?);
                let name: Arc<str> = name.into();
                known.insert(number, Arc::clone(&name));
                names.insert(number, name);
            }
        }
        Ok(names)
    }

    fn known(&self) -> RwLockReadGuard<'_, Terms> {
        self.terms.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, rows: &[tokio_postgres::Row]) -> Result<Vec<(i64, Arc<str>)>> {
        let mut known = self.terms.write().unwrap_or_else(PoisonError::into_inner);
        if known.texts.len() + rows.len() > KEPT {
            *known = Terms::default();
        }
        let mut learned = Vec::with_capacity(rows.len());
        for row in rows {
            let (number, Text(text)): (i32, Text<String>) = (column(row, 0)?, column(row, 1)?);
            let (number, text): (i64, Arc<str>) = (number.into(), text.into());
            known.texts.insert(number, Arc::clone(&text));
            known.numbers.insert(Arc::clone(&text), number);
            learned.push((number, text));
        }
        Ok(learned)
    }
}

/// The number of a term as its column has it.
pub(crate) fn term_column(number: i64) -> Result<i32> {
    i32::try_from(number).map_err(|_| StoreError::Internal(format!("{number} is no number of a term")))
}
