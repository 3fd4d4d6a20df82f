//! Pages of lists that are ordered by a row's number, newest first.

use crate::tasks::Page;

/// Most rows of a page.
const MAX_LIMIT: usize = 1_000;

/// The page lies below this number.
pub fn below(page: &Page) -> i64 {
    // Cursors come back from people's scripts: one that makes no sense is an empty page, not a fault.
    page.cursor.as_ref().map_or(i64::MAX, |cursor| cursor.parse().unwrap_or(0))
}

/// In a list that is ordered the other way, the page lies above this number.
pub fn above(page: &Page) -> i64 {
    page.cursor.as_ref().map_or(i64::MIN, |cursor| cursor.parse().unwrap_or(i64::MAX))
}

/// How many rows to fetch: one more than asked for tells whether there is a next page.
pub fn fetch(page: &Page) -> i64 {
    limit(page) as i64 + 1
}

/// Cuts the page out of numbered rows, and says where the next one begins.
pub fn page<T>(mut rows: Vec<(i64, T)>, page: &Page) -> (Vec<T>, Option<String>) {
    let limit = limit(page);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(|(number, _)| number.to_string()) } else { None };
    (rows.into_iter().map(|(_, row)| row).collect(), next)
}

fn limit(page: &Page) -> usize {
    page.limit.clamp(1, MAX_LIMIT)
}
