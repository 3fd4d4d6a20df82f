//! What a filter means in the numbers of this database.

use std::collections::HashSet;

use taskplane_model::filter::Pattern;
use taskplane_store::Result;
use taskplane_store::backend::hashing::FastHash;
use taskplane_store::backend::plan::{FilterTerms, MAX_TERMS, Terms, Wanted, engine_patterns};
use taskplane_store::tasks::TaskQuery;

use crate::names::Names;
use crate::session::{Session, column};
use crate::text::Text;

/// What `query` means.
pub(super) async fn wanted<'q>(names: &Names, session: &Session, query: &'q TaskQuery) -> Result<Wanted<'q>> {
    let filter = &query.filter;
    let terms = FilterTerms {
        names: terms(names, session, &filter.names, true).await?,
        queues: terms(names, session, &filter.queues, true).await?,
        workers: terms(names, session, &filter.workers, true).await?,
        engines: terms(names, session, &engine_patterns(filter), false).await?,
    };
    Ok(Wanted::new(query, terms))
}

async fn terms(names: &Names, session: &Session, patterns: &[Pattern], stars: bool) -> Result<Terms> {
    if patterns.is_empty() {
        return Ok(Terms::Any);
    }
    let (mut exact, mut open) = (Vec::new(), Vec::new());
    for pattern in patterns {
        match pattern.exact().or_else(|| (!stars).then_some(pattern.0.as_str())) {
            Some(text) => exact.push(text),
            None => open.push(pattern),
        }
    }
    let mut numbers: HashSet<i64, FastHash> = names.numbers(session, exact).await?.into_values().collect();
    if open.is_empty() {
        return Ok(Terms::These(numbers));
    }
    let most = MAX_TERMS as i64 + 1;
    let rows = session.query("SELECT id, text FROM terms LIMIT $1", &[&most]).await?;
    for row in &rows {
        let Text(text): Text<String> = column(row, 1)?;
        if open.iter().any(|pattern| pattern.matches(&text)) {
            numbers.insert(column::<i32>(row, 0)?.into());
        }
    }
    Ok(if rows.len() > MAX_TERMS { Terms::Unclear } else { Terms::These(numbers) })
}
