//! From a filter to the rows that have to be looked at.

use std::collections::HashSet;

use rusqlite::OptionalExtension;
use taskplane_model::filter::Pattern;
use taskplane_store::backend::hashing::FastHash;
use taskplane_store::backend::plan::{FilterTerms, MAX_TERMS, Terms, Wanted, engine_patterns};
use taskplane_store::tasks::TaskQuery;

use crate::errors::Done;
use crate::readers::View;

/// What `query` means, in the numbers of this database.
pub(super) fn wanted<'q>(view: &View<'_>, query: &'q TaskQuery) -> Done<Wanted<'q>> {
    let filter = &query.filter;
    let terms = FilterTerms {
        names: terms(view, &filter.names, true)?,
        queues: terms(view, &filter.queues, true)?,
        workers: terms(view, &filter.workers, true)?,
        engines: terms(view, &engine_patterns(filter), false)?,
    };
    Ok(Wanted::new(query, terms))
}

fn terms(view: &View<'_>, patterns: &[Pattern], stars: bool) -> Done<Terms> {
    if patterns.is_empty() {
        return Ok(Terms::Any);
    }
    let mut numbers = HashSet::<i64, FastHash>::default();
    let mut open = Vec::new();
    let mut find = view.db.prepare_cached("SELECT id FROM terms WHERE text = ?1")?;
    for pattern in patterns {
        match pattern.exact().or_else(|| (!stars).then_some(pattern.0.as_str())) {
            Some(text) => numbers.extend(find.query_row([text], |row| row.get::<_, i64>(0)).optional()?),
            None => open.push(pattern),
        }
    }
    if open.is_empty() {
        return Ok(Terms::These(numbers));
    }
    let mut all = view.db.prepare_cached("SELECT id, text FROM terms LIMIT ?1")?;
    let mut rows = all.query([MAX_TERMS as i64 + 1])?;
    let mut read = 0;
    while let Some(row) = rows.next()? {
        read += 1;
        let text = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        if open.iter().any(|pattern| pattern.matches(text)) {
            numbers.insert(row.get(0)?);
        }
    }
    Ok(if read > MAX_TERMS { Terms::Unclear } else { Terms::These(numbers) })
}
