//! Marks as bytes: kind and flags in one number, time as the distance from the mark before.

use taskplane_model::task::Mark;
use taskplane_model::{KnownBy, TaskEventKind, Timestamp};

use super::wire::{Reader, put_bytes, put_number, put_signed};
use crate::Result;
use crate::backend::corrupt;

// The four lowest bits hold the kind. What most marks have comes first, so that the number is one byte.
const ATTEMPT: u64 = 1 << 4;
const WORKER_OF_TASK: u64 = 1 << 5;
const RUNTIME: u64 = 1 << 6;
const RESULT: u64 = 1 << 7;
const WORKER: u64 = 1 << 8;
const EXCEPTION: u64 = 1 << 9;
const EXCEPTION_MESSAGE: u64 = 1 << 10;
const TRACEBACK: u64 = 1 << 11;
const SIGNAL: u64 = 1 << 12;
const TERMINATED: u64 = 1 << 13;
const EXPIRED: u64 = 1 << 14;
const REQUEUE: u64 = 1 << 15;
/// Two bits hold how it is known.
const KNOWN_BY: u32 = 16;

/// Every kind, by its stored number.
const KINDS: [TaskEventKind; 10] = [
    TaskEventKind::Sent,
    TaskEventKind::Received,
    TaskEventKind::Started,
    TaskEventKind::Progress,
    TaskEventKind::Retry,
    TaskEventKind::Rejected,
    TaskEventKind::Lost,
    TaskEventKind::Revoked,
    TaskEventKind::Failed,
    TaskEventKind::Succeeded,
];

/// Appends `mark`; `before` is the time of the mark before it.
pub(super) fn put(out: &mut Vec<u8>, mark: &Mark, before: Timestamp, worker_of_task: Option<&str>) {
    let of_task = mark.worker.is_some() && mark.worker.as_deref() == worker_of_task;
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    let head = mark.kind as u64
        | flag(mark.attempt.is_some(), ATTEMPT)
        | flag(of_task, WORKER_OF_TASK)
        | flag(mark.runtime_us.is_some(), RUNTIME)
        | flag(mark.result.is_some(), RESULT)
        | flag(mark.worker.is_some() && !of_task, WORKER)
        | flag(mark.exception.is_some(), EXCEPTION)
        | flag(mark.exception_message.is_some(), EXCEPTION_MESSAGE)
        | flag(mark.traceback.is_some(), TRACEBACK)
        | flag(mark.signal.is_some(), SIGNAL)
        | flag(mark.terminated, TERMINATED)
        | flag(mark.expired, EXPIRED)
        | flag(mark.requeue, REQUEUE)
        | mark.known_by.map_or(0, |known_by| (known_by as u64) << KNOWN_BY);
    put_number(out, head);
    put_signed(out, mark.ts.0.wrapping_sub(before.0));
    if let Some(attempt) = mark.attempt {
        put_number(out, u64::from(attempt));
    }
    if let Some(runtime) = mark.runtime_us {
        put_number(out, runtime);
    }
    let inline_worker = mark.worker.as_ref().filter(|_| !of_task);
    let texts = [
        mark.result.as_ref(),
        inline_worker,
        mark.exception.as_ref(),
        mark.exception_message.as_ref(),
        mark.traceback.as_ref(),
        mark.signal.as_ref(),
    ];
    for text in texts.into_iter().flatten() {
        put_bytes(out, text.as_bytes());
    }
}

/// Reads what [`put`] wrote. Bytes after the known fields belong to later versions.
pub(super) fn read(mut from: Reader<'_>, before: Timestamp, worker_of_task: Option<&str>) -> Result<Mark> {
    let head = from.number()?;
    let kind = usize::try_from(head & 0xf).ok().and_then(|number| KINDS.get(number).copied());
    let kind = kind.ok_or_else(|| corrupt("a mark of a task has an unknown kind"))?;
    let has = |bit: u64| head & bit != 0;
    let ts = Timestamp(before.0.wrapping_add(from.signed()?));
    let attempt = has(ATTEMPT).then(|| from.number()).transpose()?.map(|number| number as u32);
    let runtime_us = has(RUNTIME).then(|| from.number()).transpose()?;
    let mut text = |bit: u64| has(bit).then(|| from.text()).transpose();
    let result = text(RESULT)?;
    let inline_worker = text(WORKER)?;
    let exception = text(EXCEPTION)?;
    let exception_message = text(EXCEPTION_MESSAGE)?;
    let traceback = text(TRACEBACK)?;
    let signal = text(SIGNAL)?;
    let worker = if has(WORKER_OF_TASK) { worker_of_task.map(str::to_owned) } else { inline_worker };
    Ok(Mark {
        attempt,
        kind,
        ts,
        worker,
        runtime_us,
        result,
        exception,
        exception_message,
        traceback,
        signal,
        terminated: has(TERMINATED),
        expired: has(EXPIRED),
        requeue: has(REQUEUE),
        known_by: KnownBy::from_number(head >> KNOWN_BY & 0b11),
    })
}

/// Says exception and message of what [`put`] wrote.
pub(super) fn each_text(mut from: Reader<'_>, mut say: impl FnMut(&[u8])) -> Result<()> {
    let head = from.number()?;
    let has = |bit: u64| head & bit != 0;
    if !has(EXCEPTION) && !has(EXCEPTION_MESSAGE) {
        return Ok(());
    }
    from.signed()?;
    for bit in [ATTEMPT, RUNTIME] {
        if has(bit) {
            from.number()?;
        }
    }
    for bit in [RESULT, WORKER, EXCEPTION, EXCEPTION_MESSAGE] {
        if !has(bit) {
            continue;
        }
        let text = from.bytes()?;
        if matches!(bit, EXCEPTION | EXCEPTION_MESSAGE) {
            say(text);
        }
    }
    Ok(())
}
