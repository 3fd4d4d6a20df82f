//! Rows that can be read, and that agree with each other.

use rusqlite::{Connection, OptionalExtension};
use taskplane_model::Timestamp;
use taskplane_store::backend::stats::decode;
use taskplane_store::checkup::{Check, Checkup, SAMPLE};

use super::pages::RESTORE;
use crate::errors::{Done, Fault};
use crate::readers::View;
use crate::tasks::row::task_row;

/// A clock that is ahead of ours by so much is wrong, in microseconds.
const CLOCK_TOLERANCE: i64 = 60_000_000;

/// Keys of rows, spread over the table, at most `count`; all of a small table.
pub(super) fn spread(db: &Connection, table: &str, key: &str, count: usize) -> Done<Vec<i64>> {
    let ask = |sql: String| db.prepare(&sql);
    let some = ask(format!("SELECT {key} FROM {table} ORDER BY {key} LIMIT {}", count + 1))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    if some.len() <= count {
        return Ok(some);
    }
    let last: i64 = ask(format!("SELECT max({key}) FROM {table}"))?.query_row([], |row| row.get(0))?;
    let (first, mut keys) = (i128::from(some[0]), Vec::with_capacity(count));
    let mut next = ask(format!("SELECT min({key}) FROM {table} WHERE {key} >= ?1"))?;
    for at in 0..count as i128 {
        let from = first + (i128::from(last) - first) * at / (count as i128 - 1).max(1);
        let from = i64::try_from(from).unwrap_or(last);
        keys.extend(next.query_row([from], |row| row.get::<_, Option<i64>>(0))?);
    }
    keys.dedup();
    Ok(keys)
}

/// Calls `look` with every key of a table, or with some.
fn each(db: &Connection, table: &str, key: &str, deep: bool, mut look: impl FnMut(i64) -> Done<()>) -> Done<usize> {
    if !deep {
        let keys = spread(db, table, key, SAMPLE)?;
        for key in &keys {
            look(*key)?;
        }
        return Ok(keys.len());
    }
    let mut select = db.prepare(&format!("SELECT {key} FROM {table}"))?;
    let mut rows = select.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        look(row.get(0)?)?;
        count += 1;
    }
    Ok(count)
}

/// What a piece of work said, if it is that a value makes no sense.
fn senseless(done: Done<()>) -> Done<Option<String>> {
    match done {
        Ok(()) => Ok(None),
        Err(Fault::Store(error)) => Ok(Some(error.to_string())),
        Err(other) => Err(other),
    }
}

/// Task records can be read.
pub(super) fn look_at_records(checkup: &mut Checkup, view: &View<'_>, deep: bool) -> Done<()> {
    let (mut wrong, mut first) = (0, None);
    let looked = each(view.db, "tasks", "key", deep, |key| {
        let read = || -> Done<()> {
            if let Some(row) = task_row(view, key)? {
                row.task(view)?;
            }
            Ok(())
        };
        if let Some(said) = senseless(read())? {
            wrong += 1;
            first.get_or_insert(said);
        }
        Ok(())
    })?;
    tell(checkup, Check::Records, looked, wrong, first, "task records");
    Ok(())
}

/// Statistics can be read.
pub(super) fn look_at_statistics(checkup: &mut Checkup, db: &Connection, table: &str, deep: bool) -> Done<()> {
    let (mut wrong, mut first) = (0, None);
    let mut select = db.prepare(&format!("SELECT data FROM {table} WHERE id = ?1"))?;
    let looked = each(db, table, "id", deep, |id| {
        let data: Option<Vec<u8>> = select.query_row([id], |row| row.get(0)).optional()?;
        let read = data.map_or(Ok(()), |data| decode(&data).map(drop).map_err(Fault::from));
        if let Some(said) = senseless(read)? {
            wrong += 1;
            first.get_or_insert(said);
        }
        Ok(())
    })?;
    tell(checkup, Check::Statistics, looked, wrong, first, &format!("rows of {table}"));
    Ok(())
}

fn tell(checkup: &mut Checkup, check: Check, looked: usize, wrong: usize, first: Option<String>, what: &str) {
    match first {
        None => checkup.ok(check, format!("{looked} {what} can be read")),
        Some(first) => checkup.problem(check, format!("{wrong} of {looked} {what} cannot be read: {first}"), RESTORE),
    }
}

/// No stream stands before the newest of its batches: else batches would be stored twice.
pub(super) fn look_at_streams(checkup: &mut Checkup, db: &Connection) -> Done<()> {
    let sql = "SELECT count(*), coalesce(sum(s.last_seq < (SELECT max(b.seq) FROM batches b WHERE b.stream = s.id)), 0)
        FROM streams s";
    let (streams, behind): (i64, i64) = db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if behind == 0 {
        checkup.ok(Check::Streams, format!("{streams} streams stand where their batches say"));
    } else {
        let found = format!("{behind} of {streams} streams stand before a batch of theirs that is stored");
        checkup.problem(Check::Streams, found, RESTORE);
    }
    Ok(())
}

/// Batches and streams lead to what they belong to.
pub(super) fn look_at_references(checkup: &mut Checkup, db: &Connection) -> Done<()> {
    // Steps from stream to stream through the index, rather than through all batches.
    let sql = "WITH RECURSIVE of(stream) AS (SELECT min(stream) FROM batches UNION ALL
            SELECT (SELECT min(stream) FROM batches WHERE stream > of.stream) FROM of WHERE of.stream IS NOT NULL)
        SELECT (SELECT count(*) FROM of WHERE stream IS NOT NULL AND stream NOT IN (SELECT id FROM streams)),
            (SELECT count(*) FROM streams WHERE agent NOT IN (SELECT id FROM agents)),
            (SELECT count(*) FROM schedules WHERE agent NOT IN (SELECT id FROM agents))";
    let found: [i64; 3] = db.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?;
    if found == [0; 3] {
        checkup.ok(Check::References, "batches, streams and schedules lead to what they belong to");
        return Ok(());
    }
    let [batches, streams, schedules] = found;
    let found = format!(
        "{batches} streams with batches are not there, {streams} streams and {schedules} schedules have no agent"
    );
    checkup.problem(Check::References, found, RESTORE);
    Ok(())
}

/// The newest batch was not received in the future.
pub(super) fn look_at_clock(checkup: &mut Checkup, db: &Connection, now: Timestamp) -> Done<()> {
    let sql = "SELECT received_at FROM batches ORDER BY id DESC LIMIT 1";
    let newest: Option<Timestamp> = db.query_row(sql, [], |row| row.get(0).map(Timestamp)).optional()?;
    match newest {
        Some(newest) if newest > now.plus(CLOCK_TOLERANCE) => {
            let found = format!("the newest batch was received at {newest}, and now it is {now}");
            checkup.warning(Check::Clock, found, "correct this machine's clock; it may have been ahead before");
        }
        Some(newest) => checkup.ok(Check::Clock, format!("the newest batch was received at {newest}")),
        None => checkup.ok(Check::Clock, "no batch was received yet"),
    }
    Ok(())
}
