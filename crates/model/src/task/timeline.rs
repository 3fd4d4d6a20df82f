//! What happened to a task, one thing after the other, as people read it.
//!
//! Agents see the same task from several sides. What two of them tell of one and the same is one thing that happened.

use super::starts::OBSERVERS_DIFFER;
use super::{Mark, TaskRecord};
use crate::{TaskEventKind, Timestamp};

/// One thing that happened.
struct Entry<'a> {
    attempt: u32,
    /// When it was told of first.
    first: Timestamp,
    /// Who told most of it.
    mark: &'a Mark,
    /// How many more agents may have told of the same.
    witnesses: usize,
}

impl TaskRecord {
    /// What happened, by time; of what happened at the same time, what comes earlier in a task's life is first.
    pub fn timeline(&self) -> Vec<&Mark> {
        let mut marks: Vec<(u32, &Mark)> = self.marks.iter().map(|mark| (self.attempt_of(mark), mark)).collect();
        marks.sort_by_key(|(attempt, mark)| (mark.ts, *attempt, mark.kind.rank()));
        let others = self.agents.len().saturating_sub(1);
        let mut entries: Vec<Entry<'_>> = Vec::with_capacity(marks.len());
        for (at, (attempt, mark)) in marks.iter().enumerate() {
            match entries.iter_mut().find(|entry| entry.is_told_by(*attempt, mark, &marks[..at])) {
                Some(entry) => entry.take(mark),
                None => entries.push(Entry { attempt: *attempt, first: mark.ts, mark, witnesses: others }),
            }
        }
        entries.sort_by_key(|entry| (entry.mark.ts, entry.attempt, entry.mark.kind.rank()));
        entries.into_iter().map(|entry| entry.mark).collect()
    }
}

impl<'a> Entry<'a> {
    /// True when another agent tells of the same by `mark`; `before` are the marks before it.
    fn is_told_by(&self, attempt: u32, mark: &Mark, before: &[(u32, &Mark)]) -> bool {
        let is_soon = mark.ts.0.saturating_sub(self.first.0) <= OBSERVERS_DIFFER;
        // Who looks at what waits in a queue cannot say since when it does.
        let still_waits = || {
            let is_later = |other: &Mark| other.kind != TaskEventKind::Sent && other.ts >= self.first;
            mark.kind == TaskEventKind::Sent && !before.iter().any(|(of, other)| *of == attempt && is_later(other))
        };
        // An attempt is sent once, though the agent that has sent it may see it wait besides.
        (self.witnesses > 0 || mark.kind == TaskEventKind::Sent)
            && (self.attempt, self.mark.kind) == (attempt, mark.kind)
            && self.mark.may_share_worker(mark)
            && (is_soon || still_waits())
    }

    fn take(&mut self, mark: &'a Mark) {
        self.witnesses = self.witnesses.saturating_sub(1);
        if mark.tells_more_than(self.mark) {
            self.mark = mark;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::time::SECOND;
    use crate::{TaskEvent, TaskEventKind as Kind, TaskRecord, Timestamp};

    fn event(kind: Kind, ms: i64) -> TaskEvent<'static> {
        let worker = (kind != Kind::Sent).then_some("a");
        TaskEvent { kind, ts: Timestamp(ms * SECOND / 1_000), worker, attempt: Some(0), ..TaskEvent::default() }
    }

    /// What is shown when so many agents have told of it: kinds and milliseconds.
    fn shown(agents: u64, events: &[TaskEvent<'static>]) -> Vec<(Kind, i64)> {
        let mut record = TaskRecord::default();
        events.iter().for_each(|event| record.apply("t", event));
        (0..agents).for_each(|agent| record.note_agent(agent));
        record.timeline().into_iter().map(|mark| (mark.kind, mark.ts.0 * 1_000 / SECOND)).collect()
    }

    #[test]
    fn what_two_agents_tell_is_shown_once_by_who_knows_more() {
        let told = [
            event(Kind::Sent, 0),
            event(Kind::Received, 5),
            event(Kind::Received, 6),
            event(Kind::Started, 6),
            TaskEvent { attempt: None, ..event(Kind::Started, 7) },
            TaskEvent { result: Some("[1]"), ..event(Kind::Succeeded, 90) },
            TaskEvent { runtime_us: Some(80_000), ..event(Kind::Succeeded, 99) },
        ];
        let once = [(Kind::Sent, 0), (Kind::Received, 5), (Kind::Started, 6), (Kind::Succeeded, 90)];
        assert_eq!(shown(2, &told), once);
        assert_eq!(shown(1, &told).len(), told.len(), "nobody tells twice of the same");
    }

    #[test]
    fn what_waits_was_sent_once_whenever_it_is_seen() {
        let told = [event(Kind::Sent, 0), event(Kind::Sent, 600_000), event(Kind::Received, 600_500)];
        assert_eq!(shown(2, &told), [(Kind::Sent, 0), (Kind::Received, 600_500)]);
        let by_the_sender_too =
            [event(Kind::Sent, 0), event(Kind::Sent, 2), event(Kind::Received, 31), event(Kind::Sent, 33)];
        assert_eq!(shown(2, &by_the_sender_too), [(Kind::Sent, 0), (Kind::Received, 31)]);
        let sent_again = [event(Kind::Sent, 0), event(Kind::Received, 10), event(Kind::Sent, 6_000)];
        assert_eq!(shown(2, &sent_again).len(), 3);
    }

    #[test]
    fn what_happens_again_is_shown_again() {
        let told = [event(Kind::Received, 0), event(Kind::Received, 1), event(Kind::Received, 9_000)];
        assert_eq!(shown(2, &told), [(Kind::Received, 0), (Kind::Received, 9_000)]);
        let elsewhere = [event(Kind::Started, 0), TaskEvent { worker: Some("b"), ..event(Kind::Started, 1) }];
        assert_eq!(shown(2, &elsewhere).len(), 2);
        let twice = [0, 1, 2, 3].map(|ms| event(Kind::Received, ms));
        assert_eq!(shown(2, &twice), [(Kind::Received, 0), (Kind::Received, 2)], "each has told of two");
    }
}
